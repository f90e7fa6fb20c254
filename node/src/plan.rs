//! The next step of a worker: a pure function of what is wanted and what is observed.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::image::ERR_IMAGE_PULL;
use crate::limits::{IMAGE_ERROR_SHOWN, RESTART_BACKOFF_FIRST, RESTART_BACKOFF_MAX, RESTART_BACKOFF_RESET};
use crate::observed::{ContainerName, ContainerState, Observed, ObservedContainer, Terminated};
use sampan_api::time::later;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// `spec.restartPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    /// Any other text is the default, `Always`.
    pub fn parse(text: &str) -> Self {
        match text {
            "Never" => Self::Never,
            "OnFailure" => Self::OnFailure,
            _ => Self::Always,
        }
    }

    fn runs_again(self, ended: &Terminated) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => ended.exit_code != 0,
            Self::Never => false,
        }
    }
}

/// The wishes of the API about the pod.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The treatment of a run's end.
    pub restart_policy: RestartPolicy,
    /// The pod is to go, its containers within this time.
    pub deletion_grace: Option<Duration>,
    /// The time that a container has to end in when it alone is to end (`spec.terminationGracePeriodSeconds`).
    pub termination_grace: Duration,
    /// The image of each container, by the container's name.
    pub images: BTreeMap<&'a str, &'a str>,
}

/// The reason why a container is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// The pod goes.
    Deletion,
    /// Its definition changed: it is run again as it is now defined.
    Redefined,
}

/// An act of a worker.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start it. What is under way for an earlier start of it is given up.
    Start { container: ContainerName },
    /// Ended, and to be run again, but not before `until`.
    BackOff { container: ContainerName, until: SystemTime, delay: Duration },
    /// Its image could not be had, and is not asked for again before `until`.
    ImageBackOff { container: ContainerName, until: SystemTime },
    /// End it within `grace`, whether it runs or is being started.
    Stop { container: ContainerName, grace: Duration, cause: StopCause },
    /// Nothing to do before then.
    WakeAt(SystemTime),
    /// Nothing runs any more and the pod is to go: its object can be removed.
    Remove,
}

/// `first`, doubled so many times, and `most` at the most.
pub(crate) fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    first.saturating_mul(2u32.saturating_pow(times)).min(most)
}

/// The wait of a container that ended before it runs again: none the first time, then 10 s doubled to 5 min.
pub fn restart_delay(quick_ends: u32) -> Duration {
    match quick_ends {
        0 | 1 => Duration::ZERO,
        n => doubled(RESTART_BACKOFF_FIRST, n.saturating_sub(2), RESTART_BACKOFF_MAX),
    }
}

/// The count of quick ends after a run.
pub fn quick_ends_after(before: u32, ended: &Terminated) -> u32 {
    let ran = ended.finished_at.duration_since(ended.started_at).unwrap_or_default();
    if ran >= RESTART_BACKOFF_RESET { 1 } else { before.saturating_add(1) }
}

/// The actions that bring what is observed nearer to what is wanted.
pub fn plan(wanted: &Wanted<'_>, observed: &Observed, now: SystemTime) -> Vec<Action> {
    if let Some(grace) = wanted.deletion_grace {
        return stop_all(observed, grace, now);
    }
    observed.containers.iter().filter_map(|one| next(wanted, one, now)).collect()
}

/// The act that is due for one container of a pod that stays.
fn next(wanted: &Wanted<'_>, one: &ObservedContainer, now: SystemTime) -> Option<Action> {
    let container = one.name.clone();
    // A kubelet looks at name and image alone (kuberuntime's containerChanged).
    let redefined = wanted.images.get(one.name.as_str()).is_some_and(|image| one.has_other_image(image));
    match &one.state {
        ContainerState::Pulling { .. } | ContainerState::Starting { .. } => {
            redefined.then_some(Action::Start { container })
        }
        ContainerState::Running { .. } => redefined.then_some(Action::Stop {
            container,
            grace: wanted.termination_grace,
            cause: StopCause::Redefined,
        }),
        ContainerState::Stopping { .. } => None,
        ContainerState::Waiting { until: Some(until), reason, .. } if *until > now && !redefined => {
            // As a kubelet does: first the error itself, then that it is waited after it.
            let shown = one.pull_failed_at.filter(|_| reason == ERR_IMAGE_PULL);
            Some(match shown.map(|at| later(at, IMAGE_ERROR_SHOWN)) {
                Some(shown) if shown <= now => Action::ImageBackOff { container, until: *until },
                Some(shown) => Action::WakeAt(shown.min(*until)),
                None => Action::WakeAt(*until),
            })
        }
        ContainerState::Waiting { .. } => Some(Action::Start { container }),
        ContainerState::Terminated(_) if one.redefined => Some(Action::Start { container }),
        ContainerState::Terminated(ended) if wanted.restart_policy.runs_again(ended) => {
            // The back-off belongs to the definition that failed.
            let delay = if redefined { Duration::ZERO } else { restart_delay(one.quick_ends) };
            let until = later(ended.finished_at, delay);
            Some(if until > now { Action::BackOff { container, until, delay } } else { Action::Start { container } })
        }
        ContainerState::Terminated(_) => None,
    }
}

