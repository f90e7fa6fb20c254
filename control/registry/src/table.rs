//! All rows, found by what a URL names and by what a body names.

use crate::encode::First;
use crate::resource::{Body, Convert, Extract, Name, Resource};
use arc_swap::{ArcSwap, Guard};
use sampan_api::meta::{GroupVersion, GroupVersionKind, GroupVersionResource};
use sampan_api::object::Object;
use sampan_schema::Schema;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::watch;

/// The table of resources. Immutable: a change makes another one.
pub struct ResourceTable {
    /// Which of the tables that were current it is: see [`ResourceTable::generation`].
    generation: u64,
    rows: Vec<Arc<Resource>>,
    /// group -> version -> resource -> index into `rows`.
    by_resource: HashMap<String, HashMap<String, HashMap<String, usize>>>,
    by_kind: HashMap<GroupVersionKind, usize>,
    /// What discovery shows of it; `None`: all.
    announced: Option<Arc<ResourceTable>>,
}

/// The reason why rows make no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    #[error("two rows serve {0}")]
    Duplicate(String),
    #[error("{row} is stored as {storage}, which is no stored row of its own")]
    NoStorage { row: String, storage: String },
    #[error("{row}: the selector {label} is indexed as {indexed_as}, which its storage does not index")]
    NoIndex { row: String, label: String, indexed_as: String },
}

impl ResourceTable {
    /// The built-in rows that are served where the configuration says nothing ([`crate::RuntimeConfig`]), with their types out
    /// of the built-in schema.
    pub fn builtin() -> Result<Self, TableError> {
        let schema = Schema::builtin();
        let rows = crate::kinds::all().into_iter().filter(|row| row.by_default);
        Self::new(rows.map(|row| row.typed(schema)))
    }

    /// In the order of discovery.
    pub fn new(rows: impl IntoIterator<Item = Resource>) -> Result<Self, TableError> {
        Self::of(rows.into_iter().map(Arc::new).collect())
    }

    fn of(rows: Vec<Arc<Resource>>) -> Result<Self, TableError> {
        let (by_resource, by_kind) = (HashMap::new(), HashMap::new());
        let mut table = Self { generation: 0, rows, by_resource, by_kind, announced: None };
        for (index, row) in table.rows.iter().enumerate() {
            let version = table.by_resource.entry(row.group.to_string()).or_default().entry(row.version.to_string());
            if version.or_default().insert(row.resource.to_string(), index).is_some() {
                return Err(TableError::Duplicate(format!("{row:?}")));
            }
            if !row.served {
                continue;
            }
            // Rows that are only called (reviews, bindings) may share a kind with a stored one's subresource.
            if row.body == Body::Stored || !table.by_kind.contains_key(&row.gvk()) {
                table.by_kind.insert(row.gvk(), index);
            }
        }
        for row in &table.rows {
            let Some(stored_as) = &row.stored_as else { continue };
            let at = &stored_as.storage;
            let storage = table.find(&at.group, &at.version, &at.resource).filter(|s| s.stored_as.is_none());
            let Some(storage) = storage.filter(|s| s.body == Body::Stored && s.namespaced == row.namespaced) else {
                return Err(TableError::NoStorage { row: format!("{row:?}"), storage: at.to_string() });
            };
            // What others convert is selected once it is converted.
            for field in row.selectable.iter().filter(|_| row.converted_by.is_none()) {
                let indexed_as = field.indexed_as.as_ref().unwrap_or(&field.label);
                if !storage.selectable.iter().any(|indexed| indexed.label == *indexed_as) {
                    return Err(TableError::NoIndex {
                        row: format!("{row:?}"),
                        label: field.label.to_string(),
                        indexed_as: indexed_as.to_string(),
                    });
                }
            }
        }
        Ok(table)
    }

    /// This table with other rows added (a CRD's versions), which may be of a table before.
    pub fn with(&self, rows: impl IntoIterator<Item = Arc<Resource>>) -> Result<Self, TableError> {
        Self::of(self.rows.iter().cloned().chain(rows).collect())
    }

