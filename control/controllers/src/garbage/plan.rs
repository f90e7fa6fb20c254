//! The fate of one object: a pure function of it, its owners' states and its dependents.

use sampan_api::Object;
use sampan_api::object::OwnerReference;
use sampan_api::record::Deletion;
use sampan_client::Propagation;
use std::collections::HashSet;
use std::hash::Hash;

/// The finalizer of a deletion that waits for dependents.
pub const FOREGROUND: &str = Deletion::FOREGROUND;
/// The finalizer of a deletion that lets its dependents stay.
pub const ORPHAN: &str = "orphan";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// It is there (or going in a way that does not wait for this object).
    Solid,
    /// It is gone, or never was.
    Absent,
    /// It is being deleted in the foreground.
    WaitsForDependents,
    /// The owner's state is not known: the object stays.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Delete the object.
    Delete(Propagation),
    /// Owner references of these UIDs are taken off.
    DropOwners(Vec<String>),
    /// Take this finalizer off the object.
    RemoveFinalizer(&'static str),
    /// Take this object off its dependents' owner references.
    OrphanDependents,
    /// Delete the dependents that no one else owns.
    DeleteDependents,
    /// Set `blockOwnerDeletion` to false in the references to this object of the dependents that wait for it.
    UnblockDependents,
}

/// The relation of a dependent to the deletion of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependent {
    /// Its reference has no `blockOwnerDeletion`.
    Loose,
    /// The object waits for it.
    Blocks,
    /// It would block, but is itself being deleted in the foreground and waits for the object, directly or by others.
    Circular,
}

/// Everything that waits for `start`: its owners that are being deleted in the foreground and that it blocks, theirs, and
/// so on. `start` is among them where it stands in a circle. `blocked` answers those that wait for the one given.
pub fn waiting_for<K: Clone + Eq + Hash>(start: &K, blocked: impl Fn(&K) -> Vec<K>) -> HashSet<K> {
    let (mut found, mut left) = (HashSet::new(), vec![start.clone()]);
    while let Some(one) = left.pop() {
        for owner in blocked(&one) {
            if found.insert(owner.clone()) {
                left.push(owner);
            }
        }
    }
    found
}

