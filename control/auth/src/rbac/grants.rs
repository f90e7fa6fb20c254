//! Who holds which role by which binding.

use super::model::{Binding, Subject};
use super::slot::Slot;
use crate::limits::GRANTS_CHANGED_AT_ONCE;
use parking_lot::RwLock;
use sampan_api::UserInfo;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// By namespace; those for the whole cluster under `""`.
#[derive(Debug, Default)]
pub(super) struct Grants {
    scopes: RwLock<HashMap<Arc<str>, Scope>>,
}

#[derive(Debug, Default)]
struct Scope {
    users: BTreeMap<Place, Grant>,
    groups: BTreeMap<Place, Grant>,
}

/// All grants of a holder are beside each other, and among these all of a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    holder: Arc<str>,
    slot: u64,
    binding: Arc<str>,
}

#[derive(Clone, Debug)]
struct Grant {
    slot: Arc<Slot>,
    at: u32,
    subject: Arc<Subject>,
}

/// A role that a holder has, and the first binding that gives it.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// The binding's name.
    pub binding: Arc<str>,
    /// The role.
    pub slot: Arc<Slot>,
    /// The place of the subject in the binding.
    pub at: u32,
    /// The first subject of the binding that is the holder.
    pub subject: Arc<Subject>,
}

/// Further grants of the same role that are read before the next role is searched for.
const READ_BEFORE_SEARCH: usize = 16;

impl Scope {
    fn of(&mut self, is_group: bool) -> &mut BTreeMap<Place, Grant> {
        if is_group { &mut self.groups } else { &mut self.users }
    }
}

/// Each role of the holder once.
fn candidates(grants: &BTreeMap<Place, Grant>, holder: &str) -> Vec<Candidate> {
    let holder: Arc<str> = holder.into();
    let from = |slot: u64| grants.range(Place { holder: holder.clone(), slot, binding: Arc::default() }..);
    let (mut found, mut rest, mut passed) = (Vec::<Candidate>::new(), from(0), 0);
    while let Some((place, grant)) = rest.next() {
        if place.holder != holder {
            break;
        }
        if found.last().is_some_and(|last| last.slot.id == place.slot) {
            passed += 1;
            if passed > READ_BEFORE_SEARCH {
                (rest, passed) = (from(place.slot + 1), 0);
            }
            continue;
        }
        passed = 0;
        let Grant { slot, at, subject } = grant.clone();
        found.push(Candidate { binding: place.binding.clone(), slot, at, subject });
    }
    found
}

impl Grants {
    /// The roles of a user: for the whole cluster, then in the namespace; in each the user's own, then those of each group.
    /// A scope in which there are none is left out.
    pub fn of<'a>(&self, user: &UserInfo, namespace: &'a str) -> Vec<(&'a str, Vec<Candidate>)> {
        let scopes = self.scopes.read();
        let local = Some(namespace).filter(|namespace| !namespace.is_empty());
        let mut all = Vec::new();
        for namespace in [Some(""), local].into_iter().flatten() {
            let Some(scope) = scopes.get(namespace) else { continue };
            let groups = user.groups.iter().map(|group| candidates(&scope.groups, group));
            let found = std::iter::once(candidates(&scope.users, &user.name)).chain(groups);
            let found: Vec<Candidate> = found.flatten().collect();
            all.extend((!found.is_empty()).then_some((namespace, found)));
        }
        all
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.scopes.read().is_empty()
    }

    /// Puts a binding in the place of another of the same name, or of none. Whoever holds a role by both has it at each
    /// moment; the lock is held for a few holders at a time.
    pub fn change(
        &self,
        namespace: &str,
        binding: &str,
        old: Option<(&Arc<Slot>, &Binding)>,
        new: Option<(&Arc<Slot>, &Binding)>,
    ) {
        let mut changes: BTreeMap<(bool, Arc<str>), Change> = BTreeMap::new();
        if let Some((slot, old)) = old {
            changes.extend(old.holders().into_keys().map(|key| (key, Change { old: Some(slot.id), new: None })));
        }
        if let Some((slot, new)) = new {
            for (key, (at, subject)) in new.holders() {
                changes.entry(key).or_default().new = Some(Grant { slot: slot.clone(), at, subject });
            }
        }
        let (namespace, binding): (Arc<str>, Arc<str>) = (namespace.into(), binding.into());
        let mut changes = changes.into_iter().peekable();
        while changes.peek().is_some() {
            let mut scopes = self.scopes.write();
            let scope = scopes.entry(namespace.clone()).or_default();
            for ((is_group, holder), change) in changes.by_ref().take(GRANTS_CHANGED_AT_ONCE) {
                change.apply(scope.of(is_group), &holder, &binding);
            }
            if scope.users.is_empty() && scope.groups.is_empty() {
                scopes.remove(&namespace);
            }
        }
    }
}

/// The change of a holder's grant by a binding.
#[derive(Default)]
struct Change {
    old: Option<u64>,
    new: Option<Grant>,
}

impl Change {
    fn apply(self, grants: &mut BTreeMap<Place, Grant>, holder: &Arc<str>, binding: &Arc<str>) {
        let place = |slot: u64| Place { holder: holder.clone(), slot, binding: binding.clone() };
        if let Some(old) = self.old {
            grants.remove(&place(old));
        }
        if let Some(new) = self.new {
            grants.insert(place(new.slot.id), new);
        }
    }
}
