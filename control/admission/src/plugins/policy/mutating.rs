//! MutatingAdmissionPolicy: expressions change what is written (`mutating/dispatcher.go`). Acts where the feature of that name
//! is on and its kinds are served.

use super::compiled::OnFailure;
use super::mutations::{Mutation, Mutations};
use super::{Cause, Invocation, Parts, Policies, Problem, Step, forbidden};
use crate::chain::{Plugin, Remembered};
use crate::matching::{Request, Seen};
use crate::reinvocation::Invoked;
use crate::scene::{OUT_OF_BUDGET, Scenes, Unknown, decided};
use async_trait::async_trait;
use sampan_api::admission::{Attributes, Equivalent, Mutated, Operation, UnknownFields};
use sampan_api::status::{Reason, StatusCause};
use sampan_api::{GroupVersionKind, Object, Status};

/// Has the policies that are bound change what is written.
pub struct MutatingAdmissionPolicy(Policies<Mutations>);

/// The names of a policy and a binding, and the namespace and name of a parameter.
type Key = (String, String, String, String);

/// Which time the policies are asked about one request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    First,
    Again,
}

/// Whether any of a policy's changes was made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Applied {
    None,
    Some,
}

/// What came of asking one policy through one binding.
struct Outcome {
    applied: Applied,
    problems: Vec<Problem<Mutations>>,
}

impl MutatingAdmissionPolicy {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Policies::new(parts))
    }

    async fn run(
        &self,
        attributes: &Attributes<'_>,
        object: &mut Object,
        invoked: &mut Invoked<Key>,
        round: Round,
    ) -> Result<Mutated, Status> {
        let own = object.gvk();
        let (mut problems, mut invocations) = (Vec::new(), Vec::new());
        for step in self.0.steps(Request { attributes, object: Some(object) }).await {
            match step {
                Step::Ask(invocation) => invocations.push(invocation),
                Step::Misconfigured(problem) => problems.push(problem),
            }
        }
        let mut mutated = Mutated::No;
        for invocation in &invocations {
            let outcome = self.invoke(invocation, attributes, own.as_ref(), object, invoked, round).await?;
            problems.extend(outcome.problems);
            if outcome.applied == Applied::Some {
                mutated = Mutated::ByOthers;
            }
        }
        if mutated != Mutated::No {
            invoked.require_all();
        }
        invoked.end(object);
        problems.retain(|problem| problem.policy.on_failure == OnFailure::Deny);
        match problems.is_empty() {
            true => Ok(mutated),
            false => Err(refusal(Request { attributes, object: Some(object) }, &problems)),
        }
    }

    /// Has one policy change the object through one binding.
    async fn invoke(
        &self,
        invocation: &Invocation<Mutations>,
        attributes: &Attributes<'_>,
        own: Option<&GroupVersionKind>,
        object: &mut Object,
        invoked: &mut Invoked<Key>,
        round: Round,
    ) -> Result<Outcome, Status> {
        let mut outcome = Outcome { applied: Applied::None, problems: Vec::new() };
        match self.holds(invocation, attributes, object).await? {
            Ok(true) => {}
            Ok(false) => return Ok(outcome),
            Err(problem) => {
                outcome.problems.push(problem);
                return Ok(outcome);
            }
        }
        let key = key(invocation);
        if round == Round::Again && !invoked.wants(&key) {
            return Ok(outcome);
        }
        let before = object.clone();
        for mutation in &invocation.policy.rules.mutations {
            match self.mutate_by(mutation, invocation, attributes, object).await? {
                Ok(changed) => {
                    *object = as_own(attributes, changed, own).await?;
                    outcome.applied = Applied::Some;
                }
                Err(why) => outcome.problems.push(problem(invocation, why)),
            }
        }
        if *object != before {
            invoked.require_all();
        }
        if invocation.policy.rules.reinvoked {
            invoked.note(key);
        }
        Ok(outcome)
    }

    /// Whether the match conditions hold. The inner error is why that cannot be told.
    async fn holds(
        &self,
        invocation: &Invocation<Mutations>,
        attributes: &Attributes<'_>,
        object: &Object,
    ) -> Result<Result<bool, Problem<Mutations>>, Status> {
        let Invocation { policy, seen, params, .. } = invocation;
        let request = Request { attributes, object: Some(object) };
        let scene = match Scenes::new(request, &self.0.namespaces).await?.of(seen).await {
            Ok(scene) => scene,
            Err(status) => {
                let message = format!("failed to configure policy: {}", status.message);
                return Ok(Err(Problem {
                    policy: policy.clone(),
                    binding: None,
                    message,
                    cause: Cause::Configuration,
                }));
            }
        };
        let evaluate = |decisions: &_| match policy.conditions_hold(&scene, params, decisions) {
            Ok(holds) => Ok(Ok(holds)),
            Err(Unknown::Asks(question)) => Err(question),
            Err(Unknown::Budget) => Ok(Err(OUT_OF_BUDGET.to_owned())),
            Err(Unknown::Failed(why)) => Ok(Err(why)),
        };
        let holds = decided(&*self.0.authorizer, &format!("policy {}", policy.name), evaluate).await?;
        Ok(holds.map_err(|why| problem(invocation, why)))
    }

    /// The object as the policy sees it, with what one mutation makes of it. The inner error is the mutation's failure.
    async fn mutate_by(
        &self,
        mutation: &Mutation,
        invocation: &Invocation<Mutations>,
        attributes: &Attributes<'_>,
        object: &Object,
    ) -> Result<Result<Object, String>, Status> {
        let Invocation { policy, seen, params, .. } = invocation;
        let request = Request { attributes, object: Some(object) };
        let scene = Scenes::new(request, &self.0.namespaces).await?.of(seen).await?;
        let target = match seen {
            Seen::Own => object.clone(),
            Seen::As(equivalent) => attributes.kinds.convert(object, equivalent).await?,
        };
        let kind = target.gvk().unwrap_or_default();
        if !attributes.kinds.describes(&kind) {
            return Err(Status::service_unavailable(format!(
                "Resource kind {kind} not found. There can be a delay between when CustomResourceDefinitions are created \
                 and when they are available."
            )));
        }
        let evaluate = |decisions: &_| policy.change(mutation, &scene, params, decisions);
        let change = decided(&*self.0.authorizer, &format!("policy {}", policy.name), evaluate).await?;
        let mut changed = match change.and_then(|change| change.apply(&target, attributes.kinds)) {
            Ok(changed) => changed,
            Err(why) => return Ok(Err(why)),
        };
        if changed.gvk().as_ref() != Some(&kind) {
            return Err(Status::internal(&format!("policy {} made another kind of the object", policy.name)));
        }
        attributes.kinds.read(&mut changed, UnknownFields::Refused)?;
        Ok(Ok(changed))
    }
}

