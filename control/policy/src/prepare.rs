//! From an object and its component to something that may go live: described, configured, tried on its fixtures.

use crate::built_in::BUILT_IN_IMAGE;
use crate::describe::{DescribeError, Description, PolicyDescription};
use crate::host::{convert, input};
use crate::limits;
use sampan_api::Quantity;
use sampan_api::scheduling::{FailurePolicy, Fixture, SchedulingPolicySpec};
use sampan_scheduler_core::{Feed, PodInfo, Snapshot};
use sampan_wasm_runtime::policy::{PolicyBudget, PolicyComponent, PolicyFault, PolicyInstance};
use std::sync::Arc;
use std::time::Duration;

/// Why an object cannot go live. Texts go into its conditions.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error(transparent)]
    Describe(#[from] DescribeError),
    #[error("{what}: {fault}")]
    Fault { what: &'static str, fault: PolicyFault },
    #[error("the component has no policy {wanted:?}; it has {found}")]
    NoPolicy { wanted: String, found: String },
    #[error("spec.policy: the component has several policies, name one: {0}")]
    Ambiguous(String),
    #[error("spec.points: {point:?} is not among the points of {policy}: {found}")]
    NoPoint { point: String, policy: String, found: String },
    #[error("it has no extension point that this version calls (filter, score)")]
    NoPoints,
    #[error("spec.weight: {0} must be between 1 and 100")]
    Weight(i32),
    #[error("spec.budget: {0}")]
    Budget(String),
    #[error("spec.args: {0}")]
    Args(String),
    #[error("fixture {name:?}: {why}")]
    Fixture { name: String, why: String },
}

/// One named policy, ready to go live.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub component: PolicyComponent,
    pub policy: PolicyDescription,
    pub filter: bool,
    pub score: bool,
    pub weight: i64,
    pub args: String,
    pub budget: PolicyBudget,
    pub memory: u64,
    pub ignore_faults: bool,
    pub profiles: Vec<String>,
    pub order: i32,
    /// What no pod may be placed without: after faults it is started again, never suspended.
    pub built_in: bool,
}

/// Checks everything that can be checked without a cluster. Calls the component on this thread, within its budget.
pub fn prepare(component: &PolicyComponent, spec: &SchedulingPolicySpec) -> Result<Prepared, PrepareError> {
    let (budget, memory) = budget(spec)?;
    let fault = |what: &'static str| move |fault: PolicyFault| PrepareError::Fault { what, fault };
    let mut instance = component.instantiate(budget, memory, 0).map_err(fault("starting it"))?;
    let description = Description::parse(&instance.describe(budget).map_err(fault("describe"))?)?;
    let policy = choose(&description, spec)?.clone();
    let (filter, score) = points(component, &policy, spec)?;
    let weight = i64::from(spec.weight.unwrap_or(1));
    if !(1..=sampan_scheduler_core::limits::WEIGHT_MAX).contains(&weight) {
        return Err(PrepareError::Weight(spec.weight.unwrap_or(1)));
    }
    let args = spec.args.as_ref().filter(|args| !args.is_null()).map(ToString::to_string).unwrap_or_default();
    let configured = instance.configure(budget, 0, &policy.name, &args).map_err(fault("spec.args"))?;
    configured.map_err(PrepareError::Args)?;
    let prepared = Prepared {
        component: component.clone(),
        policy,
        filter,
        score,
        weight,
        args,
        budget,
        memory,
        ignore_faults: spec.failure_policy == FailurePolicy::Ignore,
        profiles: spec.profiles.clone(),
        order: spec.order.unwrap_or(limits::ORDER_DEFAULT),
        built_in: spec.component == BUILT_IN_IMAGE,
    };
    for fixture in spec.fixtures.iter().take(limits::FIXTURES) {
        let outcome = try_fixture(&prepared, &mut instance, fixture);
        outcome.map_err(|why| PrepareError::Fixture { name: fixture.name.clone(), why })?;
    }
    Ok(prepared)
}

