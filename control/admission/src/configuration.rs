//! What plugins are told by the configuration, each under its name, in the form in which Kubernetes' AdmissionConfiguration
//! has it: `plugins: [{name: EventRateLimit, configuration: {limits: [..]}}]`.

use crate::plugins::{
    EventRateLimitConfiguration, ImagePolicyConfiguration, PodNodeSelectorConfiguration, PodSecurityConfiguration,
    PodTolerationRestrictionConfiguration,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// One plugin's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginConfiguration {
    /// The plugin.
    pub name: String,
    /// What it is told; each plugin has its own form.
    pub configuration: Value,
}

/// Those of all plugins that have one, read and checked.
#[derive(Clone, Debug, Default)]
pub struct Configurations {
    pub(crate) pod_security: PodSecurityConfiguration,
    pub(crate) pod_node_selector: PodNodeSelectorConfiguration,
    pub(crate) pod_toleration_restriction: PodTolerationRestrictionConfiguration,
    pub(crate) event_rate_limit: EventRateLimitConfiguration,
    pub(crate) image_policy: Option<ImagePolicyConfiguration>,
}

impl Configurations {
    /// # Errors
    /// All that is wrong with them.
    pub(crate) fn new(plugins: &[PluginConfiguration]) -> Result<Self, Vec<String>> {
        let (mut all, mut problems, mut seen) = (Self::default(), Vec::new(), BTreeSet::new());
        for one in plugins {
            if !seen.insert(one.name.as_str()) {
                problems.push(format!("{}: it is configured twice", one.name));
                continue;
            }
            let wrong = all.read(&one.name, &one.configuration);
            problems.extend(wrong.into_iter().map(|why| format!("{}: {why}", one.name)));
        }
        if problems.is_empty() { Ok(all) } else { Err(problems) }
    }

    fn read(&mut self, name: &str, configuration: &Value) -> Vec<String> {
        match name {
            "PodSecurity" => checked(configuration, &mut self.pod_security, PodSecurityConfiguration::problems),
            "PodNodeSelector" => {
                checked(configuration, &mut self.pod_node_selector, PodNodeSelectorConfiguration::problems)
            }
            "PodTolerationRestriction" => checked(configuration, &mut self.pod_toleration_restriction, |_| Vec::new()),
            "EventRateLimit" => {
                checked(configuration, &mut self.event_rate_limit, EventRateLimitConfiguration::problems)
            }
            "ImagePolicyWebhook" => match parse(configuration).and_then(ImagePolicyConfiguration::read) {
                Ok(read) => {
                    self.image_policy = Some(read);
                    Vec::new()
                }
                Err(why) => vec![why],
            },
            _ => vec!["there is no such plugin, or it has no configuration".to_owned()],
        }
    }
}

/// Reads a configuration in the place of the default, and says what is wrong with it.
fn checked<T: DeserializeOwned>(value: &Value, into: &mut T, problems: fn(&T) -> Vec<String>) -> Vec<String> {
    match parse(value) {
        Ok(read) => {
            *into = read;
            problems(into)
        }
        Err(why) => vec![why],
    }
}

/// Of a type that knows all its fields; `apiVersion` and `kind`, which Kubernetes' files have, say nothing more.
fn parse<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    let fields =
        value.as_object().into_iter().flatten().filter(|(name, _)| !["apiVersion", "kind"].contains(&name.as_str()));
    let fields: Map<String, Value> = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_is_said_at_once() {
        let check = |plugins: Value, expected: &[&str]| {
            let plugins: Vec<PluginConfiguration> = serde_json::from_value(plugins).expect("a list of plugins");
            let problems = Configurations::new(&plugins).err().unwrap_or_default();
            assert_eq!(problems.len(), expected.len(), "{problems:?}");
            for (problem, part) in problems.iter().zip(expected) {
                assert!(problem.contains(part), "{problem}: {part}");
            }
        };
        check(
            json!([
                {"name": "PodSecurity", "configuration": {"apiVersion": "pod-security.admission.config.k8s.io/v1",
                    "kind": "PodSecurityConfiguration", "defaults": {"enforce": "baseline"},
                    "exemptions": {"namespaces": ["kube-system"]}}},
                {"name": "EventRateLimit", "configuration": {"limits": [{"type": "Server", "qps": 1, "burst": 2}]}},
            ]),
            &[],
        );
        check(
            json!([
                {"name": "PodSecurity", "configuration": {"defaults": {"enforce": "none", "warn-version": "1.2"},
                    "exemptions": {"usernames": ["", "a", "a"]}}},
                {"name": "EventRateLimit", "configuration": {"limits": [{"type": "Pod", "qps": 0, "burst": 0}]}},
                {"name": "PodNodeSelector", "configuration": {"podNodeSelectorPluginConfig": {"n": "a"}}},
                {"name": "PodNodeSelector", "configuration": {}},
                {"name": "PodTolerationRestriction", "configuration": {"allowed": []}},
                {"name": "ImagePolicyWebhook", "configuration": {"imagePolicy": {"kubeConfigFile": "/no/such/file"}}},
                {"name": "Priority", "configuration": {}},
            ]),
            &[
                "defaults.enforce: Invalid value: \"none\"",
                "defaults.warn-version: Invalid value: \"1.2\"",
                "exemptions.usernames[0]: Invalid value: \"\": username must not be empty",
                "exemptions.usernames[2]: Duplicate value: \"a\"",
                "limits[0].type: Unsupported value: \"Pod\"",
                "limits[0].burst: Invalid value: 0: must be positive",
                "limits[0].qps: Invalid value: 0: must be positive",
                "PodNodeSelector: n: invalid selector: [a]",
                "PodNodeSelector: it is configured twice",
                "unknown field `allowed`",
                "/no/such/file",
                "Priority: there is no such plugin, or it has no configuration",
            ],
        );
        check(
            json!([{"name": "EventRateLimit", "configuration": {}}]),
            &["limits: Invalid value: []: must not be empty"],
        );
    }
}
