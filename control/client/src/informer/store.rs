use parking_lot::RwLock;
use sampan_api::{Record, RecordKey};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::marker::PhantomData;
use std::ops::Bound;
use std::sync::Arc;

pub(super) type IndexFn = Arc<dyn Fn(&Record) -> Vec<String> + Send + Sync>;

/// An index by the UIDs of an object's owners.
pub fn by_owner_uid(record: &Record) -> Vec<String> {
    record.owners.iter().map(|owner| owner.uid.clone()).collect()
}

/// An index by the UID of the owner that is the controller.
pub fn by_controller_uid(record: &Record) -> Vec<String> {
    record.owners.iter().filter(|owner| owner.controller).map(|owner| owner.uid.clone()).collect()
}

/// An index by a selectable field: `by_field("spec.nodeName")`. Objects without it are not in the index.
pub fn by_field(field: &'static str) -> impl Fn(&Record) -> Vec<String> + Send + Sync + 'static {
    move |record| record.field(field).filter(|value| !value.is_empty()).map(str::to_owned).into_iter().collect()
}

/// The objects of an informer by namespace and name, and by its indexes. Reads never wait for more than a pointer copy.
#[derive(Default)]
pub struct Store {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    records: BTreeMap<RecordKey, Arc<Record>>,
    indexes: HashMap<&'static str, Index>,
}

struct Index {
    values: IndexFn,
    keys: HashMap<String, BTreeSet<RecordKey>>,
}

impl Index {
    fn add(&mut self, record: &Record) {
        for value in (self.values)(record) {
            self.keys.entry(value).or_default().insert(record.key.clone());
        }
    }

    fn remove(&mut self, record: &Record) {
        for value in (self.values)(record) {
            if let Some(keys) = self.keys.get_mut(&value) {
                keys.remove(&record.key);
                if keys.is_empty() {
                    self.keys.remove(&value);
                }
            }
        }
    }
}

impl Store {
    pub fn get(&self, key: &RecordKey) -> Option<Arc<Record>> {
        self.inner.read().records.get(key).cloned()
    }

    /// Every object, by namespace and name.
    pub fn list(&self) -> Vec<Arc<Record>> {
        self.inner.read().records.values().cloned().collect()
    }

    pub fn list_namespace(&self, namespace: &str) -> Vec<Arc<Record>> {
        let inner = self.inner.read();
        let start = Bound::Included(RecordKey::new(namespace, ""));
        let all = inner.records.range((start, Bound::Unbounded));
        all.take_while(|(key, _)| &*key.namespace == namespace).map(|(_, record)| record.clone()).collect()
    }

    /// The objects for which the index has the value, by namespace and name; none when there is no such index.
    pub fn by_index(&self, index: &str, value: &str) -> Vec<Arc<Record>> {
        let inner = self.inner.read();
        let keys = inner.indexes.get(index).and_then(|index| index.keys.get(value));
        keys.into_iter().flatten().filter_map(|key| inner.records.get(key).cloned()).collect()
    }

    pub fn len(&self) -> usize {
        self.inner.read().records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn add_index(&self, name: &'static str, values: IndexFn) {
        let mut inner = self.inner.write();
        if inner.indexes.contains_key(name) {
            return;
        }
        let mut index = Index { values, keys: HashMap::new() };
        inner.records.values().for_each(|record| index.add(record));
        inner.indexes.insert(name, index);
    }

    pub(super) fn insert(&self, record: Arc<Record>) -> Option<Arc<Record>> {
        let mut inner = self.inner.write();
        let old = inner.records.insert(record.key.clone(), record.clone());
        for index in inner.indexes.values_mut() {
            if let Some(old) = &old {
                index.remove(old);
            }
            index.add(&record);
        }
        old
    }

    pub(super) fn remove(&self, key: &RecordKey) -> Option<Arc<Record>> {
        let mut inner = self.inner.write();
        let old = inner.records.remove(key)?;
        inner.indexes.values_mut().for_each(|index| index.remove(&old));
        Some(old)
    }
}

/// A [`Store`] read as one typed kind. Each object is decoded at most once, whoever asks. One that does not decode is
/// left out and logged: an API server never serves such.
pub struct Lister<K> {
    store: Arc<Store>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Lister<K> {
    fn clone(&self) -> Self {
        Self::new(self.store.clone())
    }
}

impl<K> Lister<K> {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store, kind: PhantomData }
    }

    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }
}

impl<K: DeserializeOwned + Send + Sync + 'static> Lister<K> {
    /// `namespace` is empty for a cluster-scoped kind.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.store.get(&RecordKey::new(namespace, name)).as_deref().and_then(decode)
    }

    pub fn list(&self) -> Vec<Arc<K>> {
        self.store.list().iter().filter_map(|record| decode(record)).collect()
    }

    pub fn list_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.store.list_namespace(namespace).iter().filter_map(|record| decode(record)).collect()
    }

    pub fn by_index(&self, index: &str, value: &str) -> Vec<Arc<K>> {
        self.store.by_index(index, value).iter().filter_map(|record| decode(record)).collect()
    }
}

fn decode<K: DeserializeOwned + Send + Sync + 'static>(record: &Record) -> Option<Arc<K>> {
    record
        .typed::<K>()
        .inspect_err(|error| tracing::error!(kind = &*record.kind, key = %record.key, %error, "object left out"))
        .ok()
}
