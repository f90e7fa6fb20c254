//! From an object and its component to something that may go live: described, configured, tried on its fixtures.

use crate::built_in::BUILT_IN_IMAGE;
use crate::describe::{DescribeError, Description, PolicyDescription};
use crate::limits;
use crate::mirror::{Mirrored, World, scores, verdicts};
use sampan_api::scheduling::{FailurePolicy, Fixture, SchedulingPolicySpec};
use sampan_policy_host::{
    Allowance, BudgetError, Installed, Mirror, OverTime, Question, Work, allowance, limits as host_limits,
};
use sampan_scheduler_core::{Answer, Objects, PodInfo, Point, Question as Asked, Snapshot};
use sampan_wasm_runtime::policy::{PolicyChanges, PolicyComponent, PolicyFault, PolicyInput, PolicyInstance};
use std::sync::Arc;

/// The reason why an object cannot go live. Texts go into its conditions.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Its description of itself is not understood.
    #[error(transparent)]
    Describe(#[from] DescribeError),
    /// A call of the check got no answer; `what` names the call.
    #[error("{what}: {fault}")]
    Fault { what: &'static str, fault: PolicyFault },
    /// `spec.policy` names none of them.
    #[error("the component has no policy {wanted:?}; it has {found}")]
    NoPolicy { wanted: String, found: String },
    /// `spec.policy` names none where there are several.
    #[error("spec.policy: the component has several policies, name one: {0}")]
    Ambiguous(String),
    /// `spec.points` names one that the policy has not.
    #[error("spec.points: {point:?} is not among the points of {policy}: {found}")]
    NoPoint { point: String, policy: String, found: String },
    /// Nothing of it would ever be called.
    #[error("it has no extension point that this version calls (filter, score)")]
    NoPoints,
    /// Out of range.
    #[error("spec.weight: {0} must be between 1 and 100")]
    Weight(i32),
    /// More than the host gives.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// The policy's own word on its arguments.
    #[error("spec.args: {0}")]
    Args(String),
    /// A fixture was not decided as it states.
    #[error("fixture {name:?}: {why}")]
    Fixture { name: String, why: String },
    /// The checks took too long in all.
    #[error(transparent)]
    OverTime(#[from] OverTime),
}

/// One named policy, ready to go live.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The component that answers for it.
    pub component: PolicyComponent,
    /// The component's description of it.
    pub policy: PolicyDescription,
    /// It runs at the filter point.
    pub filter: bool,
    /// It runs at the score point.
    pub score: bool,
    /// The factor of its normalised score.
    pub weight: i64,
    /// JSON; empty for none.
    pub args: String,
    /// The bounds of its calls.
    pub allowance: Allowance,
    /// `failurePolicy: Ignore`.
    pub ignore_faults: bool,
    /// The profiles that it belongs to; every one when empty.
    pub profiles: Vec<String>,
    /// Place among the filters.
    pub order: i32,
    /// Whether no pod may be placed without it: after faults it is started again, never suspended.
    pub built_in: bool,
}

impl Installed for Prepared {
    fn component(&self) -> &PolicyComponent {
        &self.component
    }
    fn policy(&self) -> &str {
        &self.policy.name
    }
    fn args(&self) -> &str {
        &self.args
    }
    fn allowance(&self) -> Allowance {
        self.allowance
    }
    fn order(&self) -> i32 {
        self.order
    }
    fn essential(&self) -> bool {
        self.built_in
    }
    fn fails_open(&self) -> bool {
        self.ignore_faults
    }
    fn pure(&self) -> bool {
        self.policy.cacheable
    }
}

/// Checks everything that can be checked without a cluster. Calls the component on this thread, within its budget.
///
/// # Errors
/// The first thing that is wrong.
pub fn prepare(component: &PolicyComponent, spec: &SchedulingPolicySpec) -> Result<Prepared, PrepareError> {
    let mut work = Work::default();
    let prepared = begin(component, spec, &mut work)?;
    for fixture in fixtures(spec) {
        check_fixture(&prepared, fixture, &mut work)?;
    }
    Ok(prepared)
}

/// The fixtures that are checked.
pub(crate) fn fixtures(spec: &SchedulingPolicySpec) -> &[Fixture] {
    &spec.fixtures[..spec.fixtures.len().min(host_limits::FIXTURES)]
}

/// Everything but the fixtures.
pub(crate) fn begin(
    component: &PolicyComponent,
    spec: &SchedulingPolicySpec,
    work: &mut Work,
) -> Result<Prepared, PrepareError> {
    let allowance = allowance(spec.budget.as_ref())?;
    let budget = allowance.call;
    let fault = |what: &'static str| move |fault: PolicyFault| PrepareError::Fault { what, fault };
    let mut instance = component.instantiate(budget, allowance.memory, 0).map_err(fault("starting it"))?;
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
    work.spend(instance.total())?;
    Ok(Prepared {
        component: component.clone(),
        policy,
        filter,
        score,
        weight,
        args,
        allowance,
        ignore_faults: spec.failure_policy == FailurePolicy::Ignore,
        profiles: spec.profiles.clone(),
        order: spec.order.unwrap_or(limits::ORDER_DEFAULT),
        built_in: spec.component == BUILT_IN_IMAGE,
    })
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

/// The points at which the policy is asked: those that are exported, declared and asked for.
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

/// Tries one fixture on an instance of its own.
pub(crate) fn check_fixture(prepared: &Prepared, fixture: &Fixture, work: &mut Work) -> Result<(), PrepareError> {
    let failed = |why: String| PrepareError::Fixture { name: fixture.name.clone(), why };
    let Allowance { call, memory } = prepared.allowance;
    // A fixture is a world of its own: its mirror is a fresh one.
    let instance = prepared.component.instantiate(call, memory, 0);
    let mut instance = instance.map_err(|fault| failed(fault.to_string()))?;
    let outcome = try_fixture(prepared, &mut instance, fixture);
    work.spend(instance.total())?;
    outcome.map_err(failed)
}

fn input(question: Question) -> PolicyInput {
    PolicyInput {
        changes: PolicyChanges::default(),
        overlay: PolicyChanges::default(),
        pod: question.row,
        policies: vec![0],
        nodes: question.candidates,
    }
}

fn try_fixture(prepared: &Prepared, instance: &mut PolicyInstance, fixture: &Fixture) -> Result<(), String> {
    let budget = prepared.allowance.call;
    instance.configure(budget, 0, &prepared.policy.name, &prepared.args).map_err(|fault| fault.to_string())??;
    let mut snapshot = Snapshot::new(prepared.policy.columns);
    let node = serde_json::from_value(fixture.node.clone()).map_err(|error| format!("node: {error}"))?;
    let pod = serde_json::from_value(fixture.pod.clone()).map_err(|error| format!("pod: {error}"))?;
    snapshot.set_node(Arc::new(node));
    let pod = PodInfo::new(Arc::new(pod), snapshot.strings_mut());
    let signature = snapshot.signature(&pod, prepared.policy.columns).map_err(|error| error.to_string())?;
    let rows = snapshot.order().to_vec();
    let mut mirror = Mirrored::new(prepared.policy.columns);
    let mut question = mirror.question(World { snapshot: &snapshot, pod: &signature, rows: &rows });
    for changes in [std::mem::take(&mut question.world), std::mem::take(&mut question.subject)] {
        instance.feed(budget, changes).map_err(|fault| fault.to_string())?;
    }
    let objects = Objects::default();
    let asked = Asked { snapshot: &snapshot, signature: &signature, policies: &[0], rows: &rows, objects: &objects };
    if let Some(expected) = &fixture.filter {
        if !prepared.filter {
            return Err("it states a verdict, and the policy does not filter".into());
        }
        let answer = instance.filter(budget, input(question.clone())).map_err(|fault| fault.to_string())?;
        let answer = verdicts(answer).checked(Point::Filter, &asked).map_err(|bad| bad.to_string())?;
        let Answer::Filter(answer) = answer else { return Err("it gives no verdict".into()) };
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
        let answer = instance.score(budget, input(question)).map_err(|fault| fault.to_string())?;
        let answer = scores(answer).checked(Point::Score, &asked).map_err(|bad| bad.to_string())?;
        let Answer::Score(answer) = answer else { return Err("it gives no score".into()) };
        match answer.values.first() {
            Some(score) if *score == expected => {}
            Some(score) => return Err(format!("the score is {score}, not {expected}")),
            None => return Err(format!("it gives no score, not {expected}")),
        }
    }
    Ok(())
}
