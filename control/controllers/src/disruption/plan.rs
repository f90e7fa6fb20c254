//! The status of a PodDisruptionBudget: a pure function of it, of its pods and of their owners' scales
//! (pkg/controller/disruption).

use crate::{limits, owner, pod, time};
use sampan_api::k8s::api::core::v1::Pod;
use sampan_api::k8s::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use sampan_api::k8s::apimachinery::pkg::util::intstr::IntOrString;
use sampan_reconcile::{Requeue, condition};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

const ALLOWED: &str = "DisruptionAllowed";

/// The scales of the owners of a budget's pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scale {
    /// Pods that they want, all together.
    pub expected: i32,
    /// Pods that nobody controls.
    pub unmanaged: Vec<String>,
}

/// Whether the budget is counted against the scales of its pods' owners, and not against the pods alone.
pub fn needs_scale(budget: &PodDisruptionBudget) -> bool {
    let spec = budget.spec.as_ref();
    spec.is_some_and(|spec| {
        spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
    })
}

/// The number of pods that are expected, and that are to be healthy. `scale`: needed where [`needs_scale`] says so.
///
/// # Errors
/// A percentage that is none.
pub fn wanted(budget: &PodDisruptionBudget, pods: usize, scale: &Scale) -> Result<(i32, i32), String> {
    let Some(spec) = &budget.spec else { return Ok((0, 0)) };
    if let Some(most) = &spec.max_unavailable {
        return Ok((scale.expected, (scale.expected - scaled(most, scale.expected)?).max(0)));
    }
    match &spec.min_available {
        Some(IntOrString::Int(number)) => Ok((i32::try_from(pods).unwrap_or(i32::MAX), *number)),
        Some(percent) => Ok((scale.expected, scaled(percent, scale.expected)?)),
        None => Ok((0, 0)),
    }
}

/// The amount, a percentage as its part of `total`, rounded up.
fn scaled(amount: &IntOrString, total: i32) -> Result<i32, String> {
    let text = match amount {
        IntOrString::Int(number) => return Ok(*number),
        IntOrString::String(text) => text,
    };
    let percent = text.strip_suffix('%').and_then(|digits| digits.parse::<i64>().ok());
    let percent = percent.ok_or_else(|| {
        format!("invalid value for IntOrString: invalid type: strings needs to be a percentage: {text:?}")
    })?;
    let part = i64::from(total).saturating_mul(percent);
    i32::try_from(part.div_euclid(100) + i64::from(part.rem_euclid(100) > 0)).map_err(|error| error.to_string())
}

/// The pods of which a disruption was allowed and has not been seen: those that are there, not going, and were not given
/// up; pods whose disruption never came; and when the next of them is given up.
pub fn disrupted(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    now: SystemTime,
) -> (BTreeMap<String, Time>, Vec<Arc<Pod>>, Requeue) {
    let known = budget.status.as_ref().and_then(|status| status.disrupted_pods.clone()).unwrap_or_default();
    let (mut waiting, mut never, mut requeue) = (BTreeMap::new(), Vec::new(), Requeue::Never);
    for one in pods.iter().filter(|one| !owner::is_being_deleted(&one.metadata)) {
        let Some(at) = known.get(owner::name(&one.metadata)) else { continue };
        match limits::DISRUPTION_TIMEOUT.checked_sub(time::since(now, at)) {
            None => never.push(one.clone()),
            Some(left) => {
                requeue = requeue.sooner(Requeue::After(left + limits::WHOLE_SECOND));
                waiting.insert(owner::name(&one.metadata).to_owned(), at.clone());
            }
        }
    }
    (waiting, never, requeue)
}

/// The status that follows.
pub fn status(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    (expected, desired): (i32, i32),
    disrupted: BTreeMap<String, Time>,
    now: SystemTime,
) -> PodDisruptionBudgetStatus {
    let is_healthy = |one: &&Arc<Pod>| {
        !owner::is_being_deleted(&one.metadata)
            && !disrupted.contains_key(owner::name(&one.metadata))
            && pod::is_ready(one)
    };
    let healthy = i32::try_from(pods.iter().filter(is_healthy).count()).unwrap_or(i32::MAX);
    let allowed = if expected <= 0 { 0 } else { healthy.saturating_sub(desired).max(0) };
    let generation = budget.metadata.generation;
    let mut conditions = conditions_of(budget);
    let (status, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    condition::set(&mut conditions, allowed_condition(status, reason, String::new(), generation, now));
    PodDisruptionBudgetStatus {
        conditions: Some(conditions),
        current_healthy: healthy,
        desired_healthy: desired,
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        disruptions_allowed: allowed,
        expected_pods: expected,
        observed_generation: generation,
    }
}

/// The status of a budget that cannot be worked out: nothing may be disrupted.
pub fn failed(budget: &PodDisruptionBudget, why: &str, now: SystemTime) -> PodDisruptionBudgetStatus {
    let mut status = budget.status.clone().unwrap_or_default();
    let mut conditions = conditions_of(budget);
    let seen = Some(status.observed_generation.unwrap_or(0));
    condition::set(&mut conditions, allowed_condition("False", "SyncFailed", why.to_owned(), seen, now));
    status.disruptions_allowed = 0;
    status.conditions = Some(conditions);
    status
}

fn conditions_of(budget: &PodDisruptionBudget) -> Vec<Condition> {
    budget.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default()
}

fn allowed_condition(
    status: &str,
    reason: &str,
    message: String,
    observed_generation: Option<i64>,
    now: SystemTime,
) -> Condition {
    Condition {
        last_transition_time: time::of(now),
        message,
        observed_generation,
        reason: reason.into(),
        status: status.into(),
        type_: ALLOWED.into(),
    }
}

/// The time after which a condition that says that a pod will be disrupted is taken back, since the pod is still there; `None`:
/// it has none.
pub fn stale_in(one: &Pod, now: SystemTime) -> Option<std::time::Duration> {
    if owner::is_being_deleted(&one.metadata) || pod::is_finished(one) {
        return None;
    }
    let target = pod::condition(one, "DisruptionTarget").filter(|condition| condition.status == "True")?;
    if target.reason.as_deref() == Some("TerminationByKubelet") {
        return None;
    }
    let since =
        target.last_transition_time.as_ref().map_or(limits::DISRUPTION_TIMEOUT, |since| time::since(now, since));
    Some(limits::DISRUPTION_TIMEOUT.saturating_sub(since))
}
