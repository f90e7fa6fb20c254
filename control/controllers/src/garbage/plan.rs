//! What becomes of one object: a pure function of it, its owners' states and its dependents.

use sampan_api::Object;
use sampan_api::object::OwnerReference;
use sampan_client::Propagation;

pub const FOREGROUND: &str = "foregroundDeletion";
pub const ORPHAN: &str = "orphan";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// It is there (or going in a way that does not wait for this object).
    Solid,
    Absent,
    /// It is being deleted in the foreground.
    WaitsForDependents,
    /// Nobody can tell: the object stays.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Delete(Propagation),
    /// Owner references of these UIDs are taken off.
    DropOwners(Vec<String>),
    RemoveFinalizer(&'static str),
    /// Take this object off its dependents' owner references.
    OrphanDependents,
    /// Delete the dependents that no one else owns.
    DeleteDependents,
}

/// `owners` are looked at only while the object is not being deleted; `dependents`: whether each blocks the deletion of
/// this object, and what it is.
pub fn plan(object: &Object, owners: &[(OwnerReference, OwnerState)], dependents: &[(bool, Object)]) -> Vec<Action> {
    let has = |finalizer: &str| object.finalizers().any(|one| one == finalizer);
    if object.deletion_timestamp().is_some() {
        if has(ORPHAN) {
            return vec![Action::OrphanDependents, Action::RemoveFinalizer(ORPHAN)];
        }
        if has(FOREGROUND) {
            let blocked = dependents.iter().any(|(blocks, _)| *blocks);
            let mut actions = Vec::new();
            if !dependents.is_empty() {
                actions.push(Action::DeleteDependents);
            }
            if !blocked {
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
            let dependents = vec![(true, Object::default()); dependents];
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
        let check = |finalizers: &[&str], dependents: &[bool], expected: Vec<Action>| {
            let dependents: Vec<_> = dependents.iter().map(|blocks| (*blocks, Object::default())).collect();
            assert_eq!(plan(&object(true, finalizers), &[], &dependents), expected);
        };
        check(&[], &[true], vec![]);
        check(&["other"], &[true], vec![]);
        check(&[ORPHAN], &[true], vec![Action::OrphanDependents, Action::RemoveFinalizer(ORPHAN)]);
        check(&[FOREGROUND], &[true], vec![Action::DeleteDependents]);
        check(&[FOREGROUND], &[false], vec![Action::DeleteDependents, Action::RemoveFinalizer(FOREGROUND)]);
        check(&[FOREGROUND], &[], vec![Action::RemoveFinalizer(FOREGROUND)]);
    }
}
