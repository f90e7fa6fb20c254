//! Conditions of typed objects. The one rule that they share, that `lastTransitionTime` moves only with the status, is
//! [`sampan_api::condition::transition_time`].

use sampan_api::condition::transition_time;
use sampan_api::k8s::api::apps::v1::{DeploymentCondition, ReplicaSetCondition};
use sampan_api::k8s::api::core::v1::{NamespaceCondition, NodeCondition, PodCondition};
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::{Condition as MetaCondition, Time};

/// The fields that conditions of every kind have.
pub trait Condition {
    /// `type`.
    fn kind(&self) -> &str;
    /// `True`, `False` or `Unknown`.
    fn status(&self) -> &str;
    /// Time of the last change of the status.
    fn transition(&self) -> Option<&Time>;
    /// Sets `lastTransitionTime`.
    fn set_transition(&mut self, time: Option<Time>);
}

macro_rules! optional_time {
    ($($type:ty),*) => {$(
        impl Condition for $type {
            fn kind(&self) -> &str {
                &self.type_
            }
            fn status(&self) -> &str {
                &self.status
            }
            fn transition(&self) -> Option<&Time> {
                self.last_transition_time.as_ref()
            }
            fn set_transition(&mut self, time: Option<Time>) {
                self.last_transition_time = time;
            }
        }
    )*};
}
optional_time!(DeploymentCondition, ReplicaSetCondition, NamespaceCondition, NodeCondition, PodCondition);

impl Condition for MetaCondition {
    fn kind(&self) -> &str {
        &self.type_
    }
    fn status(&self) -> &str {
        &self.status
    }
    fn transition(&self) -> Option<&Time> {
        Some(&self.last_transition_time)
    }
    fn set_transition(&mut self, time: Option<Time>) {
        if let Some(time) = time {
            self.last_transition_time = time;
        }
    }
}

/// The condition of that type.
pub fn find<'a, C: Condition>(conditions: &'a [C], kind: &str) -> Option<&'a C> {
    conditions.iter().find(|one| one.kind() == kind)
}

/// Whether the condition of that type is there with status `True`.
pub fn is_true<C: Condition>(conditions: &[C], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|one| one.status() == "True")
}

/// `new` with the time at which its status came about: that of the condition of its type in `old` where the status is the
/// same, else its own.
pub fn since<C: Condition>(old: &[C], mut new: C) -> C {
    let before = find(old, new.kind()).map(|one| (one.status(), one.transition().cloned()));
    let time = transition_time(before, new.status(), || new.transition().cloned());
    new.set_transition(time);
    new
}

/// Puts `new` in the place of the condition of its type, or at the end.
pub fn set<C: Condition>(conditions: &mut Vec<C>, new: C) {
    let new = since(conditions, new);
    match conditions.iter_mut().find(|one| one.kind() == new.kind()) {
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time;
    use std::time::{Duration, SystemTime};

    /// Sets one condition thrice: first, again with another reason, then with another status.
    fn check<C: Condition + Clone>(make: impl Fn(&str, Time) -> C) {
        let at = |seconds| time::of(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let mut all = vec![make("True", at(1))];
        set(&mut all, make("True", at(2)));
        assert_eq!((all.len(), all[0].transition()), (1, Some(&at(1))), "the same status keeps its time");
        set(&mut all, make("False", at(3)));
        assert_eq!((all.len(), all[0].transition()), (1, Some(&at(3))), "another status has its own");
        assert!(!is_true(&all, all[0].kind()) && find(&all, "another").is_none());
    }

    #[test]
    fn a_time_of_transition_moves_only_with_the_status_of_every_kind() {
        macro_rules! kinds {
            ($($type:ty),*) => {$(
                check(|status, at| <$type>::default_of("X", status, at));
            )*};
        }
        trait DefaultOf {
            fn default_of(kind: &str, status: &str, at: Time) -> Self;
        }
        macro_rules! default_of {
            ($($type:ty),*) => {$(
                impl DefaultOf for $type {
                    fn default_of(kind: &str, status: &str, at: Time) -> Self {
                        let mut made = Self { type_: kind.into(), status: status.into(), ..Self::default() };
                        made.set_transition(Some(at));
                        made
                    }
                }
            )*};
        }
        default_of!(DeploymentCondition, ReplicaSetCondition, NamespaceCondition, NodeCondition, PodCondition);
        kinds!(DeploymentCondition, ReplicaSetCondition, NamespaceCondition, NodeCondition, PodCondition);
        check(|status, at| MetaCondition {
            type_: "X".into(),
            status: status.into(),
            last_transition_time: at,
            message: String::new(),
            observed_generation: None,
            reason: String::new(),
        });
    }
}
