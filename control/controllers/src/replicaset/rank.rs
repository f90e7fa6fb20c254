//! The order in which a ReplicaSet's surplus pods are deleted (k8s.io/kubernetes/pkg/controller, ActivePodsWithRanks).

use crate::{pod, time};
use sampan_api::k8s::api::core::v1::Pod;
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::Time;
use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Sorts pods so that those whose loss matters least come first: not on a node, not running, not ready, of lower
/// deletion cost, on the more crowded node, ready for a shorter time, restarted more often, younger. Ages are compared
/// by their order of magnitude, so that not always the newest goes; ties fall by UID.
pub fn least_worth_first(mut pods: Vec<Arc<Pod>>, siblings: &[Arc<Pod>], now: SystemTime) -> Vec<Arc<Pod>> {
    let mut on_node: HashMap<&str, usize> = HashMap::new();
    for one in siblings.iter().filter(|one| pod::is_active(one)) {
        *on_node.entry(pod::node(one)).or_default() += 1;
    }
    pods.sort_by(|a, b| compare(a, b, &on_node, now));
    pods
}

fn compare(a: &Pod, b: &Pod, on_node: &HashMap<&str, usize>, now: SystemTime) -> Ordering {
    let assigned = |one: &Pod| !pod::node(one).is_empty();
    let phase = |one: &Pod| match pod::phase(one) {
        "Pending" | "" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let crowd = |one: &Pod| Reverse(on_node.get(pod::node(one)).copied().unwrap_or(0));
    assigned(a)
        .cmp(&assigned(b))
        .then_with(|| phase(a).cmp(&phase(b)))
        .then_with(|| pod::is_ready(a).cmp(&pod::is_ready(b)))
        .then_with(|| cost(a).cmp(&cost(b)))
        .then_with(|| crowd(a).cmp(&crowd(b)))
        .then_with(|| {
            if pod::is_ready(a) && pod::is_ready(b) {
                age_class(ready_since(a), now).cmp(&age_class(ready_since(b), now))
            } else {
                Ordering::Equal
            }
        })
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| {
            let created = |one: &Pod| age_class(one.metadata.creation_timestamp.as_ref(), now);
            created(a).cmp(&created(b))
        })
        .then_with(|| a.metadata.uid.cmp(&b.metadata.uid))
}

/// A cost that is not a number counts as none, as in Kubernetes.
fn cost(one: &Pod) -> i32 {
    let text = one.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DELETION_COST));
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn ready_since(one: &Pod) -> Option<&Time> {
    pod::condition(one, "Ready")?.last_transition_time.as_ref()
}

/// The logarithm of the age in seconds: younger sorts first, an unknown time as the oldest.
fn age_class(then: Option<&Time>, now: SystemTime) -> u32 {
    then.map_or(u32::MAX, |then| time::since(now, then).as_secs().checked_ilog10().map_or(0, |log| log + 1))
}

fn restarts(one: &Pod) -> i32 {
    let statuses = one.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.into_iter().flatten().map(|status| status.restart_count).max().unwrap_or(0)
}