fn problem(invocation: &Invocation<Mutations>, message: String) -> Problem<Mutations> {
    let (policy, binding) = (invocation.policy.clone(), Some(invocation.binding.clone()));
    Problem { policy, binding, message, cause: Cause::Evaluation }
}

fn key(invocation: &Invocation<Mutations>) -> Key {
    let of_params = |name: &str| invocation.params["metadata"][name].as_str().unwrap_or_default().to_owned();
    (invocation.policy.name.clone(), invocation.binding.name.clone(), of_params("namespace"), of_params("name"))
}

/// An object that a policy changed, as the request has it.
async fn as_own(
    attributes: &Attributes<'_>,
    changed: Object,
    own: Option<&GroupVersionKind>,
) -> Result<Object, Status> {
    match own {
        Some(own) if changed.gvk().as_ref() != Some(own) => {
            let own = Equivalent { resource: attributes.resource.clone(), kind: own.clone() };
            attributes.kinds.convert(&changed, &own).await
        }
        _ => Ok(changed),
    }
}

/// The answer to a request that policies cannot let pass: the first problem, and each as a cause.
fn refusal(request: Request<'_>, problems: &[Problem<Mutations>]) -> Status {
    let told = |problem: &Problem<Mutations>| {
        let (policy, message) = (&problem.policy.name, &problem.message);
        match &problem.binding {
            Some(binding) => format!("policy '{policy}' with binding '{}' denied request: {message}", binding.name),
            None => format!("policy {policy:?} denied request: {message}"),
        }
    };
    let mut status = forbidden(request, "admission request denied by policy");
    for (at, problem) in problems.iter().enumerate() {
        let message = told(problem);
        if at == 0 {
            status.message = message.clone();
            if problem.cause == Cause::Evaluation {
                status.reason = Reason::Invalid.as_str().to_owned();
            }
        }
        status = status.with_cause(StatusCause { message, ..StatusCause::default() });
    }
    status
}

#[async_trait]
impl Plugin for MutatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        "MutatingAdmissionPolicy"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation != Operation::Delete && self.0.concerns(attributes)
    }

    async fn mutate_first(
        &self,
        attributes: &Attributes<'_>,
        object: &mut Object,
    ) -> Result<(Mutated, Option<Remembered>), Status> {
        let mut invoked = Invoked::new();
        let mutated = self.run(attributes, object, &mut invoked, Round::First).await?;
        Ok((mutated, Some(Box::new(invoked))))
    }

    async fn mutate_again(
        &self,
        attributes: &Attributes<'_>,
        object: &mut Object,
        before: Option<Remembered>,
    ) -> Result<Mutated, Status> {
        let Some(mut invoked) = before.and_then(|before| before.downcast::<Invoked<Key>>().ok()) else {
            return Ok(Mutated::No);
        };
        invoked.begin_again(object);
        self.run(attributes, object, &mut invoked, Round::Again).await
    }
}
