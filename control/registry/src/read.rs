//! Reads: one object, and lists. The current state comes out of memory; other revisions out of the log.

use crate::continuation::Token;
use crate::error::Error;
use crate::history::{Asked, View, gone};
use crate::limits::{HISTORY_PAGE_MAX, LIST_HELD_MAX};
use crate::options::{GetOptions, ListOptions};
use crate::registry::{Place, Registry};
use crate::resource::Resource;
use crate::selection::{Current, Selection};
use sampan_api::field::{FieldError, FieldErrors, Path};
use sampan_api::meta::GroupKind;
use sampan_api::record::{Record, RecordKey};
use sampan_api::selector::FieldSelector;
use sampan_api::status::Status;
use sampan_store::Range;
use sampan_watch::{Filter, Snapshot};
use std::sync::Arc;

/// A page of a list, or all of it.
#[derive(Clone, Debug)]
pub struct List {
    pub items: Vec<Arc<Record>>,
    /// The revision that the whole list is of.
    pub revision: u64,
    /// `Some`: there is more.
    pub continue_token: Option<String>,
    /// Number of items behind this page, where it is known.
    pub remaining: Option<u64>,
}

/// The meaning of a read's resource version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// The most recent state.
    Latest,
    /// Whatever is at hand, but not older than the revision.
    NotOlder(u64),
    /// The state of exactly this revision.
    Exact(u64),
}

impl Registry {
    /// One object. Errors: NotFound; Ahead; Expired where an exact revision is no longer kept; Status where its reader may
    /// not see it.
    pub async fn get(
        &self,
        row: &Resource,
        namespace: &str,
        name: &str,
        options: &GetOptions,
    ) -> Result<Arc<Record>, Error> {
        let table = self.inner.table.load();
        let place = self.place(&table, row, namespace)?;
        let key = place.key(name);
        let revision = parse_revision(&options.resource_version)?;
        let found = match (revision, options.version_match.as_str()) {
            (revision, "Exact") if revision > 0 => {
                self.inner.watch.wait_until(revision).await?;
                match self.inner.watch.get(&place.prefix, &key)? {
                    Some(current) if current.mod_revision <= revision => Some(current),
                    _ => {
                        let of = RecordKey::new(place.namespace, name);
                        self.may_read_old(&table, &place, &of, revision, &options.history).await?;
                        self.stored(&place, &key, revision).await?
                    }
                }
            }
            (0, _) if options.resource_version.is_empty() => {
                self.catch_up().await?;
                self.inner.watch.get(&place.prefix, &key)?
            }
            (revision, _) => {
                self.inner.watch.wait_until(revision).await?;
                self.inner.watch.get(&place.prefix, &key)?
            }
        };
        self.serve(row, found.ok_or_else(|| Error::not_found(place.row, name))?).await
    }

    /// Several objects. Errors: BadRequest for selectors and tokens, Invalid for options that do not fit together.
    pub async fn list(&self, row: &Resource, namespace: &str, options: &ListOptions) -> Result<List, Error> {
        self.select(row, namespace, options).await?.into_list().await
    }

    /// The revision that a get waits for before it is answered, if it names one.
    pub fn awaited_by_get(&self, options: &GetOptions) -> Option<u64> {
        parse_revision(&options.resource_version).ok().filter(|revision| *revision > self.revision())
    }

    /// The revision that a list waits for before it is answered, if it names one that has not come. `None` too where the
    /// list is refused for another reason.
    pub fn awaited_by_list(&self, row: &Resource, namespace: &str, options: &ListOptions) -> Option<u64> {
        check_list_options(options, ListVerb::List).ok()?;
        filter(row, namespace, options).ok()?;
        let awaited = match asked(options).ok()?.0 {
            Wanted::Latest => None,
            Wanted::NotOlder(revision) | Wanted::Exact(revision) => Some(revision),
        };
        awaited.filter(|revision| *revision > self.revision())
    }

