//! Pod security standards (k8s.io/pod-security-admission, v1.35): a namespace's labels say how much its pods may do.

mod baseline;
mod checks;
mod configuration;
mod policy;
mod restricted;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use configuration::PodSecurityConfiguration;

use crate::chain::Plugin;
use crate::limits::{POD_SECURITY_PODS_MAX, POD_SECURITY_TIME_MAX};
use async_trait::async_trait;
use policy::{Level, Policy, Standard};
use sampan_api::admission::{Attributes, Operation};
use sampan_api::field::go_quote;
use sampan_api::k8s::api::core::v1::{Namespace, Pod};
use sampan_api::{FieldErrors, GroupKind, Object, Record, RecordKey, Status};
use sampan_client::{Client, Informer, ListParams};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use view::View;

/// The plugin. Namespaces without labels are free, as Kubernetes' default configuration has it.
pub struct PodSecurity {
    namespaces: Informer,
    client: Client,
    configuration: PodSecurityConfiguration,
}

/// Resources with a template of pods, and where it is.
const TEMPLATES: [(&str, &str, &[&str]); 8] = [
    ("", "replicationcontrollers", &["spec", "template"]),
    ("", "podtemplates", &["template"]),
    ("apps", "replicasets", &["spec", "template"]),
    ("apps", "deployments", &["spec", "template"]),
    ("apps", "statefulsets", &["spec", "template"]),
    ("apps", "daemonsets", &["spec", "template"]),
    ("batch", "jobs", &["spec", "template"]),
    ("batch", "cronjobs", &["spec", "jobTemplate", "spec", "template"]),
];

/// Subresources of pods that change nothing which is looked at.
const IGNORED: [&str; 8] = ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];