    /// This table without the rows that the closure names.
    pub fn without(&self, gone: impl Fn(&Resource) -> bool) -> Result<Self, TableError> {
        Self::of(self.rows.iter().filter(|row| !gone(row)).cloned().collect())
    }

    /// This table, of which discovery does not show what the closure names. Requests of this process find it; those from
    /// outside as `Registry::is_established` says.
    pub fn hiding(self, hidden: impl Fn(&Resource) -> bool) -> Result<Self, TableError> {
        let announced =
            if self.rows.iter().any(|row| hidden(row)) { Some(Arc::new(self.without(hidden)?)) } else { None };
        Ok(Self { announced, ..self })
    }

    /// What discovery shows of this table.
    pub fn announced(self: &Arc<Self>) -> Arc<Self> {
        self.announced.as_ref().unwrap_or(self).clone()
    }

    /// Whether discovery shows a row of this table.
    pub fn shows(&self, row: &Resource) -> bool {
        let found = |announced: &Arc<Self>| announced.find(&row.group, &row.version, &row.resource).is_some();
        self.announced.as_ref().is_none_or(found)
    }

    /// The number of tables that were current before this one: what is made of a table stays right while it is the same.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The row that is served at a place.
    pub fn lookup(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Resource>> {
        self.find(group, version, resource).filter(|row| row.served)
    }

    fn find(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Resource>> {
        let index = *self.by_resource.get(group)?.get(version)?.get(resource)?;
        self.rows.get(index)
    }

    pub fn of_resource(&self, gvr: &GroupVersionResource) -> Option<&Arc<Resource>> {
        self.lookup(&gvr.group, &gvr.version, &gvr.resource)
    }

    pub fn of_kind(&self, gvk: &GroupVersionKind) -> Option<&Arc<Resource>> {
        self.rows.get(*self.by_kind.get(gvk)?)
    }

    /// The row whose version is the stored one: itself, where it shares no other's storage.
    pub fn storage_of<'a>(&'a self, row: &'a Resource) -> &'a Resource {
        match &row.stored_as {
            None => row,
            Some(stored_as) => {
                let at = &stored_as.storage;
                self.find(&at.group, &at.version, &at.resource).map_or(row, |storage| storage)
            }
        }
    }

    /// The rows that are served.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.rows.iter().filter(|row| row.served)
    }

    /// All rows, also those in whose version objects are only stored.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.rows.iter()
    }

    /// Each served group and version, once, in the order of the rows.
    pub fn group_versions(&self) -> Vec<GroupVersion> {
        let mut seen = BTreeSet::new();
        let all = self.iter().map(|row| GroupVersion::new(row.group.to_string(), row.version.to_string()));
        all.filter(|gv| seen.insert((gv.group.clone(), gv.version.clone()))).collect()
    }

    /// The rows of one group and version, in their order.
    pub fn of_group_version<'a>(&'a self, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Arc<Resource>> {
        self.iter().filter(move |row| row.group == group && row.version == version)
    }
}

/// The table that is current. Who serves a request reads it once, and keeps what it read.
pub(crate) struct Current {
    table: ArcSwap<ResourceTable>,
    generation: watch::Sender<u64>,
}

impl Current {
    pub(crate) fn new(table: Arc<ResourceTable>) -> Self {
        Self { generation: watch::Sender::new(table.generation), table: ArcSwap::new(table) }
    }

    pub(crate) fn load_full(&self) -> Arc<ResourceTable> {
        self.table.load_full()
    }

    pub(crate) fn load(&self) -> Guard<Arc<ResourceTable>> {
        self.table.load()
    }

    /// Puts another table in the place of this one. There is one who does.
    pub(crate) fn replace(&self, mut table: ResourceTable) {
        table.generation = self.load().generation + 1;
        let generation = table.generation;
        self.table.store(Arc::new(table));
        self.generation.send_replace(generation);
    }
}

