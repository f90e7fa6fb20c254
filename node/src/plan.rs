//! What to do next: a pure function of what is wanted and what is observed.

use crate::image::ERR_IMAGE_PULL;
use crate::limits::{IMAGE_ERROR_SHOWN, RESTART_BACKOFF_FIRST, RESTART_BACKOFF_MAX, RESTART_BACKOFF_RESET};
use crate::observed::{ContainerState, Observed, ObservedContainer, Terminated};
use std::time::{Duration, SystemTime};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
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

/// What the API says about the pod.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub restart_policy: RestartPolicy,
    /// The pod is to go, its containers within this time.
    pub deletion_grace: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Start {
        container: usize,
    },
    /// Ended, and to be run again, but not before `until`.
    BackOff {
        container: usize,
        until: SystemTime,
        delay: Duration,
    },
    /// Its image could not be had, and is not asked for again before `until`.
    ImageBackOff {
        container: usize,
        until: SystemTime,
    },
    Stop {
        container: usize,
        grace: Duration,
    },
    /// Nothing to do before then.
    WakeAt(SystemTime),
    /// Nothing runs any more and the pod is to go: its object can be removed.
    Remove,
}

/// How long a container that ended waits before it runs again: at once the first time, then 10 s doubled to 5 min.
pub fn restart_delay(quick_ends: u32) -> Duration {
    match quick_ends {
        0 | 1 => Duration::ZERO,
        n => RESTART_BACKOFF_FIRST.saturating_mul(1 << (n - 2).min(16)).min(RESTART_BACKOFF_MAX),
    }
}

/// The count of quick ends after a run.
pub fn quick_ends_after(before: u32, ended: &Terminated) -> u32 {
    let ran = ended.finished_at.duration_since(ended.started_at).unwrap_or_default();
    if ran >= RESTART_BACKOFF_RESET { 1 } else { before.saturating_add(1) }
}

pub fn plan(wanted: &Wanted, observed: &Observed, now: SystemTime) -> Vec<Action> {
    if let Some(grace) = wanted.deletion_grace {
        return stop_all(observed, grace, now);
    }
    let mut actions = Vec::new();
    for (container, one) in observed.containers.iter().enumerate() {
        match &one.state {
            ContainerState::Pulling { .. }
            | ContainerState::Starting { .. }
            | ContainerState::Running { .. }
            | ContainerState::Stopping { .. } => {}
            ContainerState::Waiting { until: Some(until), reason, .. } if *until > now => {
                // As a kubelet does: first the error itself, then that it is waited after it.
                let shown = one.pull_failed_at.filter(|_| reason == ERR_IMAGE_PULL).map(|at| at + IMAGE_ERROR_SHOWN);
                actions.push(match shown {
                    Some(shown) if shown <= now => Action::ImageBackOff { container, until: *until },
                    Some(shown) => Action::WakeAt(shown.min(*until)),
                    None => Action::WakeAt(*until),
                });
            }
            ContainerState::Waiting { .. } => actions.push(Action::Start { container }),
            ContainerState::Terminated(ended) => {
                if wanted.restart_policy.runs_again(ended) {
                    actions.push(restart(container, one, ended, now));
                }
            }
        }
    }
    actions
}

fn restart(container: usize, one: &ObservedContainer, ended: &Terminated, now: SystemTime) -> Action {
    let delay = restart_delay(one.quick_ends);
    let until = ended.finished_at + delay;
    if until > now { Action::BackOff { container, until, delay } } else { Action::Start { container } }
}

