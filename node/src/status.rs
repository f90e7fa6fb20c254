//! A pod's status out of what was observed: phase, conditions and container statuses as a kubelet computes them.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::observed::{ContainerState, Observed, ObservedContainer, Terminated};
use crate::patch::whole;
use crate::plan::RestartPolicy;
use sampan_api::condition::transition_time;
use sampan_api::k8s::api::core::v1::{Pod, PodCondition};
use sampan_api::time::rfc3339;
use serde_json::{Value, json};
use std::time::SystemTime;

/// The inputs of a status.
pub struct StatusInput<'a> {
    /// As the API has it.
    pub pod: &'a Pod,
    /// As the node has it.
    pub observed: &'a Observed,
    /// The pod's.
    pub restart_policy: RestartPolicy,
    /// The pod is to go: nothing of it is run again.
    pub terminating: bool,
    /// The machine's own address.
    pub host_ip: &'a str,
    /// The time of conditions that change.
    pub now: SystemTime,
}

/// Kubelet's getPhase.
pub fn phase(observed: &Observed, policy: RestartPolicy, terminating: bool) -> &'static str {
    enum Stands {
        Runs,
        Waits,
        /// With success, or without.
        Stopped(bool),
    }
    let stands = |one: &ObservedContainer| match &one.state {
        ContainerState::Running { .. } | ContainerState::Stopping { .. } => Stands::Runs,
        // Between two runs of one pod that goes on: its phase is that of a pod that runs.
        _ if one.redefined && !terminating => Stands::Runs,
        ContainerState::Terminated(ended) => Stands::Stopped(ended.exit_code == 0),
        _ if one.last.is_some() => Stands::Stopped(false),
        _ => Stands::Waits,
    };
    let any = |is: fn(&Stands) -> bool| observed.containers.iter().map(stands).any(|one| is(&one));
    let (running, waiting) = (any(|one| matches!(one, Stands::Runs)), any(|one| matches!(one, Stands::Waits)));
    let failed = any(|one| matches!(one, Stands::Stopped(false)));
    if waiting {
        "Pending"
    } else if running || (policy == RestartPolicy::Always && !terminating) {
        "Running"
    } else if !failed {
        "Succeeded"
    } else if policy == RestartPolicy::Never || terminating {
        "Failed"
    } else {
        "Running"
    }
}

fn terminated(ended: &Terminated) -> Value {
    let mut value = json!({
        "exitCode": ended.exit_code,
        "reason": ended.reason,
        "startedAt": rfc3339(ended.started_at),
        "finishedAt": rfc3339(ended.finished_at),
        "containerID": ended.container_id,
    });
    if !ended.message.is_empty() {
        value["message"] = ended.message.as_str().into();
    }
    value
}

/// `image`: of the spec, for a container of whose own nothing is known.
fn container(one: &ObservedContainer, image: &str) -> Value {
    let waiting = |reason: &str, message: &str| {
        if message.is_empty() {
            json!({"waiting": {"reason": reason}})
        } else {
            json!({"waiting": {"reason": reason, "message": message}})
        }
    };
    let state = match &one.state {
        ContainerState::Waiting { reason, message, .. } => waiting(reason, message),
        ContainerState::Pulling { .. } | ContainerState::Starting { .. } => {
            waiting(crate::observed::CONTAINER_CREATING, "")
        }
        ContainerState::Running { started_at } | ContainerState::Stopping { started_at, .. } => {
            json!({"running": {"startedAt": rfc3339(*started_at)}})
        }
        ContainerState::Terminated(ended) => json!({"terminated": terminated(ended)}),
    };
    let ready = matches!(one.state, ContainerState::Running { .. });
    let mut value = json!({
        "name": one.name,
        "image": one.image.as_deref().unwrap_or(image),
        "imageID": one.image_id,
        "state": state,
        "lastState": one.last.as_ref().map_or(json!({}), |last| json!({"terminated": terminated(last)})),
        "ready": ready,
        "started": one.is_running(),
        "restartCount": one.restart_count,
    });
    if !one.container_id.is_empty() {
        value["containerID"] = one.container_id.as_str().into();
    }
    value
}

