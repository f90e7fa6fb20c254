//! A policy in the form in which it decides: its expressions compiled, its rules read.

use crate::matching::MatchResources;
use crate::scene::{Conditions, Expression, OUT_OF_BUDGET, Scene, Unknown};
use sampan_api::Object;
use sampan_cel::admission::{Authorizer, Params, compile, declare_variables, environment, variable};
use sampan_cel::limits::{MATCH_CONDITIONS_COST_BUDGET, MESSAGE_BYTES_MAX, RUNTIME_COST_BUDGET};
use sampan_cel::{Decisions, Environment, Inputs, Program, Question, Type, Value};
use serde_json::Value as Json;
use std::sync::Arc;

/// What becomes of a request about which a policy cannot decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnFailure {
    Deny,
    Admit,
}

/// A compiled policy.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) on_failure: OnFailure,
    pub(super) matches: MatchResources,
    /// `apiVersion` and kind of the parameters.
    pub(super) param_kind: Option<(String, String)>,
    conditions: Conditions,
    variables: Vec<(Arc<str>, Program)>,
    validations: Vec<Validation>,
    annotations: Vec<Expression>,
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
    pub(super) message: String,
    /// Empty: `Invalid`.
    pub(super) reason: String,
    /// An audit annotation failed: denied whatever the binding's actions are.
    pub(super) always: bool,
}

impl Denial {
    fn failed(message: String) -> Self {
        Self { message, reason: String::new(), always: false }
    }
}

fn text(value: &Json, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

fn expression(text: String, environment: &Environment, wanted: &[Type]) -> Expression {
    let program = compile(&text, environment, wanted);
    Expression { text, program }
}

impl Policy {
    /// The policy of an object.
    pub(super) fn of(object: &Object) -> Self {
        let empty = Json::Null;
        let spec = object.get(&["spec"]).unwrap_or(&empty);
        let list = |name: &str| spec[name].as_array().map_or(&[][..], Vec::as_slice);
        let param_kind = spec["paramKind"].is_object().then(|| {
            let kind = &spec["paramKind"];
            (text(kind, "apiVersion"), text(kind, "kind"))
        });
        let params = if param_kind.is_some() { Params::Declared } else { Params::None };
        let conditions = environment(params, Authorizer::Declared);
        let conditions =
            list("matchConditions").iter().map(|one| expression(text(one, "expression"), &conditions, &[Type::Bool]));
        let conditions = Conditions(conditions.collect());
        let (mut whole, mut messages) =
            (environment(params, Authorizer::Declared), environment(params, Authorizer::None));
        declare_variables(&mut whole);
        declare_variables(&mut messages);
        let mut variables = Vec::new();
        for one in list("variables") {
            let name = variable(&text(one, "name"));
            // One that does not compile is not declared: what uses it does not compile either, and says so.
            if let Ok(program) = compile(&text(one, "expression"), &whole, &[]) {
                whole.insert(name.clone(), program.ty().clone());
                messages.insert(name.clone(), program.ty().clone());
                variables.push((name, program));
            }
        }
        let validations = list("validations").iter().map(|one| Validation {
            expression: expression(text(one, "expression"), &whole, &[Type::Bool]),
            message: text(one, "message"),
            message_expression: Some(text(one, "messageExpression"))
                .filter(|text| !text.is_empty())
                .map(|text| expression(text, &messages, &[Type::String])),
            reason: text(one, "reason"),
        });
        let validations = validations.collect();
        let annotations = list("auditAnnotations")
            .iter()
            .map(|one| expression(text(one, "valueExpression"), &whole, &[Type::String, Type::Null]))
            .collect();
        Self {
            name: object.name().to_owned(),
            on_failure: if spec["failurePolicy"] == "Ignore" { OnFailure::Admit } else { OnFailure::Deny },
            matches: MatchResources::of(&spec["matchConstraints"]),
            param_kind,
            conditions,
            variables,
            validations,
            annotations,
        }
    }

    /// What the policy says of a request with these parameters.
    ///
    /// # Errors
    /// A question that the authorizer is to answer first.
    pub(super) fn decide(
        &self,
        scene: &Scene,
        params: &Json,
        decisions: &Decisions,
    ) -> Result<Vec<Denial>, Box<Question>> {
        let lazy = self.variables.iter().map(|(name, program)| (&**name, program.compiled())).collect();
        let inputs = scene.inputs(params, decisions).with_lazy(lazy);
        match self.conditions.hold(&inputs, MATCH_CONDITIONS_COST_BUDGET) {
            Ok(true) => {}
            Ok(false) => return Ok(Vec::new()),
            Err(unknown) => return self.failure(unknown).map(|denial| denial.into_iter().collect()),
        }
        let mut budget = RUNTIME_COST_BUDGET;
        let mut denials = Vec::new();
        for validation in &self.validations {
            match validation.expression.run(&inputs, &mut budget) {
                Ok(Value::Bool(true)) => {}
                Ok(_) => denials.push(validation.denial(&inputs, &mut budget)?),
                Err(unknown) => {
                    let spent = matches!(unknown, Unknown::Budget);
                    let denial = self.failure(unknown)?;
                    if spent {
                        return Ok(denial.into_iter().collect());
                    }
                    denials.extend(denial);
                }
            }
        }
        let mut budget = RUNTIME_COST_BUDGET;
        for annotation in &self.annotations {
            if let Err(unknown) = annotation.run(&inputs, &mut budget) {
                denials.extend(self.failure(unknown)?.map(|denial| Denial { always: true, ..denial }));
            }
        }
        Ok(denials)
    }

    /// What a failure means for the request.
    fn failure(&self, unknown: Unknown) -> Result<Option<Denial>, Box<Question>> {
        let message = match unknown {
            Unknown::Asks(question) => return Err(question),
            Unknown::Budget => OUT_OF_BUDGET.to_owned(),
            Unknown::Failed(why) => why,
        };
        Ok((self.on_failure == OnFailure::Deny).then(|| Denial::failed(message)))
    }
}

impl Validation {
    /// The denial in the words of its own expression, of its message, or of what does not hold.
    fn denial<'a>(&'a self, inputs: &'a Inputs<'a>, budget: &mut u64) -> Result<Denial, Box<Question>> {
        let made = match self.message_expression.as_ref().map(|message| message.run(inputs, budget)) {
            Some(Ok(Value::String(text))) => text.trim().to_owned(),
            Some(Err(Unknown::Asks(question))) => return Err(question),
            Some(Err(Unknown::Budget)) => {
                return Ok(Denial::failed(format!("failed messageExpression: {OUT_OF_BUDGET}")));
            }
            _ => String::new(),
        };
        let fine = !made.is_empty() && made.len() <= MESSAGE_BYTES_MAX && !made.contains('\n');
        let message = if fine {
            made
        } else if self.message.is_empty() {
            format!("failed expression: {}", self.expression.text.trim())
        } else {
            self.message.trim().to_owned()
        };
        Ok(Denial { message, reason: self.reason.clone(), always: false })
    }
}