fn budget(spec: &SchedulingPolicySpec) -> Result<(PolicyBudget, u64), PrepareError> {
    let asked = spec.budget.clone().unwrap_or_default();
    let millis = |asked: Option<u64>, name: &str, max: Duration, default: Duration| match asked {
        None => Ok(default),
        Some(0) => Err(PrepareError::Budget(format!("{name} must be more than 0"))),
        Some(millis) if Duration::from_millis(millis) > max => {
            Err(PrepareError::Budget(format!("{name} must be at most {}", max.as_millis())))
        }
        Some(millis) => Ok(Duration::from_millis(millis)),
    };
    let cpu = millis(asked.cpu_milliseconds, "cpuMilliseconds", limits::CPU_MAX, limits::CPU)?;
    let default = (cpu * limits::WALL_FACTOR).min(limits::WALL_MAX);
    let wall = millis(asked.wall_milliseconds, "wallMilliseconds", limits::WALL_MAX, default)?;
    let memory = match &asked.memory {
        None => limits::MEMORY,
        Some(text) => {
            let quantity: Quantity =
                text.parse().map_err(|error| PrepareError::Budget(format!("memory {text:?}: {error}")))?;
            u64::try_from(quantity.value()).ok().filter(|bytes| (1..=limits::MEMORY_MAX).contains(bytes)).ok_or_else(
                || PrepareError::Budget(format!("memory {text:?} must be at most {}", limits::MEMORY_MAX)),
            )?
        }
    };
    Ok((PolicyBudget { cpu, wall }, memory))
}

fn choose<'a>(all: &'a Description, spec: &SchedulingPolicySpec) -> Result<&'a PolicyDescription, PrepareError> {
    let names = || all.policies.iter().map(|policy| policy.name.as_str()).collect::<Vec<_>>().join(", ");
    match (&spec.policy, all.policies.as_slice()) {
        (Some(wanted), _) => {
            all.policy(wanted).ok_or_else(|| PrepareError::NoPolicy { wanted: wanted.clone(), found: names() })
        }
        (None, [only]) => Ok(only),
        (None, _) => Err(PrepareError::Ambiguous(names())),
    }
}

/// What is exported, declared and asked for.
fn points(
    component: &PolicyComponent,
    policy: &PolicyDescription,
    spec: &SchedulingPolicySpec,
) -> Result<(bool, bool), PrepareError> {
    let exports = component.exports();
    let exported = |point: &str| match point {
        "filter" => exports.filter,
        "score" => exports.score,
        _ => false,
    };
    let has = |point: &str| exported(point) && policy.points.iter().any(|own| own == point);
    if let Some(point) = spec.points.iter().find(|point| !has(point)) {
        let found = policy.points.iter().filter(|own| exported(own)).cloned().collect::<Vec<_>>().join(", ");
        return Err(PrepareError::NoPoint { point: point.clone(), policy: policy.name.clone(), found });
    }
    let wanted = |point: &str| has(point) && (spec.points.is_empty() || spec.points.iter().any(|own| own == point));
    match (wanted("filter"), wanted("score")) {
        (false, false) => Err(PrepareError::NoPoints),
        found => Ok(found),
    }
}

fn try_fixture(prepared: &Prepared, instance: &mut PolicyInstance, fixture: &Fixture) -> Result<(), String> {
    // A fixture is a world of its own: its mirror is a fresh one.
    *instance = prepared.component.instantiate(prepared.budget, prepared.memory, 0).map_err(|f| f.to_string())?;
    instance
        .configure(prepared.budget, 0, &prepared.policy.name, &prepared.args)
        .map_err(|fault| fault.to_string())??;
    let mut snapshot = Snapshot::new(prepared.policy.columns);
    let node = serde_json::from_value(fixture.node.clone()).map_err(|error| format!("node: {error}"))?;
    let pod = serde_json::from_value(fixture.pod.clone()).map_err(|error| format!("pod: {error}"))?;
    snapshot.set_node(Arc::new(node));
    let pod = PodInfo::new(Arc::new(pod), snapshot.strings_mut());
    let view = snapshot.view(&pod, prepared.policy.columns);
    let rows = snapshot.order().to_vec();
    let mut feed = Feed::new(prepared.policy.columns);
    if let Some(expected) = &fixture.filter {
        if !prepared.filter {
            return Err("it states a verdict, and the policy does not filter".into());
        }
        let question = input(&mut feed, &snapshot, &view, &[0], &rows);
        let answer = instance.filter(prepared.budget, question).map_err(|fault| fault.to_string())?;
        let answer = convert::verdicts(answer);
        let refused = answer.marks.first().filter(|mark| **mark != 0);
        let said = refused.map(|mark| answer.reasons[usize::from(*mark) - 1].texts.join(", "));
        let said = said.unwrap_or_else(|| "Pass".to_owned());
        if said != *expected {
            return Err(format!("the filter says {said:?}, not {expected:?}"));
        }
    }
    if let Some(expected) = fixture.score {
        if !prepared.score {
            return Err("it states a score, and the policy does not score".into());
        }
        let question = input(&mut feed, &snapshot, &view, &[0], &rows);
        let answer = instance.score(prepared.budget, question).map_err(|fault| fault.to_string())?;
        match answer.values.first() {
            Some(score) if *score == expected => {}
            Some(score) => return Err(format!("the score is {score}, not {expected}")),
            None => return Err(format!("it gives no score, not {expected}")),
        }
    }
    Ok(())
}
