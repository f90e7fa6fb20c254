//! A webhook of a configuration, read and its conditions compiled.

use crate::matching::{Namespaces, Request, Rules, Seen, Selectors};
use crate::scene::{Conditions, Expression, OUT_OF_BUDGET, Scene, Unknown};
use sampan_api::{Object, Status};
use sampan_cel::admission::{Authorizer, Params, compile, environment};
use sampan_cel::limits::MATCH_CONDITIONS_COST_BUDGET;
use sampan_cel::{Decisions, Question, Type};
use serde_json::Value as Json;
use std::time::Duration;

/// What becomes of a request whose webhook does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnFailure {
    Refuse,
    GoOn,
}

/// The version of AdmissionReview that a webhook is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReviewVersion {
    V1,
    V1Beta1,
}

impl ReviewVersion {
    /// As objects have it.
    pub(super) fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "admission.k8s.io/v1",
            Self::V1Beta1 => "admission.k8s.io/v1beta1",
        }
    }
}

/// A webhook.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) name: String,
    pub(super) client_config: Json,
    pub(super) on_failure: OnFailure,
    pub(super) timeout: Duration,
    /// `None`: it knows no version that is spoken here.
    pub(super) version: Option<ReviewVersion>,
    /// Whether it may be called for a dry run.
    pub(super) dry_run: bool,
    /// Called again when webhooks after it change the object.
    pub(super) reinvoked: bool,
    rules: Rules,
    selectors: Selectors,
    conditions: Conditions,
}

const SECONDS_DEFAULT: u64 = 10;

impl Hook {
    /// The webhooks of a configuration, in its order.
    pub(super) fn all(configuration: &Object) -> Vec<Self> {
        let list = configuration.get(&["webhooks"]).and_then(Json::as_array);
        list.into_iter().flatten().map(Self::of).collect()
    }

    fn of(value: &Json) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default();
        let list = |name: &str| value[name].as_array().map_or(&[][..], Vec::as_slice);
        let environment = environment(Params::None, Authorizer::Declared);
        let conditions = list("matchConditions").iter().map(|one| {
            let text = one["expression"].as_str().unwrap_or_default().to_owned();
            let program = compile(&text, &environment, &[Type::Bool]);
            Expression { text, program }
        });
        let version = list("admissionReviewVersions").iter().find_map(|version| match version.as_str()? {
            "v1" => Some(ReviewVersion::V1),
            "v1beta1" => Some(ReviewVersion::V1Beta1),
            _ => None,
        });
        Self {
            name: text("name").to_owned(),
            client_config: value["clientConfig"].clone(),
            on_failure: if text("failurePolicy") == "Ignore" { OnFailure::GoOn } else { OnFailure::Refuse },
            timeout: Duration::from_secs(value["timeoutSeconds"].as_u64().unwrap_or(SECONDS_DEFAULT)),
            version,
            dry_run: matches!(text("sideEffects"), "None" | "NoneOnDryRun"),
            reinvoked: text("reinvocationPolicy") == "IfNeeded",
            rules: Rules::of(value, "rules"),
            selectors: Selectors::of(value),
            conditions: Conditions(conditions.collect()),
        }
    }

    /// As what rules and selectors say that the request is its business; `None`: it is not.
    pub(super) async fn matched(&self, request: Request<'_>, namespaces: &Namespaces) -> Result<Option<Seen>, Status> {
        let Some(seen) = self.rules.matched(request) else { return Ok(None) };
        Ok(self.selectors.matches(request, namespaces).await?.then_some(seen))
    }

    /// Whether there are conditions to be asked.
    pub(super) fn has_conditions(&self) -> bool {
        !self.conditions.0.is_empty()
    }

    /// Whether its conditions hold. The inner error is the question that the authorizer is to answer first.
    pub(super) fn conditions_hold(
        &self,
        scene: &Scene,
        decisions: &Decisions,
    ) -> Result<Result<bool, String>, Box<Question>> {
        let inputs = scene.condition_inputs(&Json::Null, decisions);
        match self.conditions.hold(&inputs, MATCH_CONDITIONS_COST_BUDGET) {
            Ok(holds) => Ok(Ok(holds)),
            Err(Unknown::Asks(question)) => Err(question),
            Err(Unknown::Budget) => Ok(Err(OUT_OF_BUDGET.to_owned())),
            Err(Unknown::Failed(why)) => Ok(Err(why)),
        }
    }
}
