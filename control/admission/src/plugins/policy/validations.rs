//! What a ValidatingAdmissionPolicy says of a request (`validating/validator.go`).

use super::compiled::{Environments, OnFailure, Policy, Rules, expression, list, text};
use crate::scene::{Expression, OUT_OF_BUDGET, Scene, Unknown};
use sampan_cel::limits::{MESSAGE_BYTES_MAX, RUNTIME_COST_BUDGET};
use sampan_cel::{Decisions, Question, Type, Value};
use serde_json::Value as Json;

/// The rules of such a policy.
#[derive(Debug)]
pub(super) struct Validations {
    validations: Vec<Validation>,
    annotations: Vec<(String, Expression)>,
}

#[derive(Debug)]
struct Validation {
    expression: Expression,
    message: String,
    message_expression: Option<Expression>,
    reason: String,
}

/// Why a request is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Denial {
    /// The place of the validation in the policy.
    pub(super) at: usize,
    pub(super) message: String,
    /// Empty: `Invalid`.
    pub(super) reason: String,
}

/// What a policy says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) denials: Vec<Denial>,
    /// Keys and values of audit annotations.
    pub(super) annotations: Vec<(String, String)>,
    /// Audit annotations that failed: each denies, whatever the binding's actions are.
    pub(super) failed_annotations: Vec<String>,
}

impl Verdict {
    fn one(denial: Option<String>) -> Self {
        let denials = denial.map(|message| Denial { at: 0, message, reason: String::new() });
        Self { denials: denials.into_iter().collect(), ..Self::default() }
    }
}

impl Rules for Validations {
    fn compile(spec: &Json, environments: &Environments) -> Self {
        let (whole, messages) = (&environments.whole, &environments.messages);
        let validations = list(spec, "validations").iter().map(|one| Validation {
            expression: expression(text(one, "expression"), whole, &[Type::Bool]),
            message: text(one, "message"),
            message_expression: Some(text(one, "messageExpression"))
                .filter(|text| !text.is_empty())
                .map(|text| expression(text, messages, &[Type::String])),
            reason: text(one, "reason"),
        });
        let annotations = list(spec, "auditAnnotations").iter().map(|one| {
            let value = expression(text(one, "valueExpression"), whole, &[Type::String, Type::Null]);
            (text(one, "key"), value)
        });
        Self { validations: validations.collect(), annotations: annotations.collect() }
    }
}

/// The value of each expression in turn, as far as the budget goes. An expression that fails has its error in its place.
///
/// # Errors
/// The inner one: the budget is spent. The outer one: a question that the authorizer is to answer first.
type Outcomes<'a> = Result<Result<Vec<Option<Result<Value<'a>, String>>>, Spent>, Box<Question>>;

/// The budget is spent.
#[derive(Clone, Copy, Debug)]
struct Spent;

fn outcomes<'a>(
    expressions: impl Iterator<Item = Option<&'a Expression>>,
    inputs: &'a sampan_cel::Inputs<'a>,
    budget: &mut u64,
) -> Outcomes<'a> {
    let mut all = Vec::new();
    for expression in expressions {
        all.push(match expression.map(|expression| expression.run(inputs, budget)) {
            None => None,
            Some(Ok(value)) => Some(Ok(value)),
            Some(Err(Unknown::Failed(why))) => Some(Err(why)),
            Some(Err(Unknown::Asks(question))) => return Err(question),
            Some(Err(Unknown::Budget)) => return Ok(Err(Spent)),
        });
    }
    Ok(Ok(all))
}

impl Policy<Validations> {
    /// What the policy says of a request with these parameters.
    ///
    /// # Errors
    /// A question that the authorizer is to answer first.
    pub(super) fn decide(&self, scene: &Scene, params: &Json, decisions: &Decisions) -> Result<Verdict, Box<Question>> {
        match self.conditions_hold(scene, params, decisions) {
            Ok(true) => {}
            Ok(false) => return Ok(Verdict::default()),
            Err(Unknown::Asks(question)) => return Err(question),
            Err(Unknown::Budget) => return Ok(Verdict::one(self.failure(OUT_OF_BUDGET.to_owned()))),
            Err(Unknown::Failed(why)) => return Ok(Verdict::one(self.failure(why))),
        }
        let mut budget = RUNTIME_COST_BUDGET;
        let inputs = self.inputs(scene, params, decisions);
        let all = self.rules.validations.iter();
        let Ok(found) = outcomes(all.clone().map(|one| Some(&one.expression)), &inputs, &mut budget)? else {
            return Ok(Verdict::one(self.failure(OUT_OF_BUDGET.to_owned())));
        };
        // Messages are made of all of them, also of those that hold, and out of what is left of the budget.
        let of_messages = self.inputs(scene, params, decisions);
        let messages = outcomes(all.clone().map(|one| one.message_expression.as_ref()), &of_messages, &mut budget)?;
        let mut verdict = Verdict::default();
        for (at, (validation, found)) in all.zip(found).enumerate() {
            let own = messages.as_ref().map(|all| all.get(at).and_then(Option::as_ref));
            let denied = match (found, own) {
                (Some(Err(why)), _) => self.failure(why).map(|message| (message, String::new())),
                (_, Err(_)) => self
                    .failure(format!("failed messageExpression: {OUT_OF_BUDGET}"))
                    .map(|message| (message, String::new())),
                (Some(Ok(Value::Bool(true))), _) => None,
                (_, Ok(own)) => Some((validation.message(own), validation.reason.clone())),
            };
            verdict.denials.extend(denied.map(|(message, reason)| Denial { at, message, reason }));
        }
        self.annotate(scene, params, decisions, verdict)
    }

    /// Adds the audit annotations, which have a budget of their own, and no authorizer.
    fn annotate(
        &self,
        scene: &Scene,
        params: &Json,
        decisions: &Decisions,
        mut verdict: Verdict,
    ) -> Result<Verdict, Box<Question>> {
        let mut budget = RUNTIME_COST_BUDGET;
        let inputs = self.inputs(scene, params, decisions).without(&["authorizer", "authorizer.requestResource"]);
        let all = self.rules.annotations.iter();
        let Ok(found) = outcomes(all.clone().map(|(_, value)| Some(value)), &inputs, &mut budget)? else {
            return Ok(Verdict::one(self.failure(OUT_OF_BUDGET.to_owned())));
        };
        for ((key, _), found) in all.zip(found) {
            match found {
                Some(Ok(Value::String(text))) if !text.trim().is_empty() => {
                    verdict.annotations.push((key.clone(), text.trim().to_owned()));
                }
                Some(Err(why)) => verdict.failed_annotations.extend(self.failure(why)),
                // Null, or nothing to say.
                _ => {}
            }
        }
        Ok(verdict)
    }

    /// What a failure means for the request.
    fn failure(&self, message: String) -> Option<String> {
        (self.on_failure == OnFailure::Deny).then_some(message)
    }
}

impl Validation {
    /// The denial in the words of its own expression, of its message, or of what does not hold.
    fn message(&self, own: Option<&Result<Value<'_>, String>>) -> String {
        let made = match own {
            Some(Ok(Value::String(text))) => text.trim(),
            _ => "",
        };
        if !made.is_empty() && made.len() <= MESSAGE_BYTES_MAX && !made.contains('\n') {
            made.to_owned()
        } else if self.message.is_empty() {
            format!("failed expression: {}", self.expression.text.trim())
        } else {
            self.message.trim().to_owned()
        }
    }
}
