//! The writes that a ReplicaSet wants: a pure function of it and of the pods it owns (pkg/controller/replicaset).

use super::rank;
use crate::{limits, owner, pod, time};
use sampan_api::k8s::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use sampan_api::k8s::api::core::v1::Pod;
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::OwnerReference;
use sampan_reconcile::Requeue;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create this many pods from the template.
    Create(usize),
    /// These pods, the least worth first.
    Delete(Vec<Arc<Pod>>),
}

/// Pods more or fewer than wanted. `siblings`: active pods of the ReplicaSets of the same controller, by node, which
/// tell how crowded each node is.
pub fn scale(set: &ReplicaSet, owned: &[Arc<Pod>], siblings: &[Arc<Pod>], now: SystemTime) -> Option<Action> {
    let active: Vec<Arc<Pod>> = owned.iter().filter(|one| pod::is_active(one)).cloned().collect();
    let wanted = usize::try_from(replicas(set)).unwrap_or(0);
    if active.len() < wanted {
        return Some(Action::Create((wanted - active.len()).min(limits::BURST_REPLICAS)));
    }
    let surplus = (active.len() - wanted).min(limits::BURST_REPLICAS);
    if surplus == 0 {
        return None;
    }
    if surplus == active.len() {
        return Some(Action::Delete(active));
    }
    let mut victims = rank::least_worth_first(active, siblings, now);
    victims.truncate(surplus);
    Some(Action::Delete(victims))
}

pub fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// The failure of a write of this round: reason and message of the condition `ReplicaFailure`.
pub type Failure = (&'static str, String);

/// The status that follows, and when it changes by itself (a pod becomes available).
pub fn status(
    set: &ReplicaSet,
    owned: &[Arc<Pod>],
    failure: Option<&Failure>,
    now: SystemTime,
) -> (ReplicaSetStatus, Requeue) {
    let spec = set.spec.clone().unwrap_or_default();
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let template =
        spec.template.and_then(|template| template.metadata).and_then(|meta| meta.labels).unwrap_or_default();
    let (mut labelled, mut ready, mut available, mut terminating, mut active) = (0, 0, 0, 0, 0);
    let mut requeue = Requeue::Never;
    for one in owned {
        if one.metadata.deletion_timestamp.is_some() && !pod::is_finished(one) {
            terminating += 1;
        }
        if !pod::is_active(one) {
            continue;
        }
        active += 1;
        let labels = one.metadata.labels.as_ref();
        if template.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value)) {
            labelled += 1;
        }
        match pod::available_in(one, min_ready, now) {
            None => {}
            Some(Duration::ZERO) => {
                ready += 1;
                available += 1;
            }
            Some(wait) => {
                ready += 1;
                requeue = requeue.sooner(Requeue::After(wait + limits::WHOLE_SECOND));
            }
        }
    }
    let old = set.status.clone().unwrap_or_default();
    let conditions = conditions(old.conditions.unwrap_or_default(), failure, now);
    let status = ReplicaSetStatus {
        replicas: active,
        fully_labeled_replicas: Some(labelled),
        ready_replicas: Some(ready),
        available_replicas: Some(available),
        terminating_replicas: Some(terminating),
        observed_generation: set.metadata.generation,
        conditions: (!conditions.is_empty()).then_some(conditions),
    };
    (status, requeue)
}

fn conditions(
    mut old: Vec<ReplicaSetCondition>,
    failure: Option<&Failure>,
    now: SystemTime,
) -> Vec<ReplicaSetCondition> {
    const KIND: &str = "ReplicaFailure";
    match failure {
        None => old.retain(|condition| condition.type_ != KIND),
        // As long as it fails for the same reason, the first message stands.
        Some((reason, _)) if old.iter().any(|one| one.type_ == KIND && one.reason.as_deref() == Some(*reason)) => {}
        Some((reason, message)) => {
            old.retain(|condition| condition.type_ != KIND);
            old.push(ReplicaSetCondition {
                type_: KIND.into(),
                status: "True".into(),
                reason: Some((*reason).into()),
                message: Some(message.clone()),
                last_transition_time: Some(time::of(now)),
            });
        }
    }
    old
}

/// Whether a write of the status would change anything. What the server leaves out when it is zero counts as zero.
pub fn differs(old: Option<&ReplicaSetStatus>, new: &ReplicaSetStatus) -> bool {
    let zero = |value: Option<i32>| value.unwrap_or(0);
    let old = old.cloned().unwrap_or_default();
    old.replicas != new.replicas
        || zero(old.fully_labeled_replicas) != zero(new.fully_labeled_replicas)
        || zero(old.ready_replicas) != zero(new.ready_replicas)
        || zero(old.available_replicas) != zero(new.available_replicas)
        || zero(old.terminating_replicas) != zero(new.terminating_replicas)
        || old.observed_generation != new.observed_generation
        || old.conditions.unwrap_or_default() != new.conditions.clone().unwrap_or_default()
}

/// A new pod of the template (its name is generated) for whom `reference` names.
pub fn pod_of(set: &ReplicaSet, reference: OwnerReference) -> Pod {
    let template = set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    let mut metadata = template.metadata.unwrap_or_default();
    metadata.name = None;
    metadata.generate_name = Some(format!("{}-", owner::name(&set.metadata)));
    metadata.namespace = set.metadata.namespace.clone();
    metadata.owner_references = Some(vec![reference]);
    Pod { metadata, spec: template.spec, status: None }
}