/// The whole `status` as this node writes it: a patch after which nothing of what the node wrote before is left.
/// `PodScheduled` is the scheduler's and is not in it.
pub fn status(input: &StatusInput<'_>) -> Value {
    let StatusInput { pod, observed, restart_policy, terminating, host_ip, now } = input;
    let phase = phase(observed, *restart_policy, *terminating);
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let statuses: Vec<Value> = observed
        .containers
        .iter()
        .map(|one| {
            let spec = containers.clone().find(|spec| spec.name == one.name.as_str());
            container(one, spec.and_then(|spec| spec.image.as_deref()).unwrap_or_default())
        })
        .collect();
    let unready: Vec<&str> = observed
        .containers
        .iter()
        .filter(|one| !matches!(one.state, ContainerState::Running { .. }))
        .map(|one| one.name.as_str())
        .collect();
    let readiness = match phase {
        "Succeeded" => ("False", "PodCompleted", String::new()),
        "Failed" => ("False", "PodFailed", String::new()),
        _ if unready.is_empty() => ("True", "", String::new()),
        _ => ("False", "ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" "))),
    };
    let completed = if phase == "Succeeded" { "PodCompleted" } else { "" };
    let sandbox = if observed.ip.is_some() && matches!(phase, "Pending" | "Running") { "True" } else { "False" };
    let conditions = vec![
        condition(pod, "PodReadyToStartContainers", sandbox, "", "", *now),
        condition(pod, "Initialized", "True", completed, "", *now),
        condition(pod, "Ready", readiness.0, readiness.1, &readiness.2, *now),
        condition(pod, "ContainersReady", readiness.0, readiness.1, &readiness.2, *now),
    ];
    let mut status = json!({
        "phase": phase,
        "conditions": conditions,
        "containerStatuses": statuses,
        "hostIP": host_ip,
        "hostIPs": whole([json!({"ip": host_ip})]),
        // Null takes away an address that the pod does not have any more.
        "podIP": null,
        "podIPs": null,
        "startTime": rfc3339(observed.started_at),
        "observedGeneration": pod.metadata.generation.unwrap_or(0),
    });
    if let Some(ip) = observed.ip {
        status["podIP"] = ip.to_string().into();
        status["podIPs"] = whole([json!({"ip": ip.to_string()})]);
    }
    status
}

/// A condition whose time is that of its last change.
fn condition(pod: &Pod, kind: &str, value: &str, reason: &str, message: &str, now: SystemTime) -> Value {
    let known = pod.status.iter().flat_map(|status| status.conditions.iter().flatten()).find(|one| one.type_ == kind);
    let time = |one: &PodCondition| serde_json::to_value(one.last_transition_time.as_ref()?).ok();
    let old = known.map(|one| (one.status.as_str(), time(one)));
    let since = transition_time(old, value, || Some(rfc3339(now).into()));
    let mut condition = json!({
        "type": kind,
        "status": value,
        "lastProbeTime": null,
        "lastTransitionTime": since,
        "observedGeneration": pod.metadata.generation.unwrap_or(0),
    });
    // Null takes away what a strategic merge would otherwise leave from the time before.
    condition["reason"] = if reason.is_empty() { Value::Null } else { reason.into() };
    condition["message"] = if message.is_empty() { Value::Null } else { message.into() };
    condition
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn ended(exit_code: i32) -> ContainerState {
        ContainerState::Terminated(Terminated {
            exit_code,
            reason: "Error".into(),
            message: String::new(),
            started_at: at(1),
            finished_at: at(2),
            container_id: String::new(),
        })
    }

    #[test]
    fn phases_are_a_kubelets() {
        use RestartPolicy::{Always, Never, OnFailure};
        let running = || ContainerState::Running { started_at: at(1) };
        let check = |policy, states: &[ContainerState], expected: &str| {
            let mut observed = Observed::new(states.iter().map(|_| "c"), at(0));
            for (one, state) in observed.containers.iter_mut().zip(states) {
                one.state = state.clone();
            }
            assert_eq!(phase(&observed, policy, false), expected, "{policy:?} {states:?}");
        };
        check(Always, &[ObservedContainer::new("c").state], "Pending");
        check(Always, &[running(), ObservedContainer::new("c").state], "Pending");
        check(Always, &[running(), ended(1)], "Running");
        check(Always, &[ended(0)], "Running");
        check(OnFailure, &[ended(1)], "Running");
        check(OnFailure, &[ended(0)], "Succeeded");
        check(Never, &[ended(0), ended(0)], "Succeeded");
        check(Never, &[ended(0), ended(137)], "Failed");
    }

    #[test]
    fn a_pod_that_goes_ends_in_a_terminal_phase() {
        use RestartPolicy::{Always, OnFailure};
        let running = || ContainerState::Running { started_at: at(1) };
        let check = |policy, states: &[ContainerState], expected: &str| {
            let mut observed = Observed::new(states.iter().map(|_| "c"), at(0));
            for (one, state) in observed.containers.iter_mut().zip(states) {
                one.state = state.clone();
            }
            assert_eq!(phase(&observed, policy, true), expected, "{policy:?} {states:?}");
        };
        check(Always, &[running(), ended(1)], "Running");
        check(Always, &[ended(0), ended(0)], "Succeeded");
        check(Always, &[ended(0), ended(143)], "Failed");
        check(OnFailure, &[ended(1)], "Failed");
        // A container that never ran is settled first.
        let mut observed = Observed::new(["a", "b"], at(0));
        observed.containers[1].last =
            ObservedContainer { state: ended(0), ..ObservedContainer::new("b") }.terminated().cloned();
        assert_eq!(phase(&observed, Always, true), "Pending");
        observed.settle(at(9));
        assert_eq!(phase(&observed, Always, true), "Failed");
        let codes: Vec<_> = observed.containers.iter().map(|c| c.terminated().map(|t| t.exit_code)).collect();
        assert_eq!(codes, [Some(137), Some(0)]);
    }

    #[test]
    fn a_condition_keeps_the_time_of_its_last_change() {
        let pod: Pod = serde_json::from_value(json!({
            "spec": {"containers": [{"name": "c", "image": "i"}]},
            "status": {"conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"},
                {"type": "ContainersReady", "status": "False", "lastTransitionTime": "2020-01-01T00:00:00Z"},
            ]},
        }))
        .expect("a pod");
        let mut observed = Observed::new(["c"], at(0));
        observed.containers[0].state = ContainerState::Running { started_at: at(1) };
        let status = status(&StatusInput {
            pod: &pod,
            observed: &observed,
            restart_policy: RestartPolicy::Always,
            terminating: false,
            host_ip: "127.0.0.1",
            now: at(100),
        });
        let times: Vec<&Value> =
            status["conditions"].as_array().expect("a list").iter().map(|c| &c["lastTransitionTime"]).collect();
        assert_eq!(times[2], "2020-01-01T00:00:00Z");
        assert_eq!(times[3], "1970-01-01T00:01:40Z");
        assert_eq!(status["containerStatuses"][0]["ready"], true);
    }
}
