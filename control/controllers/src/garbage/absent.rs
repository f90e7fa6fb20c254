//! Owners that are known to be gone, so that a burst of dependents asks the API once for each owner.

use crate::limits;
use sampan_api::object::OwnerReference;
use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

/// One owner as a dependent of that namespace names it (Kubernetes' absentOwnerCache has the same key): a wrong kind or
/// name beside a living owner's UID, or another namespace, says nothing of the owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    uid: String,
    api_version: String,
    kind: String,
    namespace: String,
    name: String,
}

impl Reference {
    pub(super) fn new(owner: &OwnerReference, namespace: &str) -> Self {
        Self {
            uid: owner.uid.clone(),
            api_version: owner.api_version.clone(),
            kind: owner.kind.clone(),
            namespace: namespace.to_owned(),
            name: owner.name.clone(),
        }
    }
}

/// Bounded: the oldest is forgotten first.
struct Recent<T> {
    all: HashSet<T>,
    order: VecDeque<T>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { all: HashSet::new(), order: VecDeque::new() }
    }
}

impl<T: Clone + Hash + Eq> Recent<T> {
    fn note(&mut self, one: T) {
        if !self.all.insert(one.clone()) {
            return;
        }
        self.order.push_back(one);
        if self.order.len() > limits::ABSENT_OWNERS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
    }
}

#[derive(Default)]
pub(super) struct Absent {
    /// UIDs of objects whose deletion was seen: they are gone whoever names them, and however.
    deleted: Recent<Arc<str>>,
    /// References that the server did not find.
    unfound: Recent<Reference>,
}

impl Absent {
    pub(super) fn deleted(&mut self, uid: &Arc<str>) {
        self.deleted.note(uid.clone());
    }

    pub(super) fn was_deleted(&self, uid: &str) -> bool {
        self.deleted.all.contains(uid)
    }

    pub(super) fn note(&mut self, reference: Reference) {
        self.unfound.note(reference);
    }

    pub(super) fn has(&self, reference: &Reference) -> bool {
        self.unfound.all.contains(reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(kind: &str, namespace: &str, name: &str) -> Reference {
        let owner = OwnerReference {
            api_version: "v1".into(),
            kind: kind.into(),
            name: name.into(),
            uid: "u".into(),
            controller: false,
            block_owner_deletion: false,
        };
        Reference::new(&owner, namespace)
    }

    #[test]
    fn a_false_reference_says_nothing_of_the_uid_that_it_names() {
        let mut absent = Absent::default();
        absent.note(reference("Secret", "other", "nope"));
        let check = |kind: &str, namespace: &str, name: &str, expected: bool| {
            assert_eq!(absent.has(&reference(kind, namespace, name)), expected, "{kind} {namespace}/{name}");
        };
        check("Secret", "other", "nope", true);
        check("ConfigMap", "other", "nope", false);
        check("Secret", "default", "nope", false);
        check("Secret", "other", "owner", false);
        assert!(!absent.was_deleted("u"));
        absent.deleted(&"u".into());
        assert!(absent.was_deleted("u"));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut absent = Absent::default();
        for at in 0..=limits::ABSENT_OWNERS_MAX {
            absent.deleted(&at.to_string().into());
        }
        assert!(!absent.was_deleted("0") && absent.was_deleted("1"));
    }
}
