use super::aggregation::{Aggregation, Shape};
use super::compiled::Compiled;
use super::grants::{Candidate, Grants};
use super::model::{Binding, Role, RoleRef, aggregate, reason};
use super::slot::{Rules, Slot};
use crate::limits::ABSENT_ROLES_TOLD_MAX;
use parking_lot::Mutex;
use sampan_api::UserInfo;
use sampan_api::user::{Attributes, Decision};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// All roles and bindings, arranged for the question that every request asks. It is changed in place, by as much as a
/// changed role or binding is long; whoever asks waits for no more than a few entries.
#[derive(Debug, Default)]
pub struct Index {
    grants: Grants,
    book: Mutex<Book>,
}

/// What has been put in force. Used by those who change the index, never by those who ask.
#[derive(Debug, Default)]
struct Book {
    slots: HashMap<RoleKey, Arc<Slot>>,
    last_slot: u64,
    bindings: HashMap<RoleKey, Arc<Binding>>,
    cluster_roles: BTreeMap<String, Shape>,
    /// ClusterRoles came, went, or are selected otherwise.
    reshaped: bool,
    /// Roles whose rules have been compiled since the start.
    compiled: u64,
}

/// Namespace and name, of a role or of a binding.
type RoleKey = (String, String);

impl Index {
    #[cfg(test)]
    pub(crate) fn of(roles: Vec<Role>, bindings: Vec<Binding>) -> Self {
        let index = Self::default();
        bindings.into_iter().for_each(|one| index.set_binding(one));
        roles.into_iter().for_each(|one| index.set_role(one));
        index.settle();
        index
    }

    /// Puts a role in force. [`Index::settle`] is due afterwards.
    pub fn set_role(&self, role: Role) {
        let mut book = self.book.lock();
        let Role { namespace, name, labels, aggregates, rules } = role;
        let aggregated = aggregates.is_some();
        if namespace.is_empty() {
            let shape = Shape { labels, aggregates };
            if book.cluster_roles.get(&name) != Some(&shape) {
                book.cluster_roles.insert(name.clone(), shape);
                book.reshaped = true;
            }
        }
        let slot = book.slot(&namespace, &name);
        let now = slot.rules.load();
        match (now.as_deref(), aggregated) {
            (Some(Rules::Others(_)), true) => {}
            // Nothing is allowed until it is known what is selected.
            (_, true) => slot.rules.store(Some(Arc::new(Rules::Others(Vec::new())))),
            (Some(Rules::Own(own)), false) if own.rules() == rules.as_slice() => {}
            (_, false) => {
                book.compiled += 1;
                slot.rules.store(Some(Arc::new(Rules::Own(Box::new(Compiled::new(rules))))));
            }
        }
    }

    /// Takes a role out of force. [`Index::settle`] is due afterwards.
    pub fn remove_role(&self, namespace: &str, name: &str) {
        let mut book = self.book.lock();
        if namespace.is_empty() {
            book.reshaped |= book.cluster_roles.remove(name).is_some();
        }
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(slot) = book.slots.get(&key) {
            slot.rules.store(None);
        }
        book.forget_unused(&key);
    }

    /// Puts a binding in force, in place of the one that had its name.
    pub fn set_binding(&self, binding: Binding) {
        let mut book = self.book.lock();
        let key = (binding.namespace.clone(), binding.name.clone());
        let old = book.bindings.get(&key).cloned();
        if old.as_deref() == Some(&binding) {
            return;
        }
        let (new, binding) = (book.slot_of(&binding), Arc::new(binding));
        let before = old.map(|old| (book.slot_of(&old), old));
        self.grants.change(&key.0, &key.1, before.as_ref().map(|(slot, old)| (slot, &**old)), Some((&new, &binding)));
        book.bindings.insert(key, binding);
        if let Some((slot, old)) = before {
            drop(slot);
            book.forget_unused(&old.role_key());
        }
    }

    /// Takes a binding out of force.
    pub fn remove_binding(&self, namespace: &str, name: &str) {
        let mut book = self.book.lock();
        let Some(old) = book.bindings.remove(&(namespace.to_owned(), name.to_owned())) else { return };
        let slot = book.slot_of(&old);
        self.grants.change(namespace, name, Some((&slot, &old)), None);
        drop(slot);
        book.forget_unused(&old.role_key());
    }

    /// Finds anew what aggregated roles select, if that may have changed.
    pub fn settle(&self) {
        let mut book = self.book.lock();
        if !std::mem::take(&mut book.reshaped) {
            return;
        }
        let book = &mut *book;
        let aggregation = Aggregation::of(&book.cluster_roles);
        for name in aggregation.names() {
            let of = |name: &str| book.slots.get(&(String::new(), name.to_owned()));
            let others = aggregation.reached(name).into_iter().filter_map(of).cloned().collect();
            if let Some(slot) = of(name) {
                slot.rules.store(Some(Arc::new(Rules::Others(others))));
            }
        }
        book.slots.retain(|_, slot| slot.exists() || Arc::strong_count(slot) > 1);
    }