    /// Waits until reads of a row show that revision. Errors: Ahead, when it does not come; of rows whose objects have a lifetime,
    /// which Kubernetes keeps in no cache that could come to it, 504 without a time to try again.
    pub async fn wait_until(&self, row: &Resource, revision: u64) -> Result<(), Error> {
        let cached = self.inner.table.load().storage_of(row).lifetime.is_none();
        match self.inner.watch.wait_until(revision).await {
            Err(sampan_watch::Error::Ahead { wanted, current }) if !cached => {
                Err(Status::too_large_resource_version(wanted, current, 0).into())
            }
            waited => Ok(waited?),
        }
    }

    /// Several objects, to be read as they are sent. Errors: as [`Self::list`].
    pub async fn select(&self, row: &Resource, namespace: &str, options: &ListOptions) -> Result<Selection, Error> {
        if row.converted_by.is_some() {
            return self.select_converted(row, namespace, options).await;
        }
        Ok(self.select_stored(row, namespace, options).await?.converted(self, row))
    }

    /// As [`Self::select`], with each object as it is stored.
    pub(crate) async fn select_stored(
        &self,
        row: &Resource,
        namespace: &str,
        options: &ListOptions,
    ) -> Result<Selection, Error> {
        let table = self.inner.table.load();
        let place = self.place(&table, row, namespace)?;
        check_list_options(options, ListVerb::List)?;
        let filter = filter(row, namespace, options)?;
        let (wanted, token) = asked(options)?;
        let limit = limit(options);
        let after = token.as_ref().map(|token| format!("{}{}", place.prefix, token.after));
        let left = token.as_ref().and_then(|token| token.left);
        if let (Some(token), Wanted::Exact(revision)) = (&token, wanted)
            && revision < self.inner.floors.get(place.storage.history)
        {
            return Err(Error::ContinueExpired { token: token.inconsistent().encode() });
        }
        let snapshot = match wanted {
            Wanted::Latest => {
                self.catch_up().await?;
                Some(self.inner.watch.snapshot(&place.prefix)?)
            }
            Wanted::NotOlder(revision) => {
                self.inner.watch.wait_until(revision).await?;
                Some(self.inner.watch.snapshot(&place.prefix)?)
            }
            Wanted::Exact(revision) => {
                self.inner.watch.wait_until(revision).await?;
                let mut snapshot = self.inner.watch.snapshot(&place.prefix)?;
                // Nothing of this resource has changed since: the current state is that revision's.
                let same = snapshot.changed <= revision;
                snapshot.revision = revision;
                same.then_some(snapshot)
            }
        };
        let page = match (snapshot, wanted) {
            (Some(snapshot), _) => self.page_of(snapshot, &place, filter, limit, after.as_deref(), left),
            (None, Wanted::Exact(revision)) => {
                let key_prefix = filter.key_prefix(&place.prefix, place.row.namespaced);
                let handed_out = token.as_ref().is_some_and(|token| token.is_of(&self.inner.seal, &key_prefix));
                let asked = if handed_out { Asked::ToGoOn } else { Asked::Outright };
                let page = match self.view(&table, &place, revision, asked, &options.history).await {
                    Ok(view) => self.page_of_history(&place, &filter, limit, after, left, revision, &view).await,
                    Err(error) => Err(error),
                };
                match (page, &token) {
                    // A list that cannot go on where it was goes on with what is current.
                    (Err(Error::Expired(_) | Error::Status(_)), Some(token)) => {
                        return Err(Error::ContinueExpired { token: token.inconsistent().encode() });
                    }
                    (page, _) => Selection::held(page?),
                }
            }
            (None, _) => return Err(Error::Internal("a list has neither a state nor a revision".into())),
        };
        Ok(page)
    }

    /// Objects of the row's resource at the moment, in all namespaces.
    pub fn count(&self, row: &Resource) -> usize {
        let table = self.inner.table.load();
        let place = self.place(&table, row, "");
        place.and_then(|place| Ok(self.inner.watch.snapshot(&place.prefix)?.len())).unwrap_or(0)
    }

    /// Bytes of an object as it is stored now; 0: there is none.
    pub fn stored_bytes(&self, row: &Resource, namespace: &str, name: &str) -> usize {
        self.current(row, namespace, name).map_or(0, |record| record.json.len())
    }

