//! ValidatingAdmissionPolicy: expressions decide what may be written.

mod params;
mod policy;

use crate::chain::Plugin;
use crate::limits::POLICY_QUESTIONS_MAX;
use crate::matching::{MatchResources, Namespaces, Request};
use crate::scene::Scene;
use async_trait::async_trait;
use params::ParamSource;
use parking_lot::Mutex;
use policy::{Denial, OnFailure, Policy};
use sampan_api::admission::Attributes;
use sampan_api::status::{Reason, StatusCause};
use sampan_api::{Authorizer, Object, Status};
use sampan_cel::Decisions;
use sampan_client::{Client, Informer};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::Arc;

/// Asks the policies that are bound (k8s.io/apiserver/pkg/admission/plugin/policy/validating).
pub struct ValidatingAdmissionPolicy {
    policies: Informer,
    bindings: Informer,
    namespaces: Namespaces,
    params: ParamSource,
    authorizer: Arc<dyn Authorizer>,
    /// Compiled policies by their names, each of one revision.
    compiled: Mutex<HashMap<String, (String, Arc<Policy>)>>,
}

/// A denial, with those that it is of.
struct Denied {
    policy: Arc<Policy>,
    binding: Option<String>,
    denial: Denial,
}

impl ValidatingAdmissionPolicy {
    /// `policies`, `bindings` and `namespaces` are copies of the cluster's; `client` reads parameters.
    pub fn new(
        policies: Informer,
        bindings: Informer,
        namespaces: Informer,
        client: Client,
        authorizer: Arc<dyn Authorizer>,
    ) -> Self {
        Self {
            policies,
            bindings,
            namespaces: Namespaces::new(namespaces, client.clone()),
            params: ParamSource::new(client),
            authorizer,
            compiled: Mutex::default(),
        }
    }

    /// The policies that are bound, each with its bindings.
    fn bound(&self) -> Vec<(Arc<Policy>, Vec<Object>)> {
        let mut bindings: HashMap<String, Vec<Object>> = HashMap::new();
        for record in self.bindings.store().list() {
            let binding = record.object();
            let policy = binding.get_str(&["spec", "policyName"]).unwrap_or_default().to_owned();
            bindings.entry(policy).or_default().push(binding);
        }
        let mut bound = Vec::new();
        let mut known = self.compiled.lock();
        let policies = self.policies.store().list();
        for record in &policies {
            let object = record.object();
            let Some(bindings) = bindings.remove(object.name()) else { continue };
            let revision = format!("{} {}", object.uid(), object.resource_version());
            let policy = match known.get(object.name()) {
                Some((of, policy)) if *of == revision => policy.clone(),
                _ => Arc::new(Policy::of(&object)),
            };
            known.insert(object.name().to_owned(), (revision, policy.clone()));
            bound.push((policy, bindings));
        }
        if known.len() > policies.len() {
            known.retain(|name, _| policies.iter().any(|record| record.object().name() == name));
        }
        bound.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        bound
    }

    /// What a policy says through one binding.
    async fn ask(
        &self,
        policy: &Arc<Policy>,
        binding: &Object,
        request: Request<'_>,
        scene: &Scene,
        denied: &mut Vec<Denied>,
    ) -> Result<(), Status> {
        let misconfigured = |why: String, denied: &mut Vec<Denied>| {
            if policy.on_failure == OnFailure::Deny {
                let message = format!("failed to configure binding: {why}");
                let denial = Denial { message, reason: String::new(), always: true };
                denied.push(Denied { policy: policy.clone(), binding: Some(binding.name().to_owned()), denial });
            }
        };
        let null = Json::Null;
        let matches = binding.get(&["spec", "matchResources"]).unwrap_or(&null);
        if matches.is_object() {
            match MatchResources::of(matches).matches(request, &self.namespaces).await {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(status) => {
                    misconfigured(status.message, denied);
                    return Ok(());
                }
            }
        }
        let reference = binding.get(&["spec", "paramRef"]).unwrap_or(&null);
        let params = self.params.collect(policy.param_kind.as_ref(), reference, request.attributes.namespace).await;
        let params = match params {
            Ok(params) => params,
            Err(why) => {
                misconfigured(why, denied);
                return Ok(());
            }
        };
        let actions = binding.get(&["spec", "validationActions"]).and_then(Json::as_array);
        let acts = |action: &str| actions.is_some_and(|all| all.iter().any(|one| one == action));
        for params in &params {
            for denial in self.decide(policy, scene, params).await? {
                if acts("Warn") && !denial.always {
                    request.attributes.warnings.add(format!(
                        "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                        policy.name,
                        binding.name(),
                        denial.message
                    ));
                }
                if acts("Deny") || denial.always {
                    denied.push(Denied { policy: policy.clone(), binding: Some(binding.name().to_owned()), denial });
                }
            }
        }
        Ok(())
    }