/// `owners` are looked at only while the object is not being deleted.
///
/// A deletion in the foreground waits for the dependents that block it. Dependents that wait for the object in turn are
/// unblocked, as garbagecollector.go does (`unblockOwnerReferences`): it does so before a deletion whose dependents are
/// being deleted, which misses an object that owns itself and objects whose deletion was asked for at the same time.
pub fn plan(object: &Object, owners: &[(OwnerReference, OwnerState)], dependents: &[Dependent]) -> Vec<Action> {
    let has = |finalizer: &str| object.finalizers().any(|one| one == finalizer);
    if object.deletion_timestamp().is_some() {
        if has(ORPHAN) {
            return vec![Action::OrphanDependents, Action::RemoveFinalizer(ORPHAN)];
        }
        if has(FOREGROUND) {
            let mut actions = Vec::new();
            if !dependents.is_empty() {
                actions.push(Action::DeleteDependents);
            }
            if dependents.contains(&Dependent::Circular) {
                // Their next form shows the result.
                actions.push(Action::UnblockDependents);
            } else if !dependents.contains(&Dependent::Blocks) {
                actions.push(Action::RemoveFinalizer(FOREGROUND));
            }
            return actions;
        }
        return Vec::new();
    }
    if owners.is_empty() {
        return Vec::new();
    }
    let keeps = |state: OwnerState| matches!(state, OwnerState::Solid | OwnerState::Unknown);
    let lost: Vec<String> =
        owners.iter().filter(|(_, state)| !keeps(*state)).map(|(owner, _)| owner.uid.clone()).collect();
    if owners.iter().any(|(_, state)| keeps(*state)) {
        return if lost.is_empty() { Vec::new() } else { vec![Action::DropOwners(lost)] };
    }
    let waited_for = owners.iter().any(|(_, state)| *state == OwnerState::WaitsForDependents);
    let propagation = if has(ORPHAN) {
        Propagation::Orphan
    } else if has(FOREGROUND) || (waited_for && !dependents.is_empty()) {
        Propagation::Foreground
    } else {
        Propagation::Background
    };
    vec![Action::Delete(propagation)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(going: bool, finalizers: &[&str]) -> Object {
        let mut value = json!({"metadata": {"name": "a", "finalizers": finalizers}});
        if going {
            value["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        Object::from_value(value).expect("an object")
    }

    fn owner(uid: &str) -> OwnerReference {
        OwnerReference {
            api_version: "v1".into(),
            kind: "X".into(),
            name: uid.into(),
            uid: uid.into(),
            controller: false,
            block_owner_deletion: false,
        }
    }

    #[test]
    fn who_has_lost_every_owner_goes() {
        use OwnerState::{Absent, Solid, Unknown, WaitsForDependents};
        let check = |states: &[OwnerState], finalizers: &[&str], dependents: usize, expected: Vec<Action>| {
            let owners: Vec<_> =
                states.iter().enumerate().map(|(at, state)| (owner(&at.to_string()), *state)).collect();
            let dependents = vec![Dependent::Blocks; dependents];
            assert_eq!(plan(&object(false, finalizers), &owners, &dependents), expected, "{states:?}");
        };
        let delete = |propagation| vec![Action::Delete(propagation)];
        check(&[], &[], 0, vec![]);
        check(&[Solid], &[], 0, vec![]);
        check(&[Unknown], &[], 0, vec![]);
        check(&[Absent], &[], 0, delete(Propagation::Background));
        check(&[Absent], &[FOREGROUND], 0, delete(Propagation::Foreground));
        check(&[Absent], &[ORPHAN], 0, delete(Propagation::Orphan));
        check(&[Absent, Solid], &[], 0, vec![Action::DropOwners(vec!["0".into()])]);
        check(&[WaitsForDependents], &[], 0, delete(Propagation::Background));
        check(&[WaitsForDependents], &[], 1, delete(Propagation::Foreground));
        check(&[WaitsForDependents, Unknown], &[], 0, vec![Action::DropOwners(vec!["0".into()])]);
    }

    #[test]
    fn a_deletion_waits_for_dependents_or_lets_them_go() {
        use Dependent::{Blocks, Circular, Loose};
        let check = |finalizers: &[&str], dependents: &[Dependent], expected: Vec<Action>| {
            assert_eq!(plan(&object(true, finalizers), &[], dependents), expected);
        };
        check(&[], &[Blocks], vec![]);
        check(&["other"], &[Blocks], vec![]);
        check(&[ORPHAN], &[Blocks], vec![Action::OrphanDependents, Action::RemoveFinalizer(ORPHAN)]);
        check(&[FOREGROUND], &[Blocks], vec![Action::DeleteDependents]);
        check(&[FOREGROUND], &[Loose], vec![Action::DeleteDependents, Action::RemoveFinalizer(FOREGROUND)]);
        check(&[FOREGROUND], &[], vec![Action::RemoveFinalizer(FOREGROUND)]);
        check(&[FOREGROUND], &[Circular, Blocks], vec![Action::DeleteDependents, Action::UnblockDependents]);
    }

    #[test]
    fn who_waits_is_found_through_circles() {
        let check = |edges: &[(u8, u8)], start: u8, expected: &[u8]| {
            let blocked = |one: &u8| edges.iter().filter(|(from, _)| from == one).map(|(_, to)| *to).collect();
            assert_eq!(waiting_for(&start, blocked), expected.iter().copied().collect(), "{edges:?} from {start}");
        };
        check(&[], 1, &[]);
        check(&[(1, 1)], 1, &[1]);
        check(&[(1, 2), (2, 1)], 1, &[1, 2]);
        check(&[(1, 2), (2, 3), (3, 2)], 1, &[2, 3]);
        check(&[(1, 2), (3, 1)], 1, &[2]);
    }
}