fn stop_all(observed: &Observed, grace: Duration, now: SystemTime) -> Vec<Action> {
    if !observed.containers.iter().any(|one| one.is_running() || one.is_starting()) {
        return vec![Action::Remove];
    }
    let to_stop = |one: &ObservedContainer| match one.state {
        // A grace period can be made shorter, never longer.
        ContainerState::Stopping { until, .. } => until.is_none_or(|until| now + grace < until),
        ContainerState::Running { .. } => true,
        _ => one.is_starting(),
    };
    let containers = observed.containers.iter().enumerate().filter(|(_, one)| to_stop(one));
    containers.map(|(container, _)| Action::Stop { container, grace }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::IMAGE_PULL_BACK_OFF;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
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
            let wanted = Wanted { restart_policy: policy, deletion_grace: None };
            assert_eq!(plan(&wanted, &observed, at(100)), expected, "{policy:?} {state:?}");
        };
        let start = [Action::Start { container: 0 }];
        check(Always, ObservedContainer::new("a").state, 0, &start);
        check(Always, ContainerState::Running { started_at: at(1) }, 0, &[]);
        check(Always, ended(0, 100), 1, &start);
        check(OnFailure, ended(0, 100), 1, &[]);
        check(OnFailure, ended(1, 100), 1, &start);
        check(Never, ended(1, 100), 1, &[]);
        let ten = Duration::from_secs(10);
        check(Always, ended(1, 95), 2, &[Action::BackOff { container: 0, until: at(105), delay: ten }]);
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
            let wanted = Wanted { restart_policy: RestartPolicy::Always, deletion_grace: None };
            assert_eq!(plan(&wanted, &observed, at(now)), [expected], "{reason} at {now}");
        };
        let shown = 100 + IMAGE_ERROR_SHOWN.as_secs();
        check(ERR_IMAGE_PULL, 100, Action::WakeAt(at(shown)));
        check(ERR_IMAGE_PULL, shown, Action::ImageBackOff { container: 0, until: at(110) });
        check(IMAGE_PULL_BACK_OFF, shown, Action::WakeAt(at(110)));
        check("InvalidImageName", shown, Action::WakeAt(at(110)));
        check(IMAGE_PULL_BACK_OFF, 110, Action::Start { container: 0 });
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
        let wanted = Wanted { restart_policy: RestartPolicy::Always, deletion_grace: Some(grace) };
        let mut observed = Observed::new(["a", "b"], at(0));
        observed.containers[0].state = ContainerState::Running { started_at: at(1) };
        assert_eq!(plan(&wanted, &observed, at(5)), [Action::Stop { container: 0, grace }]);
        observed.containers[0].state = ContainerState::Stopping { started_at: at(1), until: Some(at(35)) };
        assert_eq!(plan(&wanted, &observed, at(5)), []);
        assert_eq!(plan(&wanted, &observed, at(6)), [], "time goes by, the grace stays");
        let grace = Duration::from_secs(2);
        let sooner = Wanted { deletion_grace: Some(grace), ..wanted };
        assert_eq!(plan(&sooner, &observed, at(6)), [Action::Stop { container: 0, grace }]);
        observed.containers[0].state = ContainerState::Stopping { started_at: at(1), until: Some(at(8)) };
        assert_eq!(plan(&wanted, &observed, at(6)), [], "it is not made longer");
        observed.containers[0].state = ended(143, 5);
        assert_eq!(plan(&wanted, &observed, at(5)), [Action::Remove]);
    }

    #[test]
    fn after_a_crash_only_what_ran_counts_as_ended() {
        let mut observed = Observed::new(["a", "b"], at(0));
        observed.containers[0].state = ContainerState::Running { started_at: at(1) };
        observed.containers[1].state = ended(0, 50);
        let observed = observed.after_restart(at(100));
        let codes: Vec<Option<i32>> = observed.containers.iter().map(|c| c.terminated().map(|t| t.exit_code)).collect();
        assert_eq!(codes, [Some(137), Some(0)]);
        let plan_for = |restart_policy| plan(&Wanted { restart_policy, deletion_grace: None }, &observed, at(100));
        assert_eq!(plan_for(RestartPolicy::OnFailure), [Action::Start { container: 0 }]);
        assert_eq!(plan_for(RestartPolicy::Never), []);
    }
}