    /// An object as it is stored now, of a row that can be read.
    pub(crate) fn current(&self, row: &Resource, namespace: &str, name: &str) -> Option<Arc<Record>> {
        let table = self.inner.table.load();
        let place = self.place(&table, row, namespace).ok()?;
        self.inner.watch.get(&place.prefix, &place.key(name)).ok().flatten()
    }

    /// Waits until reads show everything that was committed when this was called, by whatever server.
    pub(crate) async fn catch_up(&self) -> Result<(), Error> {
        let current = self.inner.store.current_revision().await?;
        Ok(self.inner.watch.wait_until(current).await?)
    }

    /// An object as of a revision that reads have reached.
    pub(crate) async fn stored(
        &self,
        place: &Place<'_>,
        key: &str,
        revision: u64,
    ) -> Result<Option<Arc<Record>>, Error> {
        let entry = self.inner.store.get(key, Some(revision)).await.map_err(|error| gone(error, revision))?;
        entry.map(|entry| Ok(Arc::new(self.inner.watch.record(&place.prefix, &entry)?))).transpose()
    }

    fn page_of(
        &self,
        snapshot: Snapshot,
        place: &Place<'_>,
        mut filter: Filter,
        limit: u64,
        after: Option<&str>,
        left: Option<u64>,
    ) -> Selection {
        let (key_prefix, one) = sought(&filter, place);
        if place.row.namespaced && !filter.namespace.is_empty() {
            // The keys say so.
            filter.namespace.clear();
        }
        let revision = snapshot.revision;
        let start = after.map(Arc::from);
        if limit == 0 {
            let sieve = filter.sieve();
            return Selection::current(Current { snapshot, filter, sieve, key_prefix, after: start, left: u64::MAX });
        }
        let rest = snapshot.select(&filter, &key_prefix, after);
        // The token stands before the items: where the page ends is looked up first.
        let mut items = Vec::new();
        let mut count = 0;
        let mut last: Option<&Arc<str>> = None;
        for (key, record) in rest.take(limit.min(usize::MAX as u64) as usize) {
            if limit <= LIST_HELD_MAX {
                items.push(record.clone());
            }
            count += 1;
            last = Some(key);
        }
        // As in Kubernetes' storage, a full page has another behind it where any object has: whether one is selected is not
        // looked at.
        let full = last.filter(|_| count == limit && !one);
        let more = full.filter(|last| snapshot.range(&key_prefix, Some(last.as_ref())).next().is_some());
        let (token, remaining) = match more {
            Some(last) => {
                // Kubernetes tells the number only where it need not look at each object. Later pages know it from the first.
                let remaining = match left {
                    _ if selects(&filter) => None,
                    Some(left) => Some(left.saturating_sub(count)),
                    // Counted in the map: no key and no object is read.
                    None => Some(snapshot.range(&key_prefix, Some(last.as_ref())).count() as u64),
                };
                let token = Token::new(revision, &last[place.prefix.len()..], remaining);
                (Some(token.sealed(&self.inner.seal, &key_prefix).encode()), remaining)
            }
            None => (None, None),
        };
        if limit <= LIST_HELD_MAX {
            return Selection::held(List { items, revision, continue_token: token, remaining });
        }
        let sieve = filter.sieve();
        let mut walk = Selection::current(Current { snapshot, filter, sieve, key_prefix, after: start, left: count });
        (walk.continue_token, walk.remaining) = (token, remaining);
        walk
    }

