//! ValidatingAdmissionPolicy: expressions decide what may be written (`validating/dispatcher.go`).

use super::compiled::{OnFailure, Policy};
use super::validations::{Denial, Validations, Verdict};
use super::{Binding, Cause, Parts, Policies, Problem, Step, forbidden};
use crate::chain::Plugin;
use crate::matching::Request;
use crate::scene::{Scenes, decided};
use async_trait::async_trait;
use sampan_api::admission::Attributes;
use sampan_api::status::{Reason, StatusCause};
use sampan_api::{Object, Status};
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Asks the policies that are bound.
pub struct ValidatingAdmissionPolicy(Policies<Validations>);

/// A denial, with those that it is of.
struct Denied {
    policy: Arc<Policy<Validations>>,
    binding: Option<Arc<Binding>>,
    message: String,
    /// Empty: `Invalid`.
    reason: String,
}

impl ValidatingAdmissionPolicy {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Policies::new(parts))
    }
}

/// The key of the audit annotation about what a policy refuses.
const FAILURE: &str = "validation.policy.admission.k8s.io/validation_failure";
/// Bytes of a value of an audit annotation (`maxAuditAnnotationValueLength`).
const ANNOTATION_BYTES_MAX: usize = 10 * 1024;

/// Audit annotations of one policy: by key the values that its bindings gave, each once.
type Noted = BTreeMap<String, Values>;

/// Values in the order in which they were given.
#[derive(Default)]
struct Values {
    all: Vec<String>,
    known: HashSet<String>,
}

fn annotate_failure(policy: &Policy<Validations>, binding: &Binding, denial: &Denial, attributes: &Attributes<'_>) {
    let Some(annotations) = attributes.annotations else { return };
    let failure = json!([{
        "message": denial.message,
        "policy": policy.name,
        "binding": binding.name,
        "expressionIndex": denial.at,
        "validationActions": binding.actions,
    }]);
    annotations.add(FAILURE, failure.to_string());
}

/// Adds the annotations that a verdict has.
fn note(verdict: &mut Verdict, noted: &mut Noted) {
    for (key, mut value) in std::mem::take(&mut verdict.annotations) {
        value.truncate(value.floor_char_boundary(ANNOTATION_BYTES_MAX));
        let values = noted.entry(key).or_default();
        if values.known.insert(value.clone()) {
            values.all.push(value);
        }
    }
}

/// Leaves a policy's annotations for the audit.
fn publish(policy: &str, noted: Noted, attributes: &Attributes<'_>) {
    let Some(annotations) = attributes.annotations else { return };
    for (key, values) in noted {
        annotations.add(format!("{policy}/{key}"), values.all.join(", "));
    }
}

/// Does with a verdict what the binding says.
fn act(
    policy: &Arc<Policy<Validations>>,
    binding: &Arc<Binding>,
    verdict: Verdict,
    attributes: &Attributes<'_>,
    denied: &mut Vec<Denied>,
) {
    let denial = |message, reason| Denied { policy: policy.clone(), binding: Some(binding.clone()), message, reason };
    for one in verdict.denials {
        for action in &binding.actions {
            match action.as_str() {
                "Deny" => denied.push(denial(one.message.clone(), one.reason.clone())),
                "Audit" => annotate_failure(policy, binding, &one, attributes),
                "Warn" => attributes.warnings.add(format!(
                    "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                    policy.name, binding.name, one.message
                )),
                _ => {}
            }
        }
    }
    denied.extend(verdict.failed_annotations.into_iter().map(|message| denial(message, String::new())));
}

#[async_trait]
impl Plugin for ValidatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionPolicy"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        self.0.concerns(attributes)
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        let request = Request { attributes, object };
        let mut denied = Vec::new();
        let misconfigured = |problem: Problem<Validations>, denied: &mut Vec<Denied>| {
            if problem.policy.on_failure == OnFailure::Deny {
                let Problem { policy, binding, message, .. } = problem;
                denied.push(Denied { policy, binding, message, reason: String::new() });
            }
        };
        let mut scenes: Option<Scenes<'_>> = None;
        let mut noted: BTreeMap<String, Noted> = BTreeMap::new();
        for step in self.0.steps(request).await {
            let invocation = match step {
                Step::Ask(invocation) => invocation,
                Step::Misconfigured(problem) => {
                    misconfigured(problem, &mut denied);
                    continue;
                }
            };
            let scenes = match &mut scenes {
                Some(scenes) => scenes,
                none => none.insert(Scenes::new(request, &self.0.namespaces).await?),
            };
            let (policy, binding) = (&invocation.policy, &invocation.binding);
            let scene = match scenes.of(&invocation.seen).await {
                Ok(scene) => scene,
                Err(status) => {
                    let why =
                        format!("failed to configure binding: failed to convert object version: {}", status.message);
                    let (policy, binding) = (policy.clone(), Some(binding.clone()));
                    misconfigured(Problem { policy, binding, message: why, cause: Cause::Configuration }, &mut denied);
                    continue;
                }
            };
            let of = format!("policy {}", policy.name);
            let evaluate = |decisions: &_| policy.decide(&scene, &invocation.params, decisions);
            let mut verdict = decided(&*self.0.authorizer, &of, evaluate).await?;
            note(&mut verdict, noted.entry(policy.name.clone()).or_default());
            act(policy, binding, verdict, attributes, &mut denied);
        }
        for (policy, noted) in noted {
            publish(&policy, noted, attributes);
        }
        match denied.first() {
            Some(first) => Err(refusal(request, first)),
            None => Ok(()),
        }
    }
}

