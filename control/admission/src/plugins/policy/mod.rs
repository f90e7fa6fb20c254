//! Policies of admission: expressions that are bound to requests. What both sorts share: matching, bindings, parameters,
//! compiling (k8s.io/apiserver/pkg/admission/plugin/policy/generic).

mod compiled;
mod mutating;
mod mutations;
mod params;
mod validating;
mod validations;

pub use mutating::MutatingAdmissionPolicy;
pub use validating::ValidatingAdmissionPolicy;

use crate::derived::Derived;
use crate::matching::{MatchResources, Namespaces, Request, Seen};
use compiled::{Policy, Rules};
use params::ParamSource;
use sampan_api::admission::Attributes;
use sampan_api::{Authorizer, Object, Status};
use sampan_client::{Client, Informer};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::Arc;

/// The policies of one sort, and what they need to be asked.
struct Policies<R> {
    policies: Derived<Policy<R>>,
    bindings: Derived<Binding>,
    namespaces: Namespaces,
    params: ParamSource,
    authorizer: Arc<dyn Authorizer>,
}

/// What plugins of policies are made of.
pub(crate) struct Parts {
    pub(crate) policies: Informer,
    pub(crate) bindings: Informer,
    pub(crate) namespaces: Informer,
    /// Reads parameters.
    pub(crate) client: Client,
    pub(crate) authorizer: Arc<dyn Authorizer>,
}

/// A binding of either sort.
#[derive(Debug)]
struct Binding {
    name: String,
    policy: String,
    matches: Option<MatchResources>,
    param_ref: Json,
    /// `validationActions`; a policy that mutates has none.
    actions: Vec<String>,
}

impl Binding {
    fn of(object: &Object) -> Self {
        let null = Json::Null;
        let spec = object.get(&["spec"]).unwrap_or(&null);
        let actions = spec["validationActions"].as_array().into_iter().flatten();
        Self {
            name: object.name().to_owned(),
            policy: spec["policyName"].as_str().unwrap_or_default().to_owned(),
            matches: spec["matchResources"].is_object().then(|| MatchResources::of(&spec["matchResources"])),
            param_ref: spec["paramRef"].clone(),
            actions: actions.filter_map(Json::as_str).map(str::to_owned).collect(),
        }
    }
}

/// A policy that is to decide through one binding with one of its parameters.
struct Invocation<R> {
    policy: Arc<Policy<R>>,
    binding: Arc<Binding>,
    seen: Seen,
    /// Null where it has none.
    params: Json,
}

/// A policy that cannot be asked, or failed when it was.
struct Problem<R> {
    policy: Arc<Policy<R>>,
    /// `None`: whatever the binding.
    binding: Option<Arc<Binding>>,
    message: String,
    cause: Cause,
}

/// What a problem is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The policy or the binding: it is not asked.
    Configuration,
    /// What it was asked.
    Evaluation,
}

/// What a request meets, in order.
enum Step<R> {
    Ask(Invocation<R>),
    Misconfigured(Problem<R>),
}

/// Resources about whose writes no policy is asked: the policies themselves, and calls without which the cluster cannot be
/// used (pkg/kubeapiserver/admission/exclusion).
const EXCLUDED: [(&str, &[&str]); 3] = [
    (
        "admissionregistration.k8s.io",
        &[
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
        ],
    ),
    ("authentication.k8s.io", &["selfsubjectreviews", "tokenreviews"]),
    (
        "authorization.k8s.io",
        &["localsubjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews"],
    ),
];

impl<R: Rules> Policies<R> {
    fn new(parts: Parts) -> Self {
        Self {
            policies: Derived::new(parts.policies, Policy::of),
            bindings: Derived::new(parts.bindings, Binding::of),
            namespaces: Namespaces::new(parts.namespaces, parts.client.clone()),
            params: ParamSource::new(parts.client),
            authorizer: parts.authorizer,
        }
    }

    /// Whether any may be asked.
    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        let resource = attributes.resource;
        let excluded = EXCLUDED
            .iter()
            .any(|(group, names)| *group == resource.group && names.contains(&resource.resource.as_str()));
        !excluded && !self.bindings.is_empty()
    }

    /// What a request meets: the policies that match it, by name, through each binding that does.
    async fn steps(&self, request: Request<'_>) -> Vec<Step<R>> {
        let mut bound: HashMap<String, Vec<Arc<Binding>>> = HashMap::new();
        for binding in self.bindings.all() {
            bound.entry(binding.policy.clone()).or_default().push(binding);
        }
        let mut steps = Vec::new();
        for policy in self.policies.all() {
            let Some(bindings) = bound.remove(&policy.name) else { continue };
            match self.seen(&policy, request).await {
                Ok(None) => {}
                Ok(Some(seen)) => {
                    for binding in bindings {
                        self.bind(&policy, &binding, &seen, request, &mut steps).await;
                    }
                }
                Err(why) => steps.push(Step::Misconfigured(Problem {
                    policy,
                    binding: None,
                    message: format!("failed to configure policy: {why}"),
                    cause: Cause::Configuration,
                })),
            }
        }
        steps
    }

    /// As what the policy's own rules see the request. The error is of its configuration.
    async fn seen(&self, policy: &Policy<R>, request: Request<'_>) -> Result<Option<Seen>, String> {
        let seen = policy.matches.matched(request, &self.namespaces).await.map_err(|status| status.message)?;
        if let (Some(_), Some(kind)) = (&seen, &policy.param_kind) {
            self.params.resource(kind).await?;
        }
        Ok(seen)
    }

    async fn bind(
        &self,
        policy: &Arc<Policy<R>>,
        binding: &Arc<Binding>,
        seen: &Seen,
        request: Request<'_>,
        steps: &mut Vec<Step<R>>,
    ) {
        let misconfigured = |why: String| {
            let message = format!("failed to configure binding: {why}");
            let (policy, binding) = (policy.clone(), Some(binding.clone()));
            Step::Misconfigured(Problem { policy, binding, message, cause: Cause::Configuration })
        };
        if let Some(matches) = &binding.matches {
            match matches.matched(request, &self.namespaces).await {
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(status) => return steps.push(misconfigured(status.message)),
            }
        }
        let namespace = request.attributes.namespace;
        match self.params.collect(policy.param_kind.as_ref(), &binding.param_ref, namespace).await {
            Ok(params) => steps.extend(params.into_iter().map(|params| {
                let (policy, binding, seen) = (policy.clone(), binding.clone(), seen.clone());
                Step::Ask(Invocation { policy, binding, seen, params })
            })),
            Err(why) => steps.push(misconfigured(why)),
        }
    }
}

/// The refusal of a request, in these words, with each of the causes.
fn forbidden(request: Request<'_>, message: &str) -> Status {
    let attributes = request.attributes;
    let own = request.object.map_or("", |object| match object.name() {
        "" => object.generate_name(),
        name => name,
    });
    let name = [attributes.name, own, "Unknown"].into_iter().find(|name| !name.is_empty()).unwrap_or_default();
    Status::forbidden(&attributes.group_resource(), name, message)
}
