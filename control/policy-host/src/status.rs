//! The status of an object: conditions that say what became of it.

use crate::limits;
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::Condition;
use sampan_api::scheduling::{SchedulingPolicy, condition};
use sampan_env::Env;
use sampan_reconcile::condition::since;
use sampan_reconcile::time;

/// One condition, before it has its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// `type`.
    pub kind: &'static str,
    /// `True` or `False`.
    pub holds: bool,
    /// In CamelCase.
    pub reason: &'static str,
    /// For people; at most [`limits::MESSAGE_CHARS`].
    pub message: String,
}

/// A condition with that message, cut to its bound.
pub fn verdict(kind: &'static str, holds: bool, reason: &'static str, message: impl Into<String>) -> Verdict {
    let message: String = message.into();
    Verdict { kind, holds, reason, message: message.chars().take(limits::MESSAGE_CHARS).collect() }
}

/// The outcome of the last attempt to install an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// `metadata.generation` of the object that was attempted: what the conditions speak of.
    pub generation: Option<i64>,
    /// The conditions.
    pub all: Vec<Verdict>,
}

impl Verdicts {
    /// Puts these in the place of those of their types.
    pub fn set(&mut self, new: Vec<Verdict>) {
        self.all.retain(|old| new.iter().all(|new| new.kind != old.kind));
        self.all.extend(new);
    }
}

/// The object was suspended in this form: a restart does not give it another three tries.
pub fn was_suspended(object: &SchedulingPolicy, digest: &str) -> bool {
    let Some(status) = &object.status else { return false };
    status.digest.as_deref() == Some(digest) && is_suspended(&status.conditions, object.metadata.generation)
}

/// Whether the conditions say of this generation that it is suspended.
pub fn is_suspended(conditions: &[Condition], generation: Option<i64>) -> bool {
    let holds = |found: &Condition| found.status == "True" && found.observed_generation == generation;
    conditions.iter().any(|found| found.type_ == condition::SUSPENDED && holds(found))
}

/// The conditions of an object that had `old`. They speak of the generation that was attempted last, which is not the
/// object's own while that one is being installed. `suspended`: what is live is suspended, or nothing is live.
pub fn conditions(old: &[Condition], verdicts: &Verdicts, suspended: bool, env: &Env) -> Vec<Condition> {
    let generation = verdicts.generation;
    let condition = |verdict: &Verdict| Condition {
        type_: verdict.kind.to_owned(),
        status: if verdict.holds { "True" } else { "False" }.to_owned(),
        reason: verdict.reason.to_owned(),
        message: verdict.message.clone(),
        observed_generation: generation,
        last_transition_time: time::of(env.now()),
    };
    let mut made: Vec<Condition> = verdicts.all.iter().map(|verdict| since(old, condition(verdict))).collect();
    // A suspension of this very generation stays on record while it lasts.
    let kept = old.iter().filter(|old| {
        suspended
            && old.type_ == condition::SUSPENDED
            && old.observed_generation == generation
            && made.iter().all(|new| new.type_ != old.type_)
    });
    let kept: Vec<Condition> = kept.cloned().collect();
    made.extend(kept);
    made.sort_by(|a, b| a.type_.cmp(&b.type_));
    made
}

/// The stage that an installation reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before there was a component to compile.
    Fetch,
    /// While it was compiled and linked.
    Compile,
    /// While it described itself, took its arguments and answered its fixtures.
    Check,
}

/// The reason why an object was not installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Of the conditions and the Event, in CamelCase.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// The stage at which it ended.
    pub stage: Stage,
    /// Whether another try may succeed.
    pub retry: bool,
}

impl Failed {
    /// `retry`: it may go better by itself.
    pub fn new(reason: &'static str, message: String, stage: Stage, retry: bool) -> Self {
        Self { reason, message, stage, retry }
    }

    /// A policy that was live before stays live: then it is still ready, in its old form. `old`: the generation of that
    /// form, where one is live.
    pub fn verdicts(&self, old: Option<Option<i64>>) -> Vec<Verdict> {
        let old_is_live = old.is_some();
        let text = match old {
            Some(Some(old)) => format!("the old form stays live (generation {old}): {}", self.message),
            Some(None) => format!("the old form stays live: {}", self.message),
            None => self.message.clone(),
        };
        let mut all = vec![verdict(condition::READY, old_is_live, self.reason, text)];
        if self.stage == Stage::Compile {
            all.push(verdict(condition::COMPILED, false, self.reason, self.message.clone()));
        }
        if self.stage == Stage::Check {
            all.push(verdict(condition::COMPILED, true, "Compiled", ""));
            all.push(verdict(condition::FIXTURES_PASSED, false, self.reason, self.message.clone()));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspension_lasts_as_long_as_what_earned_it() {
        let env = Env::simulated(1, std::time::SystemTime::UNIX_EPOCH);
        let of = |generation: i64, all: Vec<Verdict>| Verdicts { generation: Some(generation), all };
        let suspended = vec![verdict(condition::SUSPENDED, true, "Trap", "three faults")];
        let old = conditions(&[], &of(1, suspended), true, &env);
        let live = vec![verdict(condition::READY, true, "Live", "")];
        let check = |generation: i64, still: bool, expected: &[&str]| {
            let made = conditions(&old, &of(generation, live.clone()), still, &env);
            assert_eq!(made.iter().map(|one| one.type_.as_str()).collect::<Vec<_>>(), expected);
            assert_eq!(is_suspended(&made, Some(generation)), expected.len() > 1);
        };
        check(1, true, &["Ready", "Suspended"]);
        check(1, false, &["Ready"]);
        check(2, true, &["Ready"]);
    }

    #[test]
    fn a_restart_gives_no_further_tries_to_the_same_component() {
        let env = Env::simulated(1, std::time::SystemTime::UNIX_EPOCH);
        let mut object = SchedulingPolicy::default();
        object.metadata.generation = Some(1);
        let suspended = vec![verdict(condition::SUSPENDED, true, "Trap", "three faults")];
        let status = object.status.get_or_insert_default();
        let verdicts = Verdicts { generation: Some(1), all: suspended };
        status.conditions = conditions(&[], &verdicts, true, &env);
        status.digest = Some("sha256:a".to_owned());
        assert!(was_suspended(&object, "sha256:a"));
        assert!(!was_suspended(&object, "sha256:b"));
        object.metadata.generation = Some(2);
        assert!(!was_suspended(&object, "sha256:a"));
    }
}