/// The answer to a request that is denied.
fn refusal(request: Request<'_>, denied: &Denied) -> Status {
    let (policy, message) = (&denied.policy.name, &denied.message);
    let message = match &denied.binding {
        Some(binding) => {
            format!("ValidatingAdmissionPolicy '{policy}' with binding '{}' denied request: {message}", binding.name)
        }
        None => format!("ValidatingAdmissionPolicy '{policy}' denied request: {message}"),
    };
    let mut status = forbidden(request, &message);
    let reason = match denied.reason.as_str() {
        "Forbidden" => Reason::Forbidden,
        "Unauthorized" => Reason::Unauthorized,
        "RequestEntityTooLarge" => Reason::RequestEntityTooLarge,
        _ => Reason::Invalid,
    };
    status.reason = reason.as_str().to_owned();
    status.code = reason.code();
    status.with_cause(StatusCause { message, ..StatusCause::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_api::GroupVersionResource;
    use sampan_api::admission::{Annotations, NoKinds, Operation, Warnings};
    use sampan_api::user::UserInfo;
    use sampan_cel::Decisions;
    use serde_json::{Value as Json, from_value};

    /// What stands in the audit, the warnings, and the denials of a ConfigMap with `n: 5` under a policy, bound by `actions`
    /// with each of the parameters.
    async fn outcome(
        spec: Json,
        actions: Json,
        params: &[Json],
    ) -> (BTreeMap<String, String>, Vec<String>, Vec<String>) {
        let object = |kind: &str, name: &str, fields: Json| {
            let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
            object
                .as_object_mut()
                .expect("an object")
                .extend(from_value::<serde_json::Map<_, _>>(fields).expect("fields"));
            Object::from_value(object).expect("an object")
        };
        let policy =
            Arc::new(Policy::<Validations>::of(&object("ValidatingAdmissionPolicy", "p", json!({"spec": spec}))));
        let bound = json!({"spec": {"policyName": "p", "validationActions": actions}});
        let binding = Arc::new(Binding::of(&object("ValidatingAdmissionPolicyBinding", "b", bound)));
        let (user, warnings, annotations) = (UserInfo::apiserver(), Warnings::default(), Annotations::default());
        let resource = GroupVersionResource::new("", "v1", "configmaps");
        let attributes = Attributes {
            operation: Operation::Create,
            resource: &resource,
            subresource: "",
            namespace: "",
            name: "c",
            user: &user,
            dry_run: false,
            options: &Json::Null,
            old: None,
            warnings: &warnings,
            kinds: &NoKinds,
            annotations: Some(&annotations),
        };
        let map = object("ConfigMap", "c", json!({"data": {"n": "5"}}));
        let mut scenes = Scenes::outside(Request { attributes: &attributes, object: Some(&map) });
        let scene = scenes.of(&crate::matching::Seen::Own).await.expect("a scene");
        let (mut noted, mut denied) = (Noted::new(), Vec::new());
        for params in params {
            let mut verdict = policy.decide(&scene, params, &Decisions::default()).expect("no question");
            note(&mut verdict, &mut noted);
            act(&policy, &binding, verdict, &attributes, &mut denied);
        }
        publish(&policy.name, noted, &attributes);
        (annotations.take(), warnings.take(), denied.into_iter().map(|one| one.message).collect())
    }

    #[tokio::test]
    async fn actions_say_what_becomes_of_a_denial() {
        let spec =
            json!({"validations": [{"expression": "true"}, {"expression": "object.data.n == '6'", "message": "no"}]});
        let check = async |actions: Json, audit: &[&str], warnings: &[&str], denied: &[&str]| {
            let (annotations, warned, refused) = outcome(spec.clone(), actions.clone(), &[Json::Null]).await;
            let found: Vec<Json> = annotations.values().map(|text| serde_json::from_str(text).expect("JSON")).collect();
            let expected = audit.iter().map(|message| json!([{
                "message": message, "policy": "p", "binding": "b", "expressionIndex": 1, "validationActions": actions,
            }]));
            assert_eq!(found, expected.collect::<Vec<_>>());
            assert!(annotations.keys().all(|key| key == FAILURE), "{annotations:?}");
            assert_eq!(warned, warnings);
            assert_eq!(refused, denied);
        };
        let warning = "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': no";
        check(json!(["Deny"]), &[], &[], &["no"]).await;
        check(json!(["Warn", "Audit"]), &["no"], &[warning], &[]).await;
        check(json!(["Audit", "Deny"]), &["no"], &[], &["no"]).await;
    }

    #[tokio::test]
    async fn annotations_are_left_for_the_audit() {
        let check = async |expression: &str, params: &[Json], expected: &[(&str, &str)], denied: &[&str]| {
            let spec = json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, "auditAnnotations": [{"key": "k", "valueExpression": expression}]});
            let (annotations, _, refused) = outcome(spec, json!(["Audit"]), params).await;
            let found: Vec<(&str, &str)> =
                annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            assert_eq!(found, expected, "{expression}");
            assert_eq!(refused, denied, "{expression}");
        };
        let one = [Json::Null];
        check("' n is ' + object.data.n", &one, &[("p/k", "n is 5")], &[]).await;
        check("object.data.n == '5' ? '' : 'x'", &one, &[], &[]).await;
        check("null", &one, &[], &[]).await;
        let several = [json!({"a": "x"}), json!({"a": "y"}), json!({"a": "x"})];
        check("string(params.a)", &several, &[("p/k", "x, y")], &[]).await;
        check(
            "string(object.data.m)",
            &one,
            &[],
            &["expression 'string(object.data.m)' resulted in error: no such key: m"],
        )
        .await;
        check(
            "string(authorizer.group('').resource('pods').check('get').allowed())",
            &one,
            &[],
            &["expression 'string(authorizer.group('').resource('pods').check('get').allowed())' resulted in error: no such attribute(s): authorizer"],
        )
        .await;
    }
}
