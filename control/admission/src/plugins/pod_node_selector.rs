//! Gives pods the node selector of their namespace, and lets them have no other labels than it may
//! (plugin/pkg/admission/podnodeselector).

use crate::chain::Plugin;
use crate::matching::Namespaces;
use async_trait::async_trait;
use sampan_api::admission::{Attributes, Mutated, Operation};
use sampan_api::names::{label_value, qualified_name};
use sampan_api::status::Reason;
use sampan_api::{Object, Status};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The plugin's configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct PodNodeSelectorConfiguration {
    /// The default under [`DEFAULT`], and by the name of a namespace the labels that its pods may select by.
    pod_node_selector_plugin_config: BTreeMap<String, String>,
}

const DEFAULT: &str = "clusterDefaultNodeSelector";
const ANNOTATION: &str = "scheduler.alpha.kubernetes.io/node-selector";
const CONFLICT: &str = "pod node label selector conflicts with its namespace node label selector";
const NOT_ALLOWED: &str = "pod node label selector labels conflict with its namespace whitelist";

type Labels = BTreeMap<String, String>;

impl PodNodeSelectorConfiguration {
    /// Kubernetes tells of them at the first pod.
    pub(crate) fn problems(&self) -> Vec<String> {
        let read = self.pod_node_selector_plugin_config.iter();
        read.filter_map(|(name, text)| labels(text).err().map(|why| format!("{name}: {why}"))).collect()
    }

    fn of(&self, name: &str) -> Result<Labels, String> {
        labels(self.pod_node_selector_plugin_config.get(name).map_or("", String::as_str))
    }
}

/// `a=b,c=d`.
fn labels(text: &str) -> Result<Labels, String> {
    let mut all = Labels::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let pieces: Vec<&str> = part.split('=').collect();
        let [key, value] = pieces.as_slice() else { return Err(format!("invalid selector: [{}]", pieces.join(" "))) };
        let (key, value) = (key.trim(), value.trim());
        if let Some(why) = qualified_name(key).first().or(label_value(value).first()) {
            return Err(format!("{part}: {why}"));
        }
        all.insert(key.to_owned(), value.to_owned());
    }
    Ok(all)
}

/// The plugin.
pub struct PodNodeSelector {
    namespaces: Namespaces,
    configuration: PodNodeSelectorConfiguration,
}

fn selector(pod: &Object) -> Option<&Map<String, Value>> {
    pod.get(&["spec", "nodeSelector"]).and_then(Value::as_object)
}

/// What is no Status of Kubernetes': 500 with its text.
fn plain(why: String) -> Status {
    Status::failure(Reason::Unknown, why)
}

impl PodNodeSelector {
    pub(crate) fn new(namespaces: Namespaces, configuration: PodNodeSelectorConfiguration) -> Self {
        Self { namespaces, configuration }
    }

    /// The labels that a namespace's pods select by.
    async fn of_namespace(&self, name: &str) -> Result<Labels, Status> {
        let Some(namespace) = self.namespaces.get(name).await? else {
            return Err(Status::internal(&format!("namespace {name} does not exist")));
        };
        match namespace.annotation(ANNOTATION) {
            Some(text) => labels(text).map_err(plain),
            None => self.configuration.of(DEFAULT).map_err(plain),
        }
    }

    fn check(&self, attributes: &Attributes<'_>, wanted: &Labels, pod: &Object) -> Result<(), Status> {
        let own = selector(pod);
        let refuse = |why: &str| Err(Status::forbidden(&attributes.group_resource(), pod.name(), why));
        let has = |key: &str| own.and_then(|own| own.get(key)).and_then(Value::as_str);
        if wanted.iter().any(|(key, value)| has(key).is_some_and(|own| own != value)) {
            return refuse(CONFLICT);
        }
        let allowed = self.configuration.of(attributes.namespace).map_err(plain)?;
        let fits = |(key, value): (&String, &Value)| allowed.get(key).map(String::as_str) == value.as_str();
        if !allowed.is_empty() && !own.into_iter().flatten().all(fits) {
            return refuse(NOT_ALLOWED);
        }
        Ok(())
    }
}

#[async_trait]
impl Plugin for PodNodeSelector {
    fn name(&self) -> &'static str {
        "PodNodeSelector"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.is("", "pods") && attributes.operation == Operation::Create
    }

    async fn mutate(&self, attributes: &Attributes<'_>, pod: &mut Object) -> Result<Mutated, Status> {
        let wanted = self.of_namespace(attributes.namespace).await?;
        let mut all: Map<String, Value> =
            wanted.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
        let own = selector(pod).cloned().unwrap_or_default();
        let changes = wanted.keys().any(|key| !own.contains_key(key));
        let conflicts = wanted.iter().any(|(key, value)| own.get(key).is_some_and(|own| own.as_str() != Some(value)));
        all.extend(own);
        if changes && !conflicts {
            pod.set(&["spec", "nodeSelector"], Value::Object(all));
        }
        self.check(attributes, &wanted, pod)?;
        Ok(if changes { Mutated::Yes } else { Mutated::No })
    }

    async fn validate(&self, attributes: &Attributes<'_>, pod: Option<&Object>) -> Result<(), Status> {
        let Some(pod) = pod else { return Ok(()) };
        self.check(attributes, &self.of_namespace(attributes.namespace).await?, pod)
    }
}