    #[allow(clippy::too_many_arguments, reason = "one page of one list, which has these in hand")]
    async fn page_of_history(
        &self,
        place: &Place<'_>,
        filter: &Filter,
        limit: u64,
        mut after: Option<String>,
        left: Option<u64>,
        revision: u64,
        view: &View,
    ) -> Result<List, Error> {
        let (key_prefix, one) = sought(filter, place);
        let mut items = Vec::new();
        // What is left out is known only once it was read; where nothing is, no more is read than the page takes.
        let all = view.is_all() && !selects(filter);
        let mut last = String::new();
        'pages: loop {
            let room = if limit == 0 { u64::MAX } else { limit - items.len() as u64 };
            let page = if all { room.min(HISTORY_PAGE_MAX as u64) as usize } else { HISTORY_PAGE_MAX };
            let range = Range { prefix: key_prefix.clone(), start_after: after.take(), limit: Some(page) };
            let found = self.inner.store.range(range, Some(revision)).await.map_err(|error| gone(error, revision))?;
            for entry in &found.entries {
                let record = self.inner.watch.record(&place.prefix, entry)?;
                if view.shows(&record.key) && filter.matches(&record) {
                    last = entry.key.to_string();
                    items.push(Arc::new(record));
                    if items.len() as u64 == limit {
                        break 'pages;
                    }
                }
            }
            match found.entries.last() {
                Some(entry) if found.more => after = Some(entry.key.to_string()),
                _ => break,
            }
        }
        let full = limit > 0 && items.len() as u64 == limit && !one;
        // The first page counts what is behind it to its end, where Kubernetes tells the number.
        let most = if left.is_none() && !selects(filter) { u64::MAX } else { 1 };
        let behind = if full { self.behind(place, &key_prefix, &last, view, most).await? } else { 0 };
        let more = behind > 0;
        let remaining = match left {
            _ if !more || selects(filter) => None,
            Some(left) => Some(left.saturating_sub(items.len() as u64)),
            None => Some(behind),
        };
        let token = || Token::new(revision, &last[place.prefix.len()..], remaining);
        let token = more.then(|| token().sealed(&self.inner.seal, &key_prefix).encode());
        Ok(List { items, revision, continue_token: token, remaining })
    }
}

/// Whether the filter leaves anything out that stands under its keys.
fn selects(filter: &Filter) -> bool {
    !filter.labels.is_everything() || !filter.fields.is_everything()
}

/// The prefix of the keys among which the filter selects, and whether there can be no more than one such object: Kubernetes reads
/// that by its key, and not as a list. Here those whose keys begin with its own are looked at.
fn sought(filter: &Filter, place: &Place<'_>) -> (String, bool) {
    let key_prefix = filter.key_prefix(&place.prefix, place.row.namespaced);
    match filter.fields.required_value("metadata.name") {
        Some(name) if !place.row.namespaced || key_prefix != place.prefix => (key_prefix + name, true),
        _ => (key_prefix, false),
    }
}

pub(crate) fn parse_revision(text: &str) -> Result<u64, Error> {
    if text.is_empty() {
        return Ok(0);
    }
    parse_uint(text).map_err(|why| {
        let text = sampan_api::field::go_quote(text);
        Error::BadRequest(format!("invalid resource version: resourceVersion: Invalid value: {text}: {why}"))
    })
}

/// The error is Go's `strconv.ParseUint`'s.
pub(crate) fn parse_uint(text: &str) -> Result<u64, String> {
    let quoted = sampan_api::field::go_quote(text);
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("strconv.ParseUint: parsing {quoted}: invalid syntax"));
    }
    text.parse().map_err(|_| format!("strconv.ParseUint: parsing {quoted}: value out of range"))
}

/// apiserver's reading of resourceVersion, resourceVersionMatch and limit for lists without a token.
fn wanted(options: &ListOptions) -> Result<Wanted, Error> {
    let revision = parse_revision(&options.resource_version)?;
    Ok(match (options.resource_version.as_str(), options.version_match.as_str()) {
        ("", _) => Wanted::Latest,
        // Another way to write 0: no revision, and no word about pages.
        _ if revision == 0 => Wanted::NotOlder(0),
        (_, "Exact") => Wanted::Exact(revision),
        (_, "NotOlderThan") => Wanted::NotOlder(revision),
        // Without a match, a limited list of a revision is of exactly that one.
        _ if options.limit > 0 => Wanted::Exact(revision),
        _ => Wanted::NotOlder(revision),
    })
}

/// The most objects of a page; 0: all. As kube-apiserver's cache does, what is asked for in any state is given whole.
fn limit(options: &ListOptions) -> u64 {
    if options.resource_version == "0" { 0 } else { options.limit }
}