    /// How many roles' rules have been compiled since the start.
    pub fn compiled(&self) -> u64 {
        self.book.lock().compiled
    }

    /// Cluster-wide bindings first, then those of the request's namespace; of several that allow it the first by name is told,
    /// and its first subject that is the user.
    pub fn authorize(&self, a: &Attributes) -> Decision {
        let (mut known, mut absent) = (HashMap::new(), Vec::new());
        for (scope, (namespace, candidates)) in self.grants.of(&a.user, &a.namespace).into_iter().enumerate() {
            let mut first: Option<&Candidate> = None;
            let order = |one: &Candidate, other: &Candidate| (&one.binding, one.at) < (&other.binding, other.at);
            for one in &candidates {
                if first.is_none_or(|first| order(one, first)) && one.slot.allows(a, &mut known) {
                    first = Some(one);
                }
            }
            if let Some(Candidate { binding, slot, subject, .. }) = first {
                return Decision::allow(reason(namespace, binding, &slot.role, subject));
            }
            absent.extend(candidates.into_iter().filter(|one| !one.slot.exists()).map(|one| (scope, one)));
        }
        match not_found(&absent).as_slice() {
            [] => Decision::no_opinion(""),
            errors => Decision::no_opinion(format!("RBAC: {}", aggregate(errors))),
        }
    }

    /// The roles that hold for a user in a namespace, each once, and the errors of those that do not exist.
    pub(super) fn roles_of(&self, user: &UserInfo, namespace: &str) -> (Vec<Arc<Rules>>, Vec<String>) {
        let (mut seen, mut roles, mut absent) = (HashSet::new(), Vec::new(), Vec::new());
        for (scope, (_, mut candidates)) in self.grants.of(user, namespace).into_iter().enumerate() {
            candidates.sort_unstable_by(|a, b| a.binding.cmp(&b.binding));
            for one in candidates {
                let rules = one.slot.rules.load_full();
                match rules.as_deref() {
                    None => absent.push((scope, one)),
                    Some(Rules::Own(_)) if seen.insert(one.slot.id) => roles.extend(rules.clone()),
                    Some(Rules::Own(_)) => {}
                    Some(Rules::Others(others)) => {
                        let own = others.iter().filter(|other| seen.insert(other.id));
                        roles.extend(own.filter_map(|other| other.rules.load_full()));
                    }
                }
            }
        }
        (roles, not_found(&absent))
    }
}

/// What is said of roles that do not exist, each with the place of its scope: of the first [`ABSENT_ROLES_TOLD_MAX`] by scope
/// and binding, each once.
fn not_found(absent: &[(usize, Candidate)]) -> Vec<String> {
    let place = |(scope, one): &&(usize, Candidate)| (*scope, one.binding.clone());
    let mut first = HashMap::new();
    for one in absent {
        let known = first.entry(one.1.slot.id).or_insert(one);
        if place(&one) < place(known) {
            *known = one;
        }
    }
    let mut first: Vec<&(usize, Candidate)> = first.into_values().collect();
    let more = first.len().saturating_sub(ABSENT_ROLES_TOLD_MAX);
    if more > 0 {
        first.select_nth_unstable_by_key(ABSENT_ROLES_TOLD_MAX, place);
        first.truncate(ABSENT_ROLES_TOLD_MAX);
    }
    first.sort_unstable_by_key(place);
    let mut errors: Vec<String> = first.iter().map(|(_, one)| one.slot.role.not_found()).collect();
    if more > 0 {
        errors.push(format!("and {more} more roles not found"));
    }
    errors
}

impl Book {
    /// The slot of a role, made when it is first spoken of.
    fn slot(&mut self, namespace: &str, name: &str) -> Arc<Slot> {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(slot) = self.slots.get(&key) {
            return slot.clone();
        }
        self.last_slot += 1;
        let role = match namespace {
            "" => RoleRef::ClusterRole(name.to_owned()),
            _ => RoleRef::Role(name.to_owned()),
        };
        let slot = Arc::new(Slot { id: self.last_slot, role, rules: arc_swap::ArcSwapOption::empty() });
        self.slots.insert(key, slot.clone());
        slot
    }

    fn slot_of(&mut self, binding: &Binding) -> Arc<Slot> {
        let (namespace, name) = binding.role_key();
        self.slot(&namespace, &name)
    }

    fn forget_unused(&mut self, key: &RoleKey) {
        if self.slots.get(key).is_some_and(|slot| !slot.exists() && Arc::strong_count(slot) == 1) {
            self.slots.remove(key);
        }
    }
}

impl Binding {
    fn role_key(&self) -> RoleKey {
        match &self.role {
            RoleRef::ClusterRole(name) => (String::new(), name.clone()),
            RoleRef::Role(name) => (self.namespace.clone(), name.clone()),
        }
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
