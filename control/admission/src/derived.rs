//! What is made of the objects of a copy of the cluster, once for each revision of them.

use parking_lot::Mutex;
use sampan_api::Object;
use sampan_client::Informer;
use std::collections::HashMap;
use std::sync::Arc;

/// Objects in the form in which they are used.
pub(crate) struct Derived<T> {
    objects: Informer,
    make: fn(&Object) -> T,
    /// By name, each of one object's revision.
    made: Mutex<HashMap<Arc<str>, Made<T>>>,
}

/// An object's UID and the revision of its last write.
type Revision = (Arc<str>, u64);

/// What was made of an object's revision.
type Made<T> = (Revision, Arc<T>);

impl<T> Derived<T> {
    /// Made of cluster-scoped objects when they are first asked for.
    pub(crate) fn new(objects: Informer, make: fn(&Object) -> T) -> Self {
        Self { objects, make, made: Mutex::default() }
    }

    /// Whether there are no objects.
    pub(crate) fn is_empty(&self) -> bool {
        self.objects.store().is_empty()
    }

    /// All of them, by the names of the objects.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        let records = self.objects.store().list();
        let mut made = self.made.lock();
        let mut all: Vec<(Arc<str>, Arc<T>)> = Vec::with_capacity(records.len());
        for record in &records {
            let name: Arc<str> = (&*record.key.name).into();
            let revision = (record.uid.clone(), record.mod_revision);
            let one = match made.get(&name) {
                Some((of, one)) if *of == revision => one.clone(),
                _ => Arc::new((self.make)(&record.object())),
            };
            made.insert(name.clone(), (revision, one.clone()));
            all.push((name, one));
        }
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        if made.len() > all.len() {
            made.retain(|name, _| all.binary_search_by(|(known, _)| known.cmp(name)).is_ok());
        }
        all.into_iter().map(|(_, one)| one).collect()
    }
}
