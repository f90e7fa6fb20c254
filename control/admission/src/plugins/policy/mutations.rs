//! The changes that a MutatingAdmissionPolicy makes (`mutating/patch`).

use super::compiled::{Environments, Policy, Rules, expression, list, text};
use crate::scene::{Expression, OUT_OF_BUDGET, Scene, Unknown};
use sampan_api::Object;
use sampan_api::admission::Kinds;
use sampan_cel::limits::RUNTIME_COST_BUDGET;
use sampan_cel::{Decisions, Question, Type, Value, patch};
use sampan_schema::patch::{PatchError, json as apply_json};
use serde_json::{Map, Value as Json};

/// The rules of such a policy.
#[derive(Debug)]
pub(super) struct Mutations {
    pub(super) mutations: Vec<Mutation>,
    /// `reinvocationPolicy: IfNeeded`.
    pub(super) reinvoked: bool,
}

/// One change: how it is made, and what says what it is.
#[derive(Debug)]
pub(super) struct Mutation {
    sort: Sort,
    expression: Expression,
}

/// What an expression's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// Operations of a JSON patch.
    JsonPatch,
    /// A configuration that is merged as server-side apply does.
    ApplyConfiguration,
}

impl Sort {
    /// By its name, with the field that has its expression and the type of that.
    fn of(mutation: &Json) -> Option<(Self, &'static str, Type)> {
        match mutation["patchType"].as_str()? {
            "JSONPatch" => Some((Self::JsonPatch, "jsonPatch", patch::operations())),
            "ApplyConfiguration" => Some((Self::ApplyConfiguration, "applyConfiguration", patch::configuration())),
            _ => None,
        }
    }
}

impl Rules for Mutations {
    fn compile(spec: &Json, environments: &Environments) -> Self {
        let environment = environments.whole.clone().with_patches();
        let mutations = list(spec, "mutations").iter().filter_map(|one| {
            let (sort, field, wanted) = Sort::of(one)?;
            Some(Mutation { sort, expression: expression(text(&one[field], "expression"), &environment, &[wanted]) })
        });
        Self { mutations: mutations.collect(), reinvoked: spec["reinvocationPolicy"] == "IfNeeded" }
    }
}

/// What is to be done with an object.
#[derive(Debug)]
pub(super) enum Change {
    Operations(Json),
    Configuration(Map<String, Json>),
}

impl Policy<Mutations> {
    /// What one of the policy's mutations is to change in a request with these parameters. The inner error is the
    /// mutation's failure.
    ///
    /// # Errors
    /// A question that the authorizer is to answer first.
    pub(super) fn change(
        &self,
        mutation: &Mutation,
        scene: &Scene,
        params: &Json,
        decisions: &Decisions,
    ) -> Result<Result<Change, String>, Box<Question>> {
        if let Err(why) = &mutation.expression.program {
            return Ok(Err(why.clone()));
        }
        let inputs = self.inputs(scene, params, decisions);
        let mut budget = RUNTIME_COST_BUDGET;
        let made = match mutation.expression.run(&inputs, &mut budget) {
            Ok(value) => mutation.made(&value),
            Err(Unknown::Asks(question)) => return Err(question),
            Err(Unknown::Budget) => Err(OUT_OF_BUDGET.to_owned()),
            Err(Unknown::Failed(why)) => Err(why),
        };
        Ok(made)
    }
}

impl Mutation {
    fn made(&self, value: &Value<'_>) -> Result<Change, String> {
        match self.sort {
            Sort::JsonPatch => patch::to_operations(value).map(Change::Operations),
            Sort::ApplyConfiguration => patch::to_configuration(value).map(Change::Configuration),
        }
    }
}

impl Change {
    /// The object with the change, not yet read again. The error is in Kubernetes' words.
    pub(super) fn apply(self, object: &Object, kinds: &dyn Kinds) -> Result<Object, String> {
        match self {
            Self::Configuration(mut configuration) => {
                configuration.insert("apiVersion".to_owned(), object.api_version().into());
                configuration.insert("kind".to_owned(), object.kind().into());
                kinds.merge(object, &configuration).map_err(|why| format!("error applying patch: {why}"))
            }
            Self::Operations(operations) => match apply_json(object.to_value(), &operations) {
                Ok(patched) => Object::from_value(patched).ok_or_else(|| "JSON Patch: no object is left".to_owned()),
                // Nothing of a patch is applied whose test fails.
                Err(PatchError::TestFailed(_)) => Ok(object.clone()),
                Err(error) => Err(format!("JSON Patch: {error}")),
            },
        }
    }
}
