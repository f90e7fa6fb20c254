//! The plugin's configuration (`pod-security.admission.config.k8s.io/v1`).

use super::policy::{NO_LEVEL, NO_VERSION, PRIVILEGED, Policy, Standard, level, version};
use sampan_api::field::{FieldError, FieldErrors, Path};
use sampan_api::names::{dns1123_label, dns1123_subdomain};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;

/// The standards of namespaces whose labels name none, and what is not looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PodSecurityConfiguration {
    pub(super) defaults: Defaults,
    pub(super) exemptions: Exemptions,
}

/// Levels and versions by mode; empty: `privileged`, `latest`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Defaults {
    enforce: String,
    enforce_version: String,
    audit: String,
    audit_version: String,
    warn: String,
    warn_version: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Exemptions {
    pub(super) usernames: Names,
    pub(super) namespaces: Names,
    pub(super) runtime_classes: Names,
}

/// Names as they stand in the file, and a set of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    listed: Vec<String>,
    all: BTreeSet<String>,
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let listed = Vec::<String>::deserialize(deserializer)?;
        Ok(Self { all: listed.iter().cloned().collect(), listed })
    }
}

impl Names {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.all.contains(name)
    }

    fn check(&self, name: &str, rule: fn(&str) -> Vec<String>, errors: &mut FieldErrors) {
        let mut seen = BTreeSet::new();
        for (index, one) in self.listed.iter().enumerate() {
            let path = Path::new("exemptions").child(name).index(index);
            let wrong = rule(one);
            if !wrong.is_empty() {
                errors.push(FieldError::invalid(&path, one.as_str(), wrong.join(", ")));
            } else if !seen.insert(one) {
                errors.push(FieldError::duplicate(&path, one.as_str()));
            }
        }
    }
}

impl Defaults {
    fn modes(&self) -> [(&'static str, &str, &str); 3] {
        [
            ("enforce", &self.enforce, &self.enforce_version),
            ("warn", &self.warn, &self.warn_version),
            ("audit", &self.audit, &self.audit_version),
        ]
    }

    /// The policy of a namespace without labels.
    pub(super) fn policy(&self) -> Policy {
        let standard = |of: &str, at: &str| Standard {
            level: level(of).unwrap_or(PRIVILEGED.level),
            version: version(at).unwrap_or(PRIVILEGED.version),
        };
        let [(_, enforce, enforce_at), (_, warn, warn_at), (_, audit, audit_at)] = self.modes();
        Policy {
            enforce: standard(enforce, enforce_at),
            audit: standard(audit, audit_at),
            warn: standard(warn, warn_at),
        }
    }
}

impl PodSecurityConfiguration {
    /// What is wrong, in Kubernetes' words.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut errors = FieldErrors::new();
        for (name, of, at) in self.defaults.modes() {
            let path = |suffix: &str| Path::new("defaults").child(&format!("{name}{suffix}"));
            if !of.is_empty() && level(of).is_none() {
                errors.push(FieldError::invalid(&path(""), of, NO_LEVEL));
            }
            if !at.is_empty() && version(at).is_none() {
                errors.push(FieldError::invalid(&path("-version"), at, NO_VERSION));
            }
        }
        let exemptions = &self.exemptions;
        exemptions.namespaces.check("namespaces", dns1123_label, &mut errors);
        exemptions.runtime_classes.check("runtimeClasses", dns1123_subdomain, &mut errors);
        let named =
            |name: &str| if name.is_empty() { vec!["username must not be empty".to_owned()] } else { Vec::new() };
        exemptions.usernames.check("usernames", named, &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }
}
