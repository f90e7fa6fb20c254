//! AppArmor's annotations of pods, which were there before the field.

use super::At;
use super::warnings::APP_ARMOR;
use sampan_api::field::{FieldErrors, go_quote};

const DEFAULT: &str = "runtime/default";
const UNCONFINED: &str = "unconfined";
const LOCAL: &str = "localhost/";
const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Each annotation names a container and a profile.
pub(super) fn annotations(at: At<'_>, spec: At<'_>, errors: &mut FieldErrors) {
    for (key, annotation) in at.entries() {
        let Some(name) = key.strip_prefix(APP_ARMOR) else { continue };
        let is_there = LISTS.iter().any(|list| spec.get(list).items().any(|one| one.get("name").text() == name));
        if !is_there {
            annotation.invalid_as(errors, name, "container not found");
        }
        let text = annotation.text();
        if !matches!(text, "" | DEFAULT | UNCONFINED) && !text.starts_with(LOCAL) {
            annotation.invalid(errors, format!("invalid AppArmor profile name: {}", go_quote(text)));
        }
    }
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
            let key = format!("{APP_ARMOR}{}", container.get("name").text());
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