fn stop_all(observed: &Observed, grace: Duration, now: SystemTime) -> Vec<Action> {
    if !observed.containers.iter().any(|one| one.is_running() || one.is_starting()) {
        return vec![Action::Remove];
    }
    let to_stop = |one: &&ObservedContainer| match one.state {
        // A grace period can be made shorter, never longer.
        ContainerState::Stopping { until, .. } => until.is_none_or(|until| later(now, grace) < until),
        ContainerState::Running { .. } => true,
        _ => one.is_starting(),
    };
    let stop =
        |one: &ObservedContainer| Action::Stop { container: one.name.clone(), grace, cause: StopCause::Deletion };
    observed.containers.iter().filter(to_stop).map(stop).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::IMAGE_PULL_BACK_OFF;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    const TERMINATION_GRACE: Duration = Duration::from_secs(7);

    fn wanted(restart_policy: RestartPolicy, deletion_grace: Option<Duration>) -> Wanted<'static> {
        let images = BTreeMap::from([("a", "new"), ("b", "new")]);
        Wanted { restart_policy, deletion_grace, termination_grace: TERMINATION_GRACE, images }
    }

    fn stop(grace: Duration) -> Action {
        Action::Stop { container: "a".into(), grace, cause: StopCause::Deletion }
    }

    fn ended(exit_code: i32, finished: u64) -> ContainerState {
        ContainerState::Terminated(Terminated {
            exit_code,
            reason: "Error".into(),
            message: String::new(),
            started_at: at(finished - 1),
            finished_at: at(finished),
            container_id: String::new(),
        })
    }

    #[test]
    fn containers_are_started_and_run_again_as_their_policy_says() {
        use RestartPolicy::{Always, Never, OnFailure};
        let check = |policy: RestartPolicy, state: ContainerState, quick_ends: u32, expected: &[Action]| {
            let mut observed = Observed::new(["a"], at(0));
            observed.containers[0].state = state.clone();
            observed.containers[0].quick_ends = quick_ends;
            let wanted = wanted(policy, None);
            assert_eq!(plan(&wanted, &observed, at(100)), expected, "{policy:?} {state:?}");
        };
        let start = [Action::Start { container: "a".into() }];
        check(Always, ObservedContainer::new("a").state, 0, &start);
        check(Always, ContainerState::Running { started_at: at(1) }, 0, &[]);
        check(Always, ended(0, 100), 1, &start);
        check(OnFailure, ended(0, 100), 1, &[]);
        check(OnFailure, ended(1, 100), 1, &start);
        check(Never, ended(1, 100), 1, &[]);
        let ten = Duration::from_secs(10);
        check(Always, ended(1, 95), 2, &[Action::BackOff { container: "a".into(), until: at(105), delay: ten }]);
        check(Always, ended(1, 90), 2, &start);
        let waiting = |until| ContainerState::Waiting { reason: String::new(), message: String::new(), until };
        check(Always, waiting(Some(at(105))), 0, &[Action::WakeAt(at(105))]);
        check(Always, waiting(Some(at(100))), 0, &start);
    }

    #[test]
    fn a_failed_pull_is_told_and_then_waited_after() {
        let mut observed = Observed::new(["a"], at(0));
        let mut check = |reason: &str, now: u64, expected: Action| {
            observed.containers[0].state =
                ContainerState::Waiting { reason: reason.into(), message: String::new(), until: Some(at(110)) };
            observed.containers[0].pull_failed_at = Some(at(100));
            let wanted = wanted(RestartPolicy::Always, None);
            assert_eq!(plan(&wanted, &observed, at(now)), [expected], "{reason} at {now}");
        };
        let shown = 100 + IMAGE_ERROR_SHOWN.as_secs();
        check(ERR_IMAGE_PULL, 100, Action::WakeAt(at(shown)));
        check(ERR_IMAGE_PULL, shown, Action::ImageBackOff { container: "a".into(), until: at(110) });
        check(IMAGE_PULL_BACK_OFF, shown, Action::WakeAt(at(110)));
        check("InvalidImageName", shown, Action::WakeAt(at(110)));
        check(IMAGE_PULL_BACK_OFF, 110, Action::Start { container: "a".into() });
    }

    #[test]
    fn back_off_doubles_to_five_minutes_and_is_forgotten_after_a_long_run() {
        let seconds: Vec<u64> = (0..9).map(|n| restart_delay(n).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 10, 20, 40, 80, 160, 300, 300]);
        let run = |seconds: u64| Terminated {
            exit_code: 1,
            reason: String::new(),
            message: String::new(),
            started_at: at(0),
            finished_at: at(seconds),
            container_id: String::new(),
        };
        assert_eq!((quick_ends_after(4, &run(5)), quick_ends_after(4, &run(600))), (5, 1));
    }

    #[test]
    fn a_pod_that_is_to_go_is_stopped_then_removed() {
        let grace = Duration::from_secs(30);
        let wanted = wanted(RestartPolicy::Always, Some(grace));
        let mut observed = Observed::new(["a", "b"], at(0));
        observed.containers[0].state = ContainerState::Running { started_at: at(1) };
        assert_eq!(plan(&wanted, &observed, at(5)), [stop(grace)]);
        observed.containers[0].state = ContainerState::Stopping { started_at: at(1), until: Some(at(35)) };
        assert_eq!(plan(&wanted, &observed, at(5)), []);
        assert_eq!(plan(&wanted, &observed, at(6)), [], "time goes by, the grace stays");
        let grace = Duration::from_secs(2);
        let sooner = Wanted { deletion_grace: Some(grace), ..wanted.clone() };
        assert_eq!(plan(&sooner, &observed, at(6)), [stop(grace)]);
        observed.containers[0].state = ContainerState::Stopping { started_at: at(1), until: Some(at(8)) };
        assert_eq!(plan(&wanted, &observed, at(6)), [], "it is not made longer");
        observed.containers[0].state = ended(143, 5);
        assert_eq!(plan(&wanted, &observed, at(5)), [Action::Remove]);
    }

    #[test]
    fn a_changed_image_is_put_to_work_in_every_state_as_a_kubelet_does() {
        use RestartPolicy::{Always, Never, OnFailure};
        let start = || Some(Action::Start { container: "a".into() });
        let stop =
            || Some(Action::Stop { container: "a".into(), grace: TERMINATION_GRACE, cause: StopCause::Redefined });
        let waiting = |reason: &str| ContainerState::Waiting {
            reason: reason.into(),
            message: String::new(),
            until: Some(at(400)),
        };
        let running = ContainerState::Running { started_at: at(1) };
        let states = [
            (ContainerState::Pulling { since: at(1) }, [start(), start(), start()]),
            (ContainerState::Starting { since: at(1) }, [start(), start(), start()]),
            (running, [stop(), stop(), stop()]),
            (ContainerState::Stopping { started_at: at(1), until: Some(at(400)) }, [None, None, None]),
            (waiting("CrashLoopBackOff"), [start(), start(), start()]),
            (waiting(ERR_IMAGE_PULL), [start(), start(), start()]),
            (waiting(IMAGE_PULL_BACK_OFF), [start(), start(), start()]),
            (ended(1, 100), [start(), start(), None]),
            (ended(0, 100), [start(), None, None]),
        ];
        for (state, expected) in states {
            for (policy, expected) in [Always, OnFailure, Never].into_iter().zip(expected) {
                let mut observed = Observed::new(["a", "b"], at(0));
                observed.containers[0].state = state.clone();
                observed.containers[0].quick_ends = 5;
                observed.containers[0].image = Some("old".into());
                // Its neighbour is as it was.
                observed.containers[1].state = ContainerState::Running { started_at: at(1) };
                observed.containers[1].image = Some("new".into());
                let found = plan(&wanted(policy, None), &observed, at(100));
                assert_eq!(found, Vec::from_iter(expected), "{policy:?} {state:?}");
            }
        }
        // A container that was ended for its new definition runs again, whatever the policy.
        for policy in [Always, OnFailure, Never] {
            let mut observed = Observed::new(["a"], at(0));
            observed.containers[0].state = ended(0, 100);
            observed.containers[0].redefined = true;
            assert_eq!(plan(&wanted(policy, None), &observed, at(100)), Vec::from_iter(start()));
            let gone = plan(&wanted(policy, Some(Duration::ZERO)), &observed, at(100));
            assert_eq!(gone, [Action::Remove], "a pod that goes starts nothing");
        }
    }

    #[test]
    fn no_grace_is_too_long_to_be_planned_with() {
        for grace in [Duration::ZERO, Duration::from_secs(i64::MAX as u64), Duration::MAX] {
            let mut observed = Observed::new(["a"], at(0));
            observed.containers[0].state = ContainerState::Running { started_at: at(1) };
            let mut wanted = wanted(RestartPolicy::Always, Some(grace));
            wanted.termination_grace = grace;
            assert_eq!(plan(&wanted, &observed, at(5)), [stop(grace)]);
            let until = Some(later(at(5), grace));
            observed.containers[0].state = ContainerState::Stopping { started_at: at(1), until };
            assert_eq!(plan(&wanted, &observed, at(6)), []);
        }
    }

    #[test]
    fn after_a_crash_only_what_ran_counts_as_ended() {
        let mut observed = Observed::new(["a", "b"], at(0));
        observed.containers[0].state = ContainerState::Running { started_at: at(1) };
        observed.containers[1].state = ended(0, 50);
        let observed = observed.after_restart(at(100));
        let codes: Vec<Option<i32>> = observed.containers.iter().map(|c| c.terminated().map(|t| t.exit_code)).collect();
        assert_eq!(codes, [Some(137), Some(0)]);
        let plan_for = |restart_policy| plan(&wanted(restart_policy, None), &observed, at(100));
        assert_eq!(plan_for(RestartPolicy::OnFailure), [Action::Start { container: "a".into() }]);
        assert_eq!(plan_for(RestartPolicy::Never), []);
    }
}
