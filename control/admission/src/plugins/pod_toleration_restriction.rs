//! Gives pods the tolerations of their namespace, and lets them have no others than it may
//! (plugin/pkg/admission/podtolerationrestriction).

use super::tolerations;
use crate::chain::Plugin;
use crate::matching::Namespaces;
use async_trait::async_trait;
use sampan_api::admission::{Attributes, Mutated, Operation};
use sampan_api::k8s::api::core::v1::{Pod, Toleration};
use sampan_api::status::Reason;
use sampan_api::{GroupResource, Object, Status};
use serde::Deserialize;
use serde_json::{Value, json};

/// The plugin's configuration (`podtolerationrestriction.admission.k8s.io/v1alpha1`).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PodTolerationRestrictionConfiguration {
    /// Tolerations of pods whose namespace names none.
    default: Vec<Toleration>,
    /// Those that pods may have whose namespace does not say; none: all.
    whitelist: Vec<Toleration>,
}

const DEFAULTS: &str = "scheduler.alpha.kubernetes.io/defaultTolerations";
const ALLOWED: &str = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";

/// The plugin.
pub struct PodTolerationRestriction {
    namespaces: Namespaces,
    configuration: PodTolerationRestrictionConfiguration,
}

fn plain(why: String) -> Status {
    Status::failure(Reason::Unknown, why)
}

fn values(tolerations: &[Toleration]) -> Result<Vec<Value>, Status> {
    let all: Result<_, _> = tolerations.iter().map(serde_json::to_value).collect();
    all.map_err(|error| Status::internal(&error.to_string()))
}

/// A namespace's tolerations by an annotation; `None` where it has none.
fn annotated(namespace: &Object, annotation: &str) -> Result<Option<Vec<Value>>, Status> {
    match namespace.annotation(annotation) {
        None => Ok(None),
        Some("") => Ok(Some(Vec::new())),
        Some(text) => {
            let read: Vec<Toleration> = serde_json::from_str(text).map_err(|error| plain(error.to_string()))?;
            values(&read).map(Some)
        }
    }
}

fn own(pod: &Object) -> &[Value] {
    pod.get(&["spec", "tolerations"]).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

impl PodTolerationRestriction {
    pub(crate) fn new(namespaces: Namespaces, configuration: PodTolerationRestrictionConfiguration) -> Self {
        Self { namespaces, configuration }
    }

    async fn namespace(&self, name: &str) -> Result<Object, Status> {
        let found = self.namespaces.get(name).await?;
        found.ok_or_else(|| Status::not_found(&GroupResource::new("", "namespaces"), name))
    }

    fn check(&self, namespace: &Object, pod: &Object) -> Result<(), Status> {
        let (allowed, scope) = match annotated(namespace, ALLOWED)? {
            Some(allowed) => (allowed, "namespace"),
            None => (values(&self.configuration.whitelist)?, "cluster"),
        };
        let fits = |one: &Value| allowed.iter().any(|wide| tolerations::covers(wide, one));
        if allowed.is_empty() || own(pod).iter().all(fits) {
            return Ok(());
        }
        Err(plain(format!(
            "pod tolerations (possibly merged with namespace default tolerations) conflict with its {scope} whitelist"
        )))
    }
}

#[async_trait]
impl Plugin for PodTolerationRestriction {
    fn name(&self) -> &'static str {
        "PodTolerationRestriction"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.is("", "pods") && matches!(attributes.operation, Operation::Create | Operation::Update)
    }

    async fn mutate(&self, attributes: &Attributes<'_>, pod: &mut Object) -> Result<Mutated, Status> {
        let namespace = self.namespace(attributes.namespace).await?;
        let mut more = Vec::new();
        if attributes.operation == Operation::Create {
            more = match annotated(&namespace, DEFAULTS)? {
                Some(defaults) => defaults,
                None => values(&self.configuration.default)?,
            };
        }
        let typed: Pod =
            serde_json::from_value(pod.to_value()).map_err(|error| Status::internal(&error.to_string()))?;
        if !sampan_quota::is_best_effort(&typed) {
            more.push(
                json!({"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}),
            );
        }
        let mut mutated = Mutated::No;
        if !more.is_empty() {
            let merged = tolerations::merge(own(pod).to_vec(), more);
            if merged != own(pod) {
                pod.set(&["spec", "tolerations"], merged);
                mutated = Mutated::Yes;
            }
        }
        self.check(&namespace, pod)?;
        Ok(mutated)
    }

    async fn validate(&self, attributes: &Attributes<'_>, pod: Option<&Object>) -> Result<(), Status> {
        match pod.filter(|pod| !own(pod).is_empty()) {
            Some(pod) => self.check(&self.namespace(attributes.namespace).await?, pod),
            None => Ok(()),
        }
    }
}
