//! Rights to read old revisions. The current state needs the right to the kind and nothing else. An old one needs,
//! besides:
//! - the same verb on the resource in `history.sampan.dev`, where it is older than [`HISTORY_FREE`];
//! - the same right over all namespaces at any age, where the object's namespace was another one then: a namespace that was
//!   deleted and made again belongs to somebody else, who must not read what the one before left in the log, whatever
//!   rights they hold or give in it;
//! - that the row shows old values at all ([`OldValues`]), but for pages of lists and watches that go on.

use crate::encode::{self, Revisions};
use crate::error::Error;
use crate::limits::{HISTORY_FREE, HISTORY_PAGE_MAX};
use crate::options::{OfferedRight, Past};
use crate::registry::{Place, Registry};
use crate::resource::{OldValues, Resource};
use crate::table::{ResourceTable, storage_prefix};
use sampan_api::object::Object;
use sampan_api::record::{Record, RecordEvent, RecordKey};
use sampan_store::Range;
use sampan_watch::Snapshot;
use std::sync::Arc;

/// The way in which a read came to an old revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// By name: `resourceVersionMatch=Exact`, or a limited list of a revision.
    Outright,
    /// As the next page of a list, or the resumption of a watch.
    ToGoOn,
}

/// Since when each namespace is who it is: which of a place's old objects are its present owner's.
#[derive(Clone)]
pub(crate) struct Tenancies {
    /// The namespaces as they are now; `None` where the place's objects are of no namespace.
    namespaces: Option<Snapshot>,
    prefix: String,
    /// The objects are the namespaces themselves.
    themselves: bool,
}

impl Tenancies {
    /// Whether the state of `revision` under that key was its present namespace's.
    pub(crate) fn cover(&self, key: &RecordKey, revision: u64) -> bool {
        let Some(namespaces) = &self.namespaces else { return true };
        // Nothing about namespaces has changed since: all are who they were.
        if namespaces.changed <= revision {
            return true;
        }
        let name = if self.themselves { &key.name } else { &key.namespace };
        let now = namespaces.get(&format!("{}{name}", self.prefix));
        now.is_some_and(|namespace| namespace.create_revision <= revision)
    }

    /// The owner of the past that a list of the place at that revision shows: its present namespaces, or another.
    fn past(&self, place: &Place<'_>, revision: u64) -> Past {
        let own = match place.namespace {
            "" => self.cover_all(revision),
            namespace => self.cover(&RecordKey::new(namespace, ""), revision),
        };
        if own { Past::Own } else { Past::OfAnother }
    }

    /// Whether all objects of that revision were their present namespaces', as far as can be told without looking.
    fn cover_all(&self, revision: u64) -> bool {
        self.namespaces.as_ref().is_none_or(|namespaces| namespaces.changed <= revision)
    }
}

/// The part of an old revision that a list shows.
pub(crate) struct View {
    /// `None`: everything.
    only: Option<Tenancies>,
    revision: u64,
}

impl View {
    /// Whether nothing is left out.
    pub(crate) fn is_all(&self) -> bool {
        self.only.is_none()
    }

    pub(crate) fn shows(&self, key: &RecordKey) -> bool {
        self.only.as_ref().is_none_or(|tenancies| tenancies.cover(key, self.revision))
    }
}

/// The part of the events before it that a resumed watch shows.
#[derive(Clone)]
pub(crate) struct Replay {
    tenancies: Tenancies,
    /// Later events are the watch's own time.
    until: u64,
    row: Resource,
}

impl Registry {
    pub(crate) fn tenancies(&self, table: &ResourceTable, place: &Place<'_>) -> Result<Tenancies, Error> {
        let none = Tenancies { namespaces: None, prefix: String::new(), themselves: false };
        let Some(row) = table.iter().find(|row| row.names_namespaces) else { return Ok(none) };
        let prefix = storage_prefix(row);
        let themselves = prefix == place.prefix;
        if !place.row.namespaced && !themselves {
            return Ok(none);
        }
        let namespaces = Some(self.inner.watch.snapshot(&prefix)?);
        Ok(Tenancies { namespaces, prefix, themselves })
    }

    /// Refuses the state of one key, or of one namespace, as of a revision that is no longer the current one.
    pub(crate) async fn may_read_old(
        &self,
        table: &ResourceTable,
        place: &Place<'_>,
        key: &RecordKey,
        revision: u64,
        right: &OfferedRight,
    ) -> Result<(), Error> {
        self.refuse_hidden(place)?;
        let own = self.tenancies(table, place)?.cover(key, revision);
        if own && !self.is_long_ago(revision).await? {
            return Ok(());
        }
        ask(right, revision, if own { Past::Own } else { Past::OfAnother }).await
    }

    /// The part of an old revision that a list shows. Errors: the refusal, where nothing of it may be shown.
    pub(crate) async fn view(
        &self,
        table: &ResourceTable,
        place: &Place<'_>,
        revision: u64,
        asked: Asked,
        right: &OfferedRight,
    ) -> Result<View, Error> {
        if asked == Asked::Outright {
            self.refuse_hidden(place)?;
        }
        let all = View { only: None, revision };
        let tenancies = self.tenancies(table, place)?;
        if self.is_long_ago(revision).await? {
            return ask(right, revision, tenancies.past(place, revision)).await.map(|()| all);
        }
        if tenancies.cover_all(revision) {
            return Ok(all);
        }
        if place.namespace.is_empty() {
            // Over all namespaces: what was another's is left out.
            let held = ask(right, revision, Past::OfAnother).await.is_ok();
            return Ok(if held { all } else { View { only: Some(tenancies), revision } });
        }
        if tenancies.cover(&RecordKey::new(place.namespace, ""), revision) {
            return Ok(all);
        }
        ask(right, revision, Past::OfAnother).await.map(|()| all)
    }