/// Tells of each table that becomes current.
pub struct TableChanges {
    current: Arc<Current>,
    seen: watch::Receiver<u64>,
}

impl TableChanges {
    pub(crate) fn of(current: &Arc<Current>) -> Self {
        Self { seen: current.generation.subscribe(), current: current.clone() }
    }

    /// The table that is current now; a later change is still to be told.
    pub fn table(&mut self) -> Arc<ResourceTable> {
        self.seen.mark_unchanged();
        Arc::clone(&self.current.load())
    }

    /// The next table that becomes current. Of several in a short time only the last is told.
    pub async fn changed(&mut self) -> Arc<ResourceTable> {
        // The sender lives as long as what is held here.
        if self.seen.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        Arc::clone(&self.current.load())
    }
}

/// The prefix of a (stored) row's objects: `/registry/apps/deployments/`.
pub(crate) fn storage_prefix(row: &Resource) -> String {
    let (group, resource) = match &row.stored_as {
        None => (row.group.as_ref(), row.resource.as_ref()),
        Some(stored_as) => (stored_as.storage.group.as_str(), stored_as.storage.resource.as_str()),
    };
    let group = if group.is_empty() { "core" } else { group };
    let mut prefix = String::with_capacity(128);
    for part in ["/registry/", group, "/", resource, "/"] {
        prefix.push_str(part);
    }
    prefix
}

/// The fields that a stored row's records are indexed by, besides name and namespace. Labels are interned: they live as
/// long as the process, as a record's must, and a CRD that comes back finds its own.
pub(crate) struct Index {
    pub(crate) fields: Vec<(&'static str, Extract)>,
    pub(crate) dispatch: Arc<[&'static str]>,
    /// Brings what is read from the store into the form of the row: [`Resource::settle`].
    pub(crate) settle: Option<Convert>,
    /// The member that its records' encodings begin with.
    pub(crate) first: First,
    /// The type of the row's objects, shared by their records.
    api_version: Arc<str>,
    kind: Arc<str>,
}

impl Index {
    pub(crate) fn of(row: &Resource) -> Self {
        let mut fields = Vec::with_capacity(row.selectable.len());
        let mut dispatch = Vec::new();
        // Another name of a field that the row has is looked up under that one.
        let is_indexed = |name: &Name| row.selectable.iter().any(|one| one.label == *name && one.indexed_as.is_none());
        for field in row.selectable.iter().filter(|field| !field.indexed_as.as_ref().is_some_and(is_indexed)) {
            let label = intern(&field.label);
            fields.push((label, field.extract.clone()));
            if field.dispatch {
                dispatch.push(label);
            }
        }
        let gvk = row.gvk();
        Self {
            fields,
            dispatch: dispatch.into(),
            settle: row.settle.clone(),
            first: First::of(row),
            api_version: gvk.group_version().to_string().into(),
            kind: gvk.kind.as_str().into(),
        }
    }

    /// The `apiVersion` and the kind of an object that is stored under this row.
    pub(crate) fn types(&self, api_version: &str, kind: &str) -> (Arc<str>, Arc<str>) {
        let shared = |own: &Arc<str>, text: &str| if **own == *text { own.clone() } else { text.into() };
        (shared(&self.api_version, api_version), shared(&self.kind, kind))
    }

    pub(crate) fn values(&self, object: &Object) -> Arc<[(&'static str, String)]> {
        if self.fields.is_empty() {
            return Arc::default();
        }
        self.fields.iter().map(|(label, extract)| (*label, extract.value(object))).collect()
    }
}

fn intern(label: &str) -> &'static str {
    static INTERNED: parking_lot::Mutex<BTreeSet<&'static str>> = parking_lot::Mutex::new(BTreeSet::new());
    let mut interned = INTERNED.lock();
    if let Some(known) = interned.get(label) {
        return known;
    }
    let leaked: &'static str = Box::leak(label.to_owned().into_boxed_str());
    interned.insert(leaked);
    leaked
}