fn template(attributes: &Attributes<'_>) -> Option<&'static [&'static str]> {
    TEMPLATES.iter().find(|(group, resource, _)| attributes.is(group, resource)).map(|(.., path)| *path)
}

fn is_of_pods(attributes: &Attributes<'_>) -> bool {
    attributes.resource.group.is_empty()
        && attributes.resource.resource == "pods"
        && !IGNORED.contains(&attributes.subresource)
}

impl PodSecurity {
    /// `namespaces` answers nearly always; `client` is asked where it has not heard of a namespace yet, and lists the pods of
    /// one whose labels change.
    pub(crate) fn new(namespaces: Informer, client: Client, configuration: PodSecurityConfiguration) -> Self {
        Self { namespaces, client, configuration }
    }

    fn policy(&self, labels: &BTreeMap<String, String>) -> (Policy, FieldErrors) {
        Policy::of(labels, self.configuration.defaults.policy())
    }

    /// Whether nothing of the request's pods is looked at, whoever they are of.
    fn is_exempt(&self, attributes: &Attributes<'_>) -> bool {
        let exemptions = &self.configuration.exemptions;
        exemptions.namespaces.contains(attributes.namespace) || exemptions.usernames.contains(&attributes.user.name)
    }

    /// Whether a pod's runtime class exempts it.
    fn is_free(&self, spec: &Value) -> bool {
        let class = spec["runtimeClassName"].as_str();
        class.is_some_and(|class| self.configuration.exemptions.runtime_classes.contains(class))
    }

    async fn labels(&self, name: &str) -> Result<Arc<BTreeMap<String, String>>, Status> {
        if let Some(record) = self.namespaces.store().get(&RecordKey::new("", name)) {
            return Ok(record.labels.clone());
        }
        let found = self.client.all::<Namespace>().get_record(name).await;
        let failed = |_| Status::internal(&format!("failed to lookup namespace {}", go_quote(name)));
        found.map(|record| record.labels.clone()).map_err(failed)
    }

    async fn pod(&self, attributes: &Attributes<'_>, pod: &Object) -> Result<(), Status> {
        if self.is_exempt(attributes) || self.is_free(view_of(pod).spec) {
            return Ok(());
        }
        let labels = self.labels(attributes.namespace).await?;
        let (policy, _) = self.policy(&labels);
        if policy.is_privileged() || attributes.old.is_some_and(|old| !has_new_images(pod, old)) {
            return Ok(());
        }
        let violations = checks::violations(policy.enforce, view_of(pod));
        if !violations.is_empty() {
            let (standard, details) = (go_quote(&policy.enforce.to_string()), checks::details(&violations));
            return Err(attributes.forbidden(&format!("violates PodSecurity {standard}: {details}")));
        }
        warn(attributes, policy.warn, view_of(pod));
        Ok(())
    }

    /// Who writes a template is told what will become of its pods.
    async fn template(&self, attributes: &Attributes<'_>, object: &Object, path: &[&str]) -> Result<(), Status> {
        if self.is_exempt(attributes) {
            return Ok(());
        }
        // A namespace that cannot be found is told to who makes the pods.
        let Ok(labels) = self.labels(attributes.namespace).await else { return Ok(()) };
        let (policy, _) = self.policy(&labels);
        let template = object.get(path).filter(|template| !template.is_null() && !self.is_free(&template["spec"]));
        if let Some(template) = template {
            warn(attributes, policy.warn, View { metadata: &template["metadata"], spec: &template["spec"] });
        }
        Ok(())
    }

    async fn namespace(&self, attributes: &Attributes<'_>, namespace: &Object) -> Result<(), Status> {
        let labels = |namespace: &Object| -> BTreeMap<String, String> {
            namespace.labels().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let own = labels(namespace);
        let (new, errors) = self.policy(&own);
        let old = attributes.old.map(|old| self.policy(&labels(old)));
        let same = old.as_ref().is_some_and(|(_, old)| !old.is_empty() && told(old) == told(&errors));
        if !errors.is_empty() && !same {
            return Err(Status::invalid(&GroupKind::new("", "Namespace"), attributes.name, &errors));
        }
        let exempt = self.configuration.exemptions.namespaces.contains(attributes.name);
        let ignored = exempt && !new.is_fully_privileged() && new != self.configuration.defaults.policy();
        let warning = || {
            let (name, policy) = (go_quote(attributes.name), new.set_by(&own));
            format!("namespace {name} is exempt from Pod Security, and the policy ({policy}) will be ignored")
        };
        let Some((old, _)) = old else {
            if ignored {
                attributes.warnings.add(warning());
            }
            return Ok(());
        };
        if !is_stricter(new.enforce, old.enforce) {
            return Ok(());
        }
        if exempt {
            if ignored {
                attributes.warnings.add(warning());
            }
            return Ok(());
        }
        tracing::debug!(namespace = attributes.name, from = %old.enforce, to = %new.enforce, "pods are looked at");
        for text in self.violations_in(attributes.name, new.enforce).await {
            attributes.warnings.add(text);
        }
        Ok(())
    }

    /// What of a namespace's pods a standard forbids, as warnings.
    async fn violations_in(&self, namespace: &str, standard: Standard) -> Vec<String> {
        let deadline = self.client.env().instant() + POD_SECURITY_TIME_MAX;
        let listed = self.client.namespaced::<Pod>(namespace).list_all_records(&ListParams::default()).await;
        let Ok(list) = listed else {
            return vec!["failed to list pods while checking new PodSecurity enforce level".into()];
        };
        let pods = prioritized(&list.items);
        // Of each finding the first pod by name, and the number of pods.
        let mut found: BTreeMap<String, (Arc<str>, usize)> = BTreeMap::new();
        let mut checked = 0;
        for record in pods.iter().take(POD_SECURITY_PODS_MAX) {
            let object = record.object();
            let view = view_of(&object);
            let violations = if self.is_free(view.spec) { Vec::new() } else { checks::violations(standard, view) };
            if !violations.is_empty() {
                let seen = found.entry(checks::reasons(&violations)).or_insert_with(|| (record.key.name.clone(), 0));
                seen.0 = seen.0.clone().min(record.key.name.clone());
                seen.1 += 1;
            }
            checked += 1;
            if self.client.env().instant() > deadline {
                break;
            }
        }
        let mut warnings = Vec::new();
        if checked < pods.len() {
            let all = pods.len();
            warnings.push(format!(
                "new PodSecurity enforce level only checked against the first {checked} of {all} existing pods"
            ));
        }
        if !found.is_empty() {
            let (namespace, standard) = (go_quote(namespace), go_quote(&standard.to_string()));
            warnings.push(format!(
                "existing pods in namespace {namespace} violate the new PodSecurity enforce level {standard}"
            ));
        }
        let mut pods: Vec<String> = found
            .into_iter()
            .map(|(why, (name, count))| match count {
                1 => format!("{name}: {why}"),
                2 => format!("{name} (and 1 other pod): {why}"),
                more => format!("{name} (and {} other pods): {why}", more - 1),
            })
            .collect();
        pods.sort();
        warnings.extend(pods);
        warnings
    }
}

/// One pod of each controller first: the others are most likely like it.
fn prioritized(pods: &[Arc<Record>]) -> Vec<&Arc<Record>> {
    let mut seen = HashSet::new();
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for pod in pods {
        match pod.owners.iter().find(|owner| owner.controller) {
            Some(owner) if !seen.insert(owner.uid.as_str()) => rest.push(pod),
            _ => first.push(pod),
        }
    }
    first.extend(rest);
    first
}

fn told(errors: &FieldErrors) -> Vec<String> {
    errors.iter().map(|error| error.to_string()).collect()
}

/// What a standard, such as `restricted:v1.25`, forbids of a pod, as a refusal tells it. `None`: it allows the pod.
///
/// # Errors
/// When there is no such standard.
pub fn forbidden_by(standard: &str, pod: &Object) -> Result<Option<String>, String> {
    let violations = checks::violations(Standard::parse(standard)?, view_of(pod));
    Ok((!violations.is_empty()).then(|| checks::details(&violations)))
}

/// Whether pods that were allowed may be so no more.
fn is_stricter(new: Standard, old: Standard) -> bool {
    let same = new == old || new.level == Level::Privileged;
    !same && (new.version != old.version || new.level > old.level)
}

fn view_of(pod: &Object) -> View<'_> {
    static NONE: Value = Value::Null;
    let part = |name: &str| pod.fields().get(name).unwrap_or(&NONE);
    View { metadata: part("metadata"), spec: part("spec") }
}

fn warn(attributes: &Attributes<'_>, standard: Standard, view: View<'_>) {
    let violations = checks::violations(standard, view);
    if !violations.is_empty() {
        let (standard, details) = (go_quote(&standard.to_string()), checks::details(&violations));
        attributes.warnings.add(format!("would violate PodSecurity {standard}: {details}"));
    }
}

/// Whether an update brings a container or an image: nothing else that is looked at can change.
fn has_new_images(pod: &Object, old: &Object) -> bool {
    let list = |pod: &Object, name: &str| -> Vec<(String, String)> {
        let all = pod.get(&["spec", name]).and_then(Value::as_array).into_iter().flatten();
        all.map(|one| (view::name(one).to_owned(), view::text(&one["image"]).to_owned())).collect()
    };
    let images = |pod: &Object, name: &str| list(pod, name).into_iter().map(|(_, image)| image).collect::<Vec<_>>();
    let changed = ["containers", "initContainers"].iter().any(|name| images(pod, name) != images(old, name));
    let ephemeral: HashSet<_> = list(old, "ephemeralContainers").into_iter().collect();
    changed || list(pod, "ephemeralContainers").iter().any(|one| !ephemeral.contains(one))
}

#[async_trait]
impl Plugin for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        matches!(attributes.operation, Operation::Create | Operation::Update)
            && (is_of_pods(attributes) || attributes.is("", "namespaces") || template(attributes).is_some())
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        let Some(object) = object else { return Ok(()) };
        match template(attributes) {
            Some(path) => self.template(attributes, object, path).await,
            None if is_of_pods(attributes) => self.pod(attributes, object).await,
            None => self.namespace(attributes, object).await,
        }
    }
}
