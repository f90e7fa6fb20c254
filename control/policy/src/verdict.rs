//! What became of an object, as its conditions say it.

use crate::limits;
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use sampan_api::scheduling::{SchedulingPolicy, condition};
use sampan_env::Env;

/// One condition, before it has its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub kind: &'static str,
    pub holds: bool,
    pub reason: &'static str,
    pub message: String,
}

pub(crate) fn verdict(kind: &'static str, holds: bool, reason: &'static str, message: impl Into<String>) -> Verdict {
    let message: String = message.into();
    Verdict { kind, holds, reason, message: message.chars().take(limits::MESSAGE_CHARS).collect() }
}

/// The object was suspended in this form: a restart does not give it another three tries.
pub(crate) fn was_suspended(object: &SchedulingPolicy, digest: &str) -> bool {
    let Some(status) = &object.status else { return false };
    status.digest.as_deref() == Some(digest) && is_suspended(&status.conditions, object.metadata.generation)
}

pub(crate) fn is_suspended(conditions: &[Condition], generation: Option<i64>) -> bool {
    let holds = |found: &Condition| found.status == "True" && found.observed_generation == generation;
    conditions.iter().any(|found| found.type_ == condition::SUSPENDED && holds(found))
}

pub(crate) fn conditions(
    old: &[Condition],
    verdicts: &[Verdict],
    generation: Option<i64>,
    suspended: bool,
    env: &Env,
) -> Vec<Condition> {
    let now = || {
        let since = env.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Time(sampan_api::k8s::jiff::Timestamp::from_second(since.as_secs() as i64).unwrap_or_default())
    };
    let mut made: Vec<Condition> = verdicts
        .iter()
        .map(|verdict| {
            let status = if verdict.holds { "True" } else { "False" };
            let same = old.iter().find(|old| old.type_ == verdict.kind && old.status == status);
            Condition {
                type_: verdict.kind.to_owned(),
                status: status.to_owned(),
                reason: verdict.reason.to_owned(),
                message: verdict.message.clone(),
                observed_generation: generation,
                last_transition_time: same.map_or_else(now, |same| same.last_transition_time.clone()),
            }
        })
        .collect();
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

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Fetch,
    Compile,
    Check,
}

/// Why an object was not brought to life.
pub(crate) struct Failed {
    pub reason: &'static str,
    pub message: String,
    pub stage: Stage,
    /// It may go better by itself.
    pub retry: bool,
}

impl Failed {
    pub fn new(reason: &'static str, message: String, stage: Stage, retry: bool) -> Self {
        Self { reason, message, stage, retry }
    }

    /// What was live before stays live: then it is still ready, in its old form.
    pub fn verdicts(&self, old_is_live: bool) -> Vec<Verdict> {
        let text =
            if old_is_live { format!("the old form stays live: {}", self.message) } else { self.message.clone() };
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
        let suspended = vec![verdict(condition::SUSPENDED, true, "Trap", "three faults")];
        let old = conditions(&[], &suspended, Some(1), true, &env);
        let live = vec![verdict(condition::READY, true, "Live", "")];
        let check = |generation: i64, still: bool, expected: &[&str]| {
            let made = conditions(&old, &live, Some(generation), still, &env);
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
        status.conditions = conditions(&[], &suspended, Some(1), true, &env);
        status.digest = Some("sha256:a".to_owned());
        assert!(was_suspended(&object, "sha256:a"));
        assert!(!was_suspended(&object, "sha256:b"));
        object.metadata.generation = Some(2);
        assert!(!was_suspended(&object, "sha256:a"));
    }
}
