//! A Deployment's status: counts and conditions, with Kubernetes' reasons and texts.

use super::replicas::{self, actual, available, ready, size, surge_and_unavailable, terminating, total, wanted};
use crate::{limits, owner, time};
use sampan_api::k8s::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use sampan_reconcile::{Requeue, condition};
use std::time::{Duration, SystemTime};

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const NEW_AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

fn get<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

fn remove(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != kind);
        if conditions.is_empty() {
            status.conditions = None;
        }
    }
}

fn new(kind: &str, value: &str, reason: &str, message: String, now: SystemTime) -> DeploymentCondition {
    let now = Some(time::of(now));
    DeploymentCondition {
        type_: kind.into(),
        status: value.into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_update_time: now.clone(),
        last_transition_time: now,
    }
}

/// With the same status and reason the old one stands; with the same status its time of transition does.
fn set(status: &mut DeploymentStatus, condition: DeploymentCondition) {
    if get(status, &condition.type_).is_some_and(|old| old.status == condition.status && old.reason == condition.reason)
    {
        return;
    }
    let conditions = status.conditions.get_or_insert_default();
    let condition = condition::since(conditions, condition);
    conditions.retain(|old| old.type_ != condition.type_);
    conditions.push(condition);
}

/// None where the deadline is absent or as far away as a number can be.
fn deadline(deployment: &Deployment) -> Option<Duration> {
    let seconds = deployment.spec.as_ref()?.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX)?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// A pause stops the clock of the deadline; so does its end.
pub fn note_pause(deployment: &mut Deployment, now: SystemTime) {
    if deadline(deployment).is_none() {
        return;
    }
    let paused = replicas::spec(deployment).paused == Some(true);
    let status = deployment.status.get_or_insert_default();
    let reason = get(status, PROGRESSING).and_then(|condition| condition.reason.clone()).unwrap_or_default();
    if reason == TIMED_OUT {
        return;
    }
    if paused && reason != PAUSED {
        set(status, new(PROGRESSING, "Unknown", PAUSED, "Deployment is paused".into(), now));
    } else if !paused && reason == PAUSED {
        set(status, new(PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed".into(), now));
    }
}

/// Notes that a ReplicaSet of the wanted template was there already.
pub fn found(deployment: &Deployment, status: &mut DeploymentStatus, name: &str, now: SystemTime) {
    if deadline(deployment).is_some() && get(status, PROGRESSING).is_none() {
        let message = format!("Found new replica set \"{name}\"");
        set(status, new(PROGRESSING, "True", "FoundNewReplicaSet", message, now));
    }
}

/// Notes that a ReplicaSet of the wanted template was created.
pub fn created(deployment: &Deployment, status: &mut DeploymentStatus, name: &str, now: SystemTime) {
    if deadline(deployment).is_some() {
        let message = format!("Created new replica set \"{name}\"");
        set(status, new(PROGRESSING, "True", "NewReplicaSetCreated", message, now));
    }
}

/// Notes that it could not be created.
pub fn create_failed(deployment: &Deployment, status: &mut DeploymentStatus, message: String, now: SystemTime) {
    if deadline(deployment).is_some() {
        set(status, new(PROGRESSING, "False", "ReplicaSetCreateError", message, now));
    }
}

/// The counts, and whether the Deployment is available; other conditions are kept.
pub fn counts(
    deployment: &Deployment,
    all: &[ReplicaSet],
    new_set: Option<&ReplicaSet>,
    old: &DeploymentStatus,
    now: SystemTime,
) -> DeploymentStatus {
    let serving = total(all, available);
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: Some(total(all, actual)),
        updated_replicas: Some(new_set.map_or(0, actual)),
        ready_replicas: Some(total(all, ready)),
        available_replicas: Some(serving),
        unavailable_replicas: Some((total(all, size) - serving).max(0)),
        terminating_replicas: Some(total(all, terminating)),
        collision_count: old.collision_count,
        conditions: old.conditions.clone(),
    };
    let condition = if serving >= wanted(deployment) - surge_and_unavailable(deployment).1 {
        new(AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability.".into(), now)
    } else {
        let message = "Deployment does not have minimum availability.".into();
        new(AVAILABLE, "False", "MinimumReplicasUnavailable", message, now)
    };
    set(&mut status, condition);
    status
}

pub fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = Some(wanted(deployment));
    status.updated_replicas.or(Some(0)) == wanted
        && status.replicas.or(Some(0)) == wanted
        && status.available_replicas.or(Some(0)) == wanted
        && status.observed_generation >= deployment.metadata.generation
}

fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let number = |value: Option<i32>| value.unwrap_or(0);
    let outdated = |status: &DeploymentStatus| number(status.replicas) - number(status.updated_replicas);
    number(new.updated_replicas) > number(old.updated_replicas)
        || outdated(new) < outdated(old)
        || number(new.ready_replicas) > number(old.ready_replicas)
        || number(new.available_replicas) > number(old.available_replicas)
}

