//! Who is asked again after others changed the object (apiserver's reinvocation contexts of webhooks and policies).

use sampan_api::Object;
use std::collections::BTreeSet;

/// What became of those that want to be asked again.
#[derive(Debug)]
pub(crate) struct Invoked<K> {
    /// Asked, and nothing was changed by one of their sort since.
    asked: BTreeSet<K>,
    /// To be asked again.
    again: BTreeSet<K>,
    /// The object as the last one left it.
    output: Object,
}

impl<K: Ord> Invoked<K> {
    /// None was asked yet.
    pub(crate) fn new() -> Self {
        Self { asked: BTreeSet::new(), again: BTreeSet::new(), output: Object::default() }
    }

    /// One that wants to be asked again was asked.
    pub(crate) fn note(&mut self, key: K) {
        self.asked.insert(key);
    }

    /// All that were asked are to be asked again.
    pub(crate) fn require_all(&mut self) {
        self.again.append(&mut self.asked);
    }

    /// Whether one is to be asked again.
    pub(crate) fn wants(&self, key: &K) -> bool {
        self.again.contains(key)
    }

    /// The second round begins: where plugins of this server changed the object in between, all are asked again.
    pub(crate) fn begin_again(&mut self, object: &Object) {
        if *object != self.output {
            self.require_all();
        }
    }

    /// The round ends with the object as it is now.
    pub(crate) fn end(&mut self, object: &Object) {
        self.output = object.clone();
    }
}
