//! A pod, or what a template will make one of, as checks read it; and the words they have in common.

use serde_json::Value;
use std::collections::BTreeSet;

/// Metadata and spec of a pod or of a template.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) metadata: &'a Value,
    pub(super) spec: &'a Value,
}

/// What a check finds wrong: its reason, and the detail.
pub(super) struct Violation {
    pub(super) reason: String,
    pub(super) detail: String,
}

impl Violation {
    pub(super) fn new(reason: impl Into<String>, detail: impl Into<String>) -> Option<Self> {
        Some(Self { reason: reason.into(), detail: detail.into() })
    }
}

impl<'a> View<'a> {
    /// All containers: initial ones first, ephemeral ones last.
    pub(super) fn containers(self) -> impl Iterator<Item = &'a Value> {
        let lists = ["initContainers", "containers", "ephemeralContainers"];
        lists.into_iter().flat_map(move |list| self.spec[list].as_array().into_iter().flatten())
    }

    /// The names of the containers that are so.
    pub(super) fn named(self, is: impl Fn(&Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(|container| is(container)).map(name).collect()
    }

    /// The security context of the pod.
    pub(super) fn security(self) -> &'a Value {
        &self.spec["securityContext"]
    }

    /// Whether its users are none of the host's.
    pub(super) fn has_own_users(self) -> bool {
        self.spec["hostUsers"] == false
    }

    pub(super) fn is_windows(self) -> bool {
        self.spec["os"]["name"] == "windows"
    }

    pub(super) fn annotations(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self.metadata["annotations"].as_object().into_iter().flatten();
        all.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }
}

pub(super) fn name(value: &Value) -> &str {
    text(&value["name"])
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `"a", "b"`
pub(super) fn quoted<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    items.into_iter().map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", ")
}

/// `container "a"`, `containers "a", "b"`
pub(super) fn counted(one: &str, many: &str, names: &[&str]) -> String {
    format!("{} {}", if names.len() == 1 { one } else { many }, quoted(names.iter().copied()))
}

/// `container "a"`, `containers "a", "b"`
pub(super) fn containers(names: &[&str]) -> String {
    counted("container", "containers", names)
}

/// `pod and container "a"`: who sets something bad. `None`: nobody.
pub(super) fn setters(pod: Option<()>, bad: &[&str]) -> Option<String> {
    let named = (!bad.is_empty()).then(|| containers(bad));
    let all: Vec<String> = pod.map(|()| "pod".to_owned()).into_iter().chain(named).collect();
    (!all.is_empty()).then(|| all.join(" and "))
}

/// Values of the pod's and its containers' security contexts that are not allowed: who has them, and which they are.
pub(super) fn bad_values<'a>(
    view: View<'a>,
    read: impl Fn(&'a Value) -> &'a Value,
    allowed: impl Fn(&str) -> bool,
) -> (Option<()>, Vec<&'a str>, BTreeSet<&'a str>) {
    let mut values = BTreeSet::new();
    let mut bad = |context: &'a Value| {
        let value = read(context);
        let bad = !value.is_null() && !allowed(text(&value["type"]));
        if bad {
            values.insert(text(&value["type"]));
        }
        bad
    };
    let pod = bad(view.security()).then_some(());
    let names: Vec<&str> = view.containers().filter(|one| bad(&one["securityContext"])).map(name).collect();
    (pod, names, values)
}
