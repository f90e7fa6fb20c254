use super::compiled::Compiled;
use super::model::RoleRef;
use arc_swap::ArcSwapOption;
use sampan_api::user::Attributes;
use std::collections::HashMap;
use std::sync::Arc;

/// The place of a role, which bindings hold whether the role exists or not: a role that changes changes nothing but this.
#[derive(Debug)]
pub(super) struct Slot {
    /// No two slots have the same.
    pub id: u64,
    /// As bindings name it.
    pub role: RoleRef,
    /// `None`: the role does not exist (yet).
    pub rules: ArcSwapOption<Rules>,
}

#[derive(Debug)]
pub(super) enum Rules {
    Own(Box<Compiled>),
    /// Those of other roles, which have their own: see [`super::aggregation::Aggregation`].
    Others(Vec<Arc<Slot>>),
}

impl Slot {
    /// Whether there is such a role now.
    pub fn exists(&self) -> bool {
        self.rules.load().is_some()
    }

    /// Whether the role's rules allow it. `known`: the answers so far, so that no role is looked at twice for a request.
    pub fn allows(&self, a: &Attributes, known: &mut HashMap<u64, bool>) -> bool {
        if let Some(known) = known.get(&self.id) {
            return *known;
        }
        let allows = match self.rules.load().as_deref() {
            None => false,
            Some(Rules::Own(own)) => own.allows(a),
            Some(Rules::Others(others)) => others.iter().any(|one| one.own_allow(a, known)),
        };
        known.insert(self.id, allows);
        allows
    }

    fn own_allow(&self, a: &Attributes, known: &mut HashMap<u64, bool>) -> bool {
        *known.entry(self.id).or_insert_with(|| match self.rules.load().as_deref() {
            Some(Rules::Own(own)) => own.allows(a),
            Some(Rules::Others(_)) | None => false,
        })
    }
}