/// The revision that a list asks for, and the token where it goes on.
fn asked(options: &ListOptions) -> Result<(Wanted, Option<Token>), Error> {
    if options.continue_token.is_empty() {
        return Ok((wanted(options)?, None));
    }
    let token = Token::decode(&options.continue_token)?;
    if !matches!(options.resource_version.as_str(), "" | "0") {
        return Err(Error::BadRequest("specifying resource version is not allowed when using continue".into()));
    }
    Ok((token.revision().map_or(Wanted::Latest, Wanted::Exact), Some(token)))
}

/// The verb that list options are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListVerb {
    List,
    Watch,
}

/// Refuses options that exclude each other (apimachinery's ValidateListOptions), with 422.
pub fn check_list_options(options: &ListOptions, verb: ListVerb) -> Result<(), Error> {
    let mut errors = FieldErrors::default();
    let path = Path::new("resourceVersionMatch");
    let (matching, version) = (options.version_match.as_str(), options.resource_version.as_str());
    let forbidden = |text: &str| FieldError::forbidden(&path, text);
    if verb == ListVerb::Watch {
        // A watch that names no revision begins with the state, which is a list's business: it is never that of a page.
        let begins_with_state = options.send_initial_events.is_none() && matches!(version, "" | "0");
        if options.send_initial_events.is_some() && matching != "NotOlderThan" {
            errors.push(forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
        }
        if !matching.is_empty() && options.send_initial_events.is_none() {
            errors.push(forbidden("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"));
        }
        if !matching.is_empty() && matching != "NotOlderThan" {
            errors.push(FieldError::not_supported(&path, matching, &["NotOlderThan"]));
        }
        if (!matching.is_empty() || begins_with_state) && !options.continue_token.is_empty() {
            errors.push(forbidden("resourceVersionMatch is forbidden when continue is provided"));
        }
    } else {
        if !matching.is_empty() {
            if version.is_empty() {
                errors.push(forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided"));
            }
            if !options.continue_token.is_empty() {
                errors.push(forbidden("resourceVersionMatch is forbidden when continue is provided"));
            }
            if !matches!(matching, "Exact" | "NotOlderThan") {
                errors.push(FieldError::not_supported(&path, matching, &["Exact", "NotOlderThan", ""]));
            }
            if matching == "Exact" && version == "0" {
                errors.push(forbidden("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
            }
        }
        if options.send_initial_events.is_some() {
            let path = Path::new("sendInitialEvents");
            errors.push(FieldError::forbidden(&path, "sendInitialEvents is forbidden for list"));
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    let kind = GroupKind { group: "meta.k8s.io".into(), kind: "ListOptions".into() };
    Err(Error::Invalid { kind, name: String::new(), errors })
}

/// Refuses a selection by fields that objects of the row are not selected by.
///
/// # Errors
/// BadRequest.
pub fn check_fields(row: &Resource, options: &ListOptions) -> Result<(), Error> {
    filter(row, "", options).map(drop)
}

/// The selection in the labels under which the stored row indexes its fields.
pub(crate) fn filter(row: &Resource, namespace: &str, options: &ListOptions) -> Result<Filter, Error> {
    let mut fields = FieldSelector::clone(&options.fields);
    for requirement in &mut fields.requirements {
        // Conversion functions of kinds outside namespaces know no label of theirs.
        let placed = row.namespaced || (row.selectable.is_empty() && !row.defined);
        if requirement.field == "metadata.name" || (requirement.field == "metadata.namespace" && placed) {
            continue;
        }
        match row.selectable.iter().find(|field| field.label == requirement.field) {
            Some(field) => {
                if let Some(indexed_as) = &field.indexed_as {
                    requirement.field = indexed_as.to_string();
                }
            }
            // Kinds with labels of their own, and all that are defined, have a conversion function in Go, with another text.
            None if row.selectable.is_empty() && !row.defined => {
                let label = sampan_api::field::go_quote(&requirement.field);
                return Err(Error::BadRequest(format!(
                    "{label} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                )));
            }
            None => return Err(Error::BadRequest((row.refused_label)(row, &requirement.field))),
        }
    }
    let namespace = if row.namespaced { namespace } else { "" };
    Ok(Filter { namespace: namespace.to_owned(), labels: options.labels.clone(), fields })
}