    /// Evaluates, and asks the authorizer what the expressions ask, until nothing is open.
    async fn decide(&self, policy: &Policy, scene: &Scene, params: &Json) -> Result<Vec<Denial>, Status> {
        let mut decisions = Decisions::default();
        for _ in 0..POLICY_QUESTIONS_MAX {
            let question = match policy.decide(scene, params, &decisions) {
                Ok(denials) => return Ok(denials),
                Err(question) => *question,
            };
            let decision = self.authorizer.authorize(&question.0).await;
            decisions.add(question, decision);
        }
        Err(Status::internal(&format!(
            "policy {} asks the authorizer more than {POLICY_QUESTIONS_MAX} questions",
            policy.name
        )))
    }
}

#[async_trait]
impl Plugin for ValidatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionPolicy"
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        if attributes.resource.group == "admissionregistration.k8s.io" || self.bindings.store().is_empty() {
            return Ok(());
        }
        let request = Request { attributes, object };
        let mut denied = Vec::new();
        let mut scene: Option<Scene> = None;
        for (policy, bindings) in self.bound() {
            match policy.matches.matches(request, &self.namespaces).await {
                Ok(true) => {}
                Ok(false) => continue,
                Err(status) if policy.on_failure == OnFailure::Deny => {
                    let message = format!("failed to configure policy: {}", status.message);
                    let denial = Denial { message, reason: String::new(), always: true };
                    denied.push(Denied { policy, binding: None, denial });
                    continue;
                }
                Err(_) => continue,
            }
            if scene.is_none() {
                let namespace = match attributes.namespace {
                    "" => None,
                    name => self.namespaces.get(name).await?,
                };
                scene = Some(Scene::new(request, namespace.as_ref()));
            }
            let Some(scene) = &scene else { continue };
            for binding in &bindings {
                self.ask(&policy, binding, request, scene, &mut denied).await?;
            }
        }
        match denied.first() {
            Some(first) => Err(refusal(request, first)),
            None => Ok(()),
        }
    }
}

/// The answer to a request that is denied.
fn refusal(request: Request<'_>, denied: &Denied) -> Status {
    let attributes = request.attributes;
    let (policy, message) = (&denied.policy.name, &denied.denial.message);
    let message = match &denied.binding {
        Some(binding) => {
            format!("ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {message}")
        }
        None => format!("ValidatingAdmissionPolicy '{policy}' denied request: {message}"),
    };
    let own = request.object.map_or(
        "",
        |object| {
            if object.name().is_empty() { object.generate_name() } else { object.name() }
        },
    );
    let name = [attributes.name, own, "Unknown"].into_iter().find(|name| !name.is_empty()).unwrap_or_default();
    let mut status = Status::forbidden(&attributes.group_resource(), name, &message);
    let reason = match denied.denial.reason.as_str() {
        "Forbidden" => Reason::Forbidden,
        "Unauthorized" => Reason::Unauthorized,
        "RequestEntityTooLarge" => Reason::RequestEntityTooLarge,
        _ => Reason::Invalid,
    };
    status.reason = reason.as_str().to_owned();
    status.code = reason.code();
    status.with_cause(StatusCause { message, ..StatusCause::default() })
}
