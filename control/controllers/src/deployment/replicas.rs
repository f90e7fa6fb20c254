//! Sets of ReplicaSets as a Deployment sees them: which is new, which are old, how many pods they have, the surge_and_unavailable of
//! a rolling update (pkg/controller/deployment/util).

use super::annotations;
use crate::owner;
use sampan_api::k8s::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};
use sampan_api::k8s::api::core::v1::PodTemplateSpec;
use sampan_api::k8s::apimachinery::pkg::util::intstr::IntOrString;
use std::cmp::Ordering;

/// Label of a Deployment's ReplicaSets and pods: the hash of the template.
pub const TEMPLATE_HASH: &str = "pod-template-hash";

pub fn spec(deployment: &Deployment) -> DeploymentSpec {
    deployment.spec.clone().unwrap_or_default()
}

/// Wanted of a Deployment.
pub fn wanted(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Wanted of a ReplicaSet.
pub fn size(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

pub fn set_size(set: &mut ReplicaSet, size: i32) {
    set.spec.get_or_insert_default().replicas = Some(size);
}

pub fn actual(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

pub fn ready(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)
}

pub fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}

pub fn terminating(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.terminating_replicas).unwrap_or(0)
}

pub fn is_rolling(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("Recreate")
}

/// `maxSurge` and `maxUnavailable` as numbers of pods (`ResolveFenceposts`): percentages of the wanted replicas, the first
/// rounded up, the second down. Where both are 0, `maxUnavailable` is 1: an update could not take a step otherwise.
pub fn surge_and_unavailable(deployment: &Deployment) -> (i32, i32) {
    if !is_rolling(deployment) {
        return (0, 0);
    }
    let replicas = wanted(deployment);
    let rolling = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref()?.rolling_update.clone());
    let rolling = rolling.unwrap_or_default();
    let surge =
        rolling.max_surge.as_ref().map_or_else(|| percent(25, replicas, true), |value| resolve(value, replicas, true));
    let unavailable = rolling
        .max_unavailable
        .as_ref()
        .map_or_else(|| percent(25, replicas, false), |value| resolve(value, replicas, false));
    let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
    (surge, unavailable.min(replicas))
}

fn resolve(value: &IntOrString, of: i32, up: bool) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(text) => {
            text.strip_suffix('%').and_then(|digits| digits.parse().ok()).map_or(0, |number| percent(number, of, up))
        }
    }
}

fn percent(percent: i32, of: i32, up: bool) -> i32 {
    let hundredths = i64::from(percent) * i64::from(of);
    let rounded = if up { (hundredths + 99).div_euclid(100) } else { hundredths.div_euclid(100) };
    i32::try_from(rounded).unwrap_or(i32::MAX)
}

/// Whether two templates make the same pods; the label that a Deployment adds does not count.
pub fn same_template(one: &PodTemplateSpec, two: &PodTemplateSpec) -> bool {
    let bare = |template: &PodTemplateSpec| {
        let mut template = template.clone();
        let metadata = template.metadata.get_or_insert_default();
        metadata.creation_timestamp = None;
        if let Some(labels) = &mut metadata.labels {
            labels.remove(TEMPLATE_HASH);
        }
        if metadata.labels.as_ref().is_some_and(std::collections::BTreeMap::is_empty) {
            metadata.labels = None;
        }
        if metadata.annotations.as_ref().is_some_and(std::collections::BTreeMap::is_empty) {
            metadata.annotations = None;
        }
        template
    };
    bare(one) == bare(two)
}

pub fn by_age(one: &ReplicaSet, two: &ReplicaSet) -> Ordering {
    let key = |set: &ReplicaSet| {
        (set.metadata.creation_timestamp.as_ref().map(|time| time.0), owner::name(&set.metadata).to_owned())
    };
    key(one).cmp(&key(two))
}

/// The index of the ReplicaSet that has the Deployment's template; of several the oldest, so that all agree.
pub fn newest(deployment: &Deployment, sets: &[ReplicaSet]) -> Option<usize> {
    let template = spec(deployment).template;
    let mut order: Vec<usize> = (0..sets.len()).collect();
    order.sort_by(|a, b| by_age(&sets[*a], &sets[*b]));
    order.into_iter().find(|at| {
        sets[*at].spec.as_ref().and_then(|spec| spec.template.as_ref()).is_some_and(|one| same_template(one, &template))
    })
}

pub fn total(sets: &[ReplicaSet], count: impl Fn(&ReplicaSet) -> i32) -> i32 {
    sets.iter().map(count).sum()
}

/// The part of `to_add` (of which `added` replicas are given out already) that falls to this set, in proportion to its
/// size.
pub fn proportion(set: &ReplicaSet, deployment: &Deployment, to_add: i32, added: i32) -> i32 {
    if size(set) == 0 || to_add == 0 || to_add == added {
        return 0;
    }
    let share = share(set, deployment);
    let allowed = to_add - added;
    if to_add > 0 { share.min(allowed) } else { share.max(allowed) }
}

fn share(set: &ReplicaSet, deployment: &Deployment) -> i32 {
    if wanted(deployment) == 0 {
        return -size(set);
    }
    let now_max = wanted(deployment) + surge_and_unavailable(deployment).0;
    let before = annotations::number(&set.metadata, annotations::MAX_REPLICAS).filter(|number| *number != 0);
    let before = before.unwrap_or_else(|| deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or(0));
    if before == 0 {
        return 0;
    }
    let new_size = f64::from(size(set)) * f64::from(now_max) / f64::from(before);
    new_size.round() as i32 - size(set)
}
