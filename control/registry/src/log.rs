//! The log as it is read by those who ask what happened: the changes of objects, with who made them and when. Rights are
//! those of [`crate::history`], asked for each change: what a reader may not see is left out.

use crate::error::Error;
use crate::history::Tenancies;
use crate::limits::{CHANGES_EXAMINED_MAX, HISTORY_FREE, HISTORY_PAGE_MAX};
use crate::options::{OfferedRight, Past};
use crate::registry::{Place, Registry};
use crate::resource::{OldValues, Resource};
use sampan_api::record::{Record, RecordKey};
use sampan_store::{Event, EventKind, Writer};
use std::sync::Arc;
use std::time::SystemTime;

/// One change of an object.
#[derive(Clone, Debug)]
pub struct Change {
    /// `Created`, `Modified` or `Deleted`.
    pub action: &'static str,
    /// The revision that it made.
    pub revision: u64,
    /// When it was written.
    pub time: SystemTime,
    /// Who wrote it, and how.
    pub writer: Arc<Writer>,
    /// The object.
    pub key: RecordKey,
    /// The object afterwards; of a deletion, before it. `None` where values are not asked for, or are shown to nobody.
    pub record: Option<Arc<Record>>,
}

/// Changes in the order of their revisions.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Those that the reader may see.
    pub items: Vec<Change>,
    /// Everything up to this revision was looked at.
    pub reached: u64,
}

/// The part of the log that is read.
#[derive(Clone, Debug)]
pub struct Span {
    /// Behind this revision.
    pub after: u64,
    /// Up to this one.
    pub until: u64,
    /// Items after which the page ends.
    pub limit: usize,
    /// Bytes of objects after which it ends; 0: no values are wanted.
    pub bytes: usize,
}

/// Answers of the cluster's authorizer that were given once in a call.
#[derive(Default)]
struct Asked {
    own: Option<bool>,
    of_another: Option<bool>,
}

impl Asked {
    async fn allows(&mut self, right: &OfferedRight, past: Past) -> bool {
        let known = match past {
            Past::Own => &mut self.own,
            Past::OfAnother => &mut self.of_another,
        };
        if let Some(known) = known {
            return *known;
        }
        let allowed = match right {
            Some(right) => right.check(past).await.is_ok(),
            None => false,
        };
        *known = Some(allowed);
        allowed
    }
}

impl Registry {
    /// The last revision that was committed at that time or before; 0: none that is still known.
    pub async fn revision_at(&self, time: SystemTime) -> Result<u64, Error> {
        Ok(self.inner.store.revision_at(time).await?)
    }

    /// The changes of a row's objects: of all, of a namespace's, or of one. Errors: none of rights, which decide on each
    /// change.
    pub async fn changes(
        &self,
        row: &Resource,
        namespace: &str,
        name: Option<&str>,
        span: &Span,
        right: &OfferedRight,
    ) -> Result<Changes, Error> {
        let table = self.inner.table.load();
        let place = self.place(&table, row, namespace)?;
        let prefix = match name {
            Some(name) => place.key(name),
            None if place.row.namespaced && !namespace.is_empty() => format!("{}{namespace}/", place.prefix),
            None => place.prefix.clone(),
        };
        let tenancies = self.tenancies(&table, &place)?;
        let recent = match self.now().checked_sub(HISTORY_FREE) {
            Some(time) => self.inner.store.revision_at(time).await?,
            None => 0,
        };
        let shows_values = span.bytes > 0 && place.storage.old_values == OldValues::Shown;
        let mut after = span.after.max(self.inner.store.floor(&prefix).await?);
        let (mut found, mut asked, mut examined, mut bytes) = (Changes::default(), Asked::default(), 0, 0);
        loop {
            let events = self.inner.store.history(&prefix, after, span.until, HISTORY_PAGE_MAX).await?;
            let Some(last) = events.last().map(Event::revision) else {
                found.reached = span.until;
                return Ok(found);
            };
            examined += events.len();
            for event in events {
                // A page ends behind a whole transaction.
                let full = found.items.len() >= span.limit || (shows_values && bytes >= span.bytes);
                if full && event.revision() > found.reached {
                    return Ok(found);
                }
                found.reached = event.revision();
                if name.is_some() && *event.entry.key != *prefix {
                    continue;
                }
                let past = self.past_of(&place, &tenancies, &event, recent);
                let visible = match past {
                    None => true,
                    Some(past) => asked.allows(right, past).await,
                };
                if visible {
                    bytes += event.entry.value.len();
                    found.items.push(self.change(&place, event, shows_values).await?);
                }
            }
            after = last;
            if examined >= CHANGES_EXAMINED_MAX {
                return Ok(found);
            }
        }
    }

    /// The right that a change asks for beside that to the kind; `None`: no other.
    fn past_of(&self, place: &Place<'_>, tenancies: &Tenancies, event: &Event, recent: u64) -> Option<Past> {
        let key = place.record_key(&event.entry.key);
        let shown = event.revision() - u64::from(event.kind == EventKind::Delete);
        if !tenancies.cover(&key, shown) {
            return Some(Past::OfAnother);
        }
        // What is current is no history, however old it is.
        let is_current = || {
            let current = self.inner.watch.get(&place.prefix, &event.entry.key);
            current.is_ok_and(|current| current.is_some_and(|current| current.mod_revision == event.revision()))
        };
        (event.revision() < recent && !is_current()).then_some(Past::Own)
    }

    async fn change(&self, place: &Place<'_>, event: Event, shows_values: bool) -> Result<Change, Error> {
        let entry = &event.entry;
        let record = match shows_values {
            true => Some(self.serve(place.row, Arc::new(self.inner.watch.record(&place.prefix, entry)?)).await?),
            false => None,
        };
        Ok(Change {
            action: match event.kind {
                EventKind::Delete => "Deleted",
                EventKind::Put if entry.version == 1 => "Created",
                EventKind::Put => "Modified",
            },
            revision: event.revision(),
            time: entry.time,
            writer: entry.writer.clone(),
            key: place.record_key(&entry.key),
            record,
        })
    }
}