    /// The part of the events since `revision` that a watch shows; `None`: everything. Errors: Expired, where it must
    /// begin anew.
    pub(crate) async fn replay(
        &self,
        table: &ResourceTable,
        place: &Place<'_>,
        revision: u64,
        right: &OfferedRight,
    ) -> Result<Option<Replay>, Error> {
        let until = self.revision();
        // Nothing has happened to this resource since.
        if revision >= until || self.inner.watch.snapshot(&place.prefix)?.changed <= revision {
            return Ok(None);
        }
        let tenancies = self.tenancies(table, place)?;
        let expired = || Error::Expired(format!("too old resource version: {revision} ({until})"));
        if self.is_long_ago(revision).await? {
            let past = tenancies.past(place, revision);
            return ask(right, revision, past).await.map(|()| None).map_err(|_| expired());
        }
        if tenancies.cover_all(revision) {
            return Ok(None);
        }
        let one = !place.namespace.is_empty();
        if one && tenancies.cover(&RecordKey::new(place.namespace, ""), revision) {
            return Ok(None);
        }
        match ask(right, revision, Past::OfAnother).await {
            Ok(()) => Ok(None),
            Err(_) if one => Err(expired()),
            Err(_) => Ok(Some(Replay { tenancies, until, row: place.storage.clone() })),
        }
    }

    /// The event as the watch shows it; `None`: not at all. Of an object that was another's, only that it is gone.
    pub(crate) fn replayed(&self, replay: &Replay, event: RecordEvent) -> Result<Option<RecordEvent>, Error> {
        let record = match &event {
            RecordEvent::Added(record) | RecordEvent::Modified(record) | RecordEvent::Deleted(record) => record,
            RecordEvent::Bookmark { .. } => return Ok(Some(event)),
        };
        // A deletion shows the state before it.
        let gone = matches!(event, RecordEvent::Deleted(_));
        let shown = record.mod_revision - u64::from(gone);
        if record.mod_revision > replay.until || replay.tenancies.cover(&record.key, shown) {
            return Ok(Some(event));
        }
        match &event {
            RecordEvent::Deleted(record) => Ok(Some(RecordEvent::Deleted(self.identity(&replay.row, record)?))),
            _ => Ok(None),
        }
    }

    /// The record without anything but who the object was.
    fn identity(&self, row: &Resource, record: &Record) -> Result<Arc<Record>, Error> {
        let mut object = Object::default();
        object.set_gvk(&row.gvk());
        object.set_meta("name", &*record.key.name);
        if !record.key.namespace.is_empty() {
            object.set_meta("namespace", &*record.key.namespace);
        }
        object.set_meta("uid", &*record.uid);
        let index = self.inner.decoder.index(&storage_prefix(row));
        let index = index.ok_or_else(|| Error::Internal(format!("nothing of {row:?} is stored")))?;
        let draft = encode::draft(&object, &index, None, 256)
            .map_err(|error| Error::Internal(format!("{row:?} {} cannot be encoded: {error}", record.key)))?;
        Ok(Arc::new(encode::record(draft, Revisions::of(record), &object)))
    }

    /// The number of objects that an old revision shows behind a key, counted by keys alone: at least `most` where there are
    /// so many.
    pub(crate) async fn behind(
        &self,
        place: &Place<'_>,
        key_prefix: &str,
        key: &str,
        view: &View,
        most: u64,
    ) -> Result<u64, Error> {
        let shown = |key: &Arc<str>| view.is_all() || view.shows(&place.record_key(key));
        let page = if view.is_all() { most.min(HISTORY_PAGE_MAX as u64) as usize } else { HISTORY_PAGE_MAX };
        let (mut behind, mut after) = (0, key.to_owned());
        loop {
            let range = Range { prefix: key_prefix.to_owned(), start_after: Some(after), limit: Some(page) };
            let found = self.inner.store.keys(range, Some(view.revision)).await;
            let found = found.map_err(|error| gone(error, view.revision))?;
            behind += found.keys.iter().filter(|key| shown(key)).count() as u64;
            match found.keys.last() {
                Some(last) if found.more && behind < most => after = last.to_string(),
                _ => return Ok(behind),
            }
        }
    }

    fn refuse_hidden(&self, place: &Place<'_>) -> Result<(), Error> {
        match place.storage.old_values {
            OldValues::Shown => Ok(()),
            OldValues::Hidden => Err(Error::Expired(format!("old values of {} are not shown", place.storage.resource))),
        }
    }

    async fn is_long_ago(&self, revision: u64) -> Result<bool, Error> {
        let Some(time) = self.now().checked_sub(HISTORY_FREE) else { return Ok(false) };
        Ok(revision < self.inner.store.revision_at(time).await?)
    }
}

/// The error of a read of an old revision.
pub(crate) fn gone(error: sampan_store::Error, revision: u64) -> Error {
    match error {
        sampan_store::Error::Compacted { floor } => {
            Error::Expired(format!("The resourceVersion for the provided list is too old: {revision} ({floor})."))
        }
        other => other.into(),
    }
}

async fn ask(right: &OfferedRight, revision: u64, past: Past) -> Result<(), Error> {
    match right {
        Some(right) => right.check(past).await.map_err(Error::from),
        None => Err(Error::Expired(format!("The resourceVersion for the provided list is too old: {revision}."))),
    }
}
