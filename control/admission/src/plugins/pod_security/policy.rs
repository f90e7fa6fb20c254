//! The policy that a namespace's labels name.

use sampan_api::field::{FieldError, FieldErrors, Path};
use std::collections::BTreeMap;
use std::fmt;

/// How much a pod may do, from all to little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// The rules of a minor version of Kubernetes, or the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Minor(u32),
    Latest,
}

/// A level as it is meant in a version: `restricted:v1.25`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standard {
    pub(super) level: Level,
    pub(super) version: Version,
}

/// What is refused, and what is told to the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) enforce: Standard,
    /// What an audit log would be told; nothing looks at pods by it.
    pub(super) audit: Standard,
    pub(super) warn: Standard,
}

pub(super) const PRIVILEGED: Standard = Standard { level: Level::Privileged, version: Version::Latest };
const PREFIX: &str = "pod-security.kubernetes.io/";

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version {
            Version::Latest => write!(f, "{level}:latest"),
            Version::Minor(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

impl Standard {
    /// Out of the form in which it is shown. Errors: what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(of, at)| Some((level(of)?, version(at)?)));
        let (level, version) = parts.ok_or_else(|| format!("{text:?} is no pod security standard"))?;
        Ok(Self { level, version })
    }
}

pub(super) fn level(text: &str) -> Option<Level> {
    match text {
        "privileged" => Some(Level::Privileged),
        "baseline" => Some(Level::Baseline),
        "restricted" => Some(Level::Restricted),
        _ => None,
    }
}

pub(super) fn version(text: &str) -> Option<Version> {
    if text == "latest" {
        return Some(Version::Latest);
    }
    let minor = text.strip_prefix("v1.")?;
    let canonical = minor.bytes().all(|byte| byte.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
    // Go holds them in 64 bits; what is beyond 32 is as new as can be, either way.
    let minor = minor.parse::<u64>().ok().filter(|minor| canonical && *minor <= u64::MAX / 2)?;
    Some(Version::Minor(u32::try_from(minor).unwrap_or(u32::MAX)))
}

/// What is wrong with a level.
pub(super) const NO_LEVEL: &str = "must be one of privileged, baseline, restricted";
/// What is wrong with a version.
pub(super) const NO_VERSION: &str = "must be \"latest\" or \"v1.x\"";

/// A level and version as the labels of one mode have them, by the given ones where they say nothing. `strict`: what
/// counts where the level is none.
fn mode(
    labels: &BTreeMap<String, String>,
    name: &str,
    (default, strict): (Standard, Level),
    errors: &mut FieldErrors,
) -> (Standard, Said) {
    let path = |label: &str| Path::new("metadata").child("labels").key(label);
    let mut standard = default;
    let mut said = Said { level: None, version: false };
    let label = format!("{PREFIX}{name}");
    if let Some(text) = labels.get(&label) {
        let parsed = level(text);
        standard.level = parsed.unwrap_or(strict);
        said.level = Some(parsed.is_some());
        if parsed.is_none() {
            errors.push(FieldError::invalid(&path(&label), text.as_str(), NO_LEVEL));
        }
    }
    let label = format!("{PREFIX}{name}-version");
    if let Some(text) = labels.get(&label) {
        said.version = true;
        match version(text) {
            Some(version) => standard.version = version,
            None => errors.push(FieldError::invalid(&path(&label), text.as_str(), NO_VERSION)),
        }
    }
    (standard, said)
}

/// The labels of a mode that are there.
struct Said {
    /// Whether it is a level, where there is one.
    level: Option<bool>,
    version: bool,
}

impl Policy {
    /// Out of a namespace's labels over the defaults; what is wrong with them counts as the strictest where pods are refused,
    /// and as nothing where they are only told of.
    pub(super) fn of(labels: &BTreeMap<String, String>, defaults: Self) -> (Self, FieldErrors) {
        let mut errors = FieldErrors::new();
        if !labels.keys().any(|key| key.starts_with(PREFIX)) {
            return (defaults, errors);
        }
        let (enforce, said) = mode(labels, "enforce", (defaults.enforce, Level::Restricted), &mut errors);
        let (audit, _) = mode(labels, "audit", (defaults.audit, Level::Privileged), &mut errors);
        let (mut warn, warned) = mode(labels, "warn", (defaults.warn, Level::Privileged), &mut errors);
        // What is going to be refused is told to who writes a Deployment.
        if warned.level.is_none() && said.level == Some(true) && enforce.level > warn.level {
            warn.level = enforce.level;
            if !warned.version {
                warn.version = enforce.version;
            }
        }
        (Self { enforce, audit, warn }, errors)
    }

    /// The standards that a namespace's labels set which are not `privileged`, as a warning tells them.
    pub(super) fn set_by(&self, labels: &BTreeMap<String, String>) -> String {
        let set = |name: &str| {
            let label = format!("{PREFIX}{name}");
            labels.contains_key(&label) || labels.contains_key(&format!("{label}-version"))
        };
        let modes = [("enforce", self.enforce), ("audit", self.audit), ("warn", self.warn)];
        let told = modes.into_iter().filter(|(name, standard)| standard.level != Level::Privileged && set(name));
        told.map(|(name, standard)| format!("{name}={standard}")).collect::<Vec<_>>().join(", ")
    }

    /// Whether nothing is refused, told or noted.
    pub(super) fn is_fully_privileged(&self) -> bool {
        self.is_privileged() && self.audit.level == Level::Privileged
    }

    /// Whether nothing is refused and nothing told.
    pub(super) fn is_privileged(&self) -> bool {
        self.enforce.level == Level::Privileged && self.warn.level == Level::Privileged
    }
}

#[cfg(test)]
mod tests {
    use super::super::configuration::Defaults;
    use super::*;

    #[test]
    fn labels_name_a_policy() {
        let check = |labels: &[(&str, &str)], enforce: &str, warn: &str, errors: &[&str]| {
            let labels = labels.iter().map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned())).collect();
            let (policy, found) = Policy::of(&labels, Defaults::default().policy());
            assert_eq!(
                (policy.enforce.to_string(), policy.warn.to_string()),
                (enforce.into(), warn.into()),
                "{labels:?}"
            );
            let found: Vec<String> = found.iter().map(|error| error.to_string()).collect();
            assert_eq!(found, errors, "{labels:?}");
        };
        check(&[], "privileged:latest", "privileged:latest", &[]);
        check(&[("enforce", "baseline")], "baseline:latest", "baseline:latest", &[]);
        let old = [("enforce", "restricted"), ("enforce-version", "v1.20")];
        check(&old, "restricted:v1.20", "restricted:v1.20", &[]);
        check(&[("enforce", "restricted"), ("warn", "privileged")], "restricted:latest", "privileged:latest", &[]);
        check(&[("enforce", "baseline"), ("warn-version", "v1.2")], "baseline:latest", "baseline:v1.2", &[]);
        check(&[("warn", "restricted")], "privileged:latest", "restricted:latest", &[]);
        let level = |mode: &str, value: &str| {
            format!(
                "metadata.labels[{PREFIX}{mode}]: Invalid value: \"{value}\": must be one of privileged, baseline, restricted"
            )
        };
        check(&[("enforce", "x")], "restricted:latest", "privileged:latest", &[&level("enforce", "x")]);
        check(
            &[("audit", "x"), ("warn", "")],
            "privileged:latest",
            "privileged:latest",
            &[&level("audit", "x"), &level("warn", "")],
        );
        for bad in ["v1", "v1.01", "v2.0", "v1.x", ""] {
            let text = format!(
                "metadata.labels[{PREFIX}enforce-version]: Invalid value: \"{bad}\": must be \"latest\" or \"v1.x\""
            );
            check(&[("enforce-version", bad)], "privileged:latest", "privileged:latest", &[&text]);
        }
    }
}
