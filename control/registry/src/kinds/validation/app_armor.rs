//! AppArmor's annotations of pods, which were there before the field.

use super::At;
use super::container::LISTS;
use super::security::PROFILE_MAX;
use sampan_api::field::{FieldErrors, go_quote};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Prefix of the annotations, before a container's name.
pub(in crate::kinds) const PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";

const DEFAULT: &str = "runtime/default";
const UNCONFINED: &str = "unconfined";
const LOCAL: &str = "localhost/";

/// The profile that an annotation names, where it names one that a field may have.
pub(in crate::kinds) fn profile(text: &str) -> Option<Value> {
    match text {
        DEFAULT => Some(json!({"type": "RuntimeDefault"})),
        UNCONFINED => Some(json!({"type": "Unconfined"})),
        text => {
            let name = text.strip_prefix(LOCAL)?;
            let sound = !name.is_empty() && name.trim() == name && name.len() <= PROFILE_MAX;
            sound.then(|| json!({"type": "Localhost", "localhostProfile": name}))
        }
    }
}

/// Each annotation names a container and a profile.
pub(super) fn annotations(at: At<'_>, spec: At<'_>, errors: &mut FieldErrors) {
    // Collected where there is such an annotation.
    let mut known: Option<HashSet<&str>> = None;
    for (key, annotation) in at.entries() {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        if !known.get_or_insert_with(|| names(spec.value())).contains(name) {
            annotation.invalid_as(errors, name, "container not found");
        }
        let text = annotation.text();
        if !matches!(text, "" | DEFAULT | UNCONFINED) && !text.starts_with(LOCAL) {
            annotation.invalid(errors, format!("invalid AppArmor profile name: {}", go_quote(text)));
        }
    }
}

/// The names of all containers of a pod's spec.
fn names(spec: &Value) -> HashSet<&str> {
    let containers = LISTS.iter().filter_map(|list| spec.get(list)?.as_array()).flatten();
    containers.map(|container| container.get("name").and_then(Value::as_str).unwrap_or("")).collect()
}

/// An annotation says what the container's field, or the pod's, says. Pods of Windows have neither.
pub(super) fn agree(annotations: At<'_>, spec: At<'_>, errors: &mut FieldErrors) {
    if spec.get("os").get("name").text() == "windows" {
        return;
    }
    let security = spec.get("securityContext");
    let whole = security.get("appArmorProfile");
    for list in LISTS {
        for container in spec.get(list).items() {
            let key = format!("{PREFIX}{}", container.get("name").text());
            let security = container.get("securityContext");
            let told = security.get("appArmorProfile");
            let field = if told.is_set() { told } else { whole };
            let annotation = annotations.key(&key);
            if !annotation.is_set() {
                continue;
            }
            let text = annotation.text();
            let same_type = match field.get("type").text() {
                "Unconfined" => text == UNCONFINED,
                "RuntimeDefault" => text == DEFAULT,
                "Localhost" => text.starts_with(LOCAL),
                _ => continue,
            };
            let profile = field.get("localhostProfile");
            if !same_type {
                told.get("type").forbidden(errors, "apparmor type in annotation and field must match");
            } else if let Some(name) = text.strip_prefix(LOCAL)
                && (!profile.is_set() || profile.text() != name)
            {
                told.get("localhostProfile").forbidden(errors, "apparmor profile in annotation and field must match");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_api::object::Object;

    #[test]
    fn annotations_name_containers_of_any_list() {
        let check = |name: &str, expected: usize| {
            let pod = json!({
                "metadata": {"annotations": {(format!("{PREFIX}{name}")): DEFAULT}},
                "spec": {
                    "initContainers": [{"name": "a"}],
                    "containers": [{"name": "b"}],
                    "ephemeralContainers": [{"name": "c"}],
                },
            });
            let pod = Object::from_value(pod).expect("an object");
            let at = At::object(&pod);
            let metadata = at.get("metadata");
            let mut errors = FieldErrors::default();
            annotations(metadata.get("annotations"), at.get("spec"), &mut errors);
            assert_eq!(errors.len(), expected, "{name}");
        };
        for (name, expected) in [("a", 0), ("b", 0), ("c", 0), ("d", 1)] {
            check(name, expected);
        }
    }
}
