//! The annotations by which Deployments keep their history; kubectl's `rollout` reads them.

use super::replicas::{surge_and_unavailable, wanted};
use crate::limits;
use sampan_api::k8s::api::apps::v1::{Deployment, ReplicaSet};
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Annotation with the number of a ReplicaSet's roll-out, and of the Deployment's present one.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// Earlier numbers of a ReplicaSet that was rolled back to.
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Replicas of the Deployment when the ReplicaSet was last scaled.
pub const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// Annotation of a ReplicaSet: the Deployment's replicas with maxSurge.
pub const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// Not copied from a Deployment to its ReplicaSets.
const OWN: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

pub fn get<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

pub fn number(meta: &ObjectMeta, key: &str) -> Option<i32> {
    get(meta, key)?.parse().ok()
}

/// A revision that is absent or no number is none at all.
pub fn revision(meta: &ObjectMeta) -> i64 {
    get(meta, REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Answers whether it changed anything.
pub fn set(meta: &mut ObjectMeta, key: &str, value: &str) -> bool {
    let annotations = meta.annotations.get_or_insert_default();
    if annotations.get(key).is_some_and(|old| old == value) {
        return false;
    }
    annotations.insert(key.into(), value.into());
    true
}

/// The annotations of the ReplicaSet that a rollout goes to. One that was new before and is so again keeps the revisions
/// that it had. `exists`: it does already.
pub fn set_new(deployment: &Deployment, target: &mut ReplicaSet, revision_now: i64, exists: bool) -> bool {
    let mut changed = false;
    for (key, value) in deployment.metadata.annotations.iter().flatten() {
        if !OWN.contains(&key.as_str()) {
            changed |= set(&mut target.metadata, key, value);
        }
    }
    let old_text = get(&target.metadata, REVISION).map(str::to_owned);
    let old = revision(&target.metadata);
    if old < revision_now {
        changed |= set(&mut target.metadata, REVISION, &revision_now.to_string());
        if let Some(old) = old_text.filter(|text| !text.is_empty()) {
            let history = get(&target.metadata, REVISION_HISTORY).unwrap_or_default();
            let mut history: Vec<&str> = history.split(',').filter(|part| !part.is_empty()).collect();
            history.push(&old);
            while history.iter().map(|part| part.len() + 1).sum::<usize>() > limits::REVISION_HISTORY_LEN
                && history.len() > 1
            {
                history.remove(0);
            }
            let history = history.join(",");
            set(&mut target.metadata, REVISION_HISTORY, &history);
        }
    }
    if !exists {
        changed |= set_sizes(deployment, target);
    }
    changed
}

/// Notes the size that the ReplicaSet was scaled for: by it a later scaling of the Deployment is noticed and shared
/// out.
pub fn set_sizes(deployment: &Deployment, target: &mut ReplicaSet) -> bool {
    let wanted = wanted(deployment);
    let most = wanted + surge_and_unavailable(deployment).0;
    set(&mut target.metadata, DESIRED_REPLICAS, &wanted.to_string())
        | set(&mut target.metadata, MAX_REPLICAS, &most.to_string())
}