/// Done, under way, or out of time; answers when the deadline is to be looked at.
pub fn progress(
    deployment: &Deployment,
    status: &mut DeploymentStatus,
    new_set: Option<&ReplicaSet>,
    now: SystemTime,
) -> Requeue {
    let Some(deadline) = deadline(deployment) else {
        remove(status, PROGRESSING);
        return Requeue::Never;
    };
    let old = deployment.status.clone().unwrap_or_default();
    let subject = match new_set {
        Some(set) => format!("ReplicaSet \"{}\"", owner::name(&set.metadata)),
        None => format!("Deployment \"{}\"", owner::name(&deployment.metadata)),
    };
    let current = get(status, PROGRESSING).cloned();
    let was_complete = current.as_ref().is_some_and(|one| one.reason.as_deref() == Some(NEW_AVAILABLE));
    if was_complete && status.replicas == status.updated_replicas {
        return Requeue::Never;
    }
    if is_complete(deployment, status) {
        let message = format!("{subject} has successfully progressed.");
        set(status, new(PROGRESSING, "True", NEW_AVAILABLE, message, now));
        return Requeue::Never;
    }
    if has_progressed(&old, status) {
        let condition = new(PROGRESSING, "True", "ReplicaSetUpdated", format!("{subject} is progressing."), now);
        // Also with the same reason: the clock of the deadline starts anew with each step.
        let condition = condition::since(current.as_slice(), condition);
        remove(status, PROGRESSING);
        set(status, condition);
        return Requeue::After(deadline + limits::WHOLE_SECOND);
    }
    let Some(current) = current else { return Requeue::Never };
    if matches!(current.reason.as_deref(), Some(NEW_AVAILABLE | TIMED_OUT)) {
        return Requeue::Never;
    }
    let spent = current.last_update_time.as_ref().map_or(Duration::ZERO, |then| time::since(now, then));
    if spent > deadline {
        let message = format!("{subject} has timed out progressing.");
        set(status, new(PROGRESSING, "False", TIMED_OUT, message, now));
        return Requeue::Never;
    }
    Requeue::After(deadline - spent + limits::WHOLE_SECOND)
}

/// The new ReplicaSet's failure, else an old one's.
pub fn failures(status: &mut DeploymentStatus, all: &[ReplicaSet], new_set: Option<&ReplicaSet>, now: SystemTime) {
    let found = new_set.into_iter().chain(all).find_map(|set| {
        let conditions = set.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|condition| condition.type_ == REPLICA_FAILURE)
    });
    match found {
        None => remove(status, REPLICA_FAILURE),
        Some(one) => {
            let mut condition = new(
                REPLICA_FAILURE,
                &one.status,
                one.reason.as_deref().unwrap_or_default(),
                one.message.clone().unwrap_or_default(),
                now,
            );
            condition.last_transition_time = one.last_transition_time.clone();
            set(status, condition);
        }
    }
}

/// Whether a write of the status would change anything. What the server leaves out when it is zero counts as zero.
pub fn differs(old: Option<&DeploymentStatus>, new: &DeploymentStatus) -> bool {
    let flat = |status: &DeploymentStatus| {
        let number = |value: Option<i32>| value.unwrap_or(0);
        (
            [
                number(status.replicas),
                number(status.updated_replicas),
                number(status.ready_replicas),
                number(status.available_replicas),
                number(status.unavailable_replicas),
                number(status.terminating_replicas),
                number(status.collision_count),
            ],
            status.observed_generation,
            status.conditions.clone().unwrap_or_default(),
        )
    };
    flat(&old.cloned().unwrap_or_default()) != flat(new)
}
