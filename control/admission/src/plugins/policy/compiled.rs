//! A policy in the form in which it decides: its expressions compiled, its rules read.

use crate::matching::MatchResources;
use crate::scene::{Conditions, Expression, Scene, Unknown};
use sampan_api::{GroupVersionKind, Object};
use sampan_cel::admission::{Authorizer, Params, compile, declare_variable, declare_variables, environment, variable};
use sampan_cel::limits::MATCH_CONDITIONS_COST_BUDGET;
use sampan_cel::{Decisions, Environment, Inputs, Program, Type};
use serde_json::Value as Json;
use std::sync::Arc;

/// What becomes of a request about which a policy cannot decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnFailure {
    Deny,
    Admit,
}

/// What a sort of policy has beyond what all have.
pub(super) trait Rules: Send + Sync + Sized + 'static {
    /// Of a `spec`.
    fn compile(spec: &Json, environments: &Environments) -> Self;
}

/// What a policy's expressions may use: the variables that it declares among others.
pub(super) struct Environments {
    /// All of it.
    pub(super) whole: Environment,
    /// Of messages, which cannot ask the authorizer.
    pub(super) messages: Environment,
}

/// A compiled policy.
#[derive(Debug)]
pub(super) struct Policy<R> {
    pub(super) name: String,
    pub(super) on_failure: OnFailure,
    pub(super) matches: MatchResources,
    /// The kind of the parameters.
    pub(super) param_kind: Option<GroupVersionKind>,
    conditions: Conditions,
    variables: Vec<(Arc<str>, Program)>,
    pub(super) rules: R,
}

pub(super) fn text(value: &Json, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

pub(super) fn expression(text: String, environment: &Environment, wanted: &[Type]) -> Expression {
    let program = compile(&text, environment, wanted);
    Expression { text, program }
}

/// The elements of a list of an object.
pub(super) fn list<'v>(value: &'v Json, name: &str) -> &'v [Json] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

impl<R: Rules> Policy<R> {
    /// The policy of an object.
    pub(super) fn of(object: &Object) -> Self {
        let empty = Json::Null;
        let spec = object.get(&["spec"]).unwrap_or(&empty);
        let kind = &spec["paramKind"];
        let param_kind =
            GroupVersionKind::parse(&text(kind, "apiVersion"), &text(kind, "kind")).filter(|_| kind.is_object());
        let params = if kind.is_object() { Params::Declared } else { Params::None };
        let conditions = environment(params, Authorizer::Declared);
        let conditions = list(spec, "matchConditions")
            .iter()
            .map(|one| expression(text(one, "expression"), &conditions, &[Type::Bool]))
            .collect();
        let mut environments = Environments {
            whole: environment(params, Authorizer::Declared),
            messages: environment(params, Authorizer::None),
        };
        declare_variables(&mut environments.whole);
        declare_variables(&mut environments.messages);
        let mut variables = Vec::new();
        for one in list(spec, "variables") {
            let name = text(one, "name");
            // One that does not compile is not declared: what uses it does not compile either, and says so.
            if let Ok(program) = compile(&text(one, "expression"), &environments.whole, &[]) {
                declare_variable(&mut environments.whole, &name, program.ty());
                declare_variable(&mut environments.messages, &name, program.ty());
                variables.push((variable(&name), program));
            }
        }
        Self {
            name: object.name().to_owned(),
            on_failure: if spec["failurePolicy"] == "Ignore" { OnFailure::Admit } else { OnFailure::Deny },
            matches: MatchResources::of(&spec["matchConstraints"]),
            param_kind,
            conditions: Conditions(conditions),
            variables,
            rules: R::compile(spec, &environments),
        }
    }

    /// Whether its match conditions hold.
    ///
    /// # Errors
    /// As [`Conditions::hold`].
    pub(super) fn conditions_hold(&self, scene: &Scene, params: &Json, decisions: &Decisions) -> Result<bool, Unknown> {
        self.conditions.hold(&scene.condition_inputs(params, decisions), MATCH_CONDITIONS_COST_BUDGET)
    }

    /// Inputs whose variables, those of the policy among them, are evaluated when they are first asked for.
    pub(super) fn inputs<'a>(&'a self, scene: &'a Scene, params: &'a Json, decisions: &'a Decisions) -> Inputs<'a> {
        let lazy = self.variables.iter().map(|(name, program)| (&**name, program.compiled())).collect();
        scene.inputs(params, decisions).with_lazy(lazy)
    }
}
