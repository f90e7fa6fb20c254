//! Claims of storage: an object's own spec, and those in templates.

use super::At;
use super::checks::{label_selector, named, one_of, required_text};
use super::resources::{canonical, quantity};
use sampan_api::field::FieldErrors;
use sampan_api::names;

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const SINGLE_POD: &str = "ReadWriteOncePod";

/// The spec of a claim or of a template of claims.
pub(in crate::kinds) fn claim_spec(at: At<'_>, errors: &mut FieldErrors) {
    access_modes(at.get("accessModes"), errors);
    let resources = at.get("resources");
    let requests = resources.get("requests");
    let size = requests.key("storage");
    match quantity(size.value()) {
        // Kubernetes names the resource at the list's parent.
        None => resources.key("storage").required(errors, ""),
        Some(size_wanted) => {
            if size_wanted.is_negative() || size_wanted.is_zero() {
                resources.key("storage").invalid_as(errors, canonical(size.value()), "must be greater than zero");
            }
        }
    }
    label_selector(at.get("selector"), errors);
    let class = at.get("storageClassName");
    if !class.is_empty() {
        named(class, errors, names::dns1123_subdomain);
    }
    one_of(at.get("volumeMode"), errors, &["Block", "Filesystem"]);
    for source in ["dataSource", "dataSourceRef"] {
        let source = at.get(source);
        if !source.is_set() {
            continue;
        }
        required_text(source.get("name"), errors);
        required_text(source.get("kind"), errors);
        let group = source.get("apiGroup");
        if group.is_empty() && source.get("kind").text() != "PersistentVolumeClaim" {
            source.invalid(errors, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
        }
        if !group.is_empty() {
            named(group, errors, names::dns1123_subdomain);
        }
    }
    if at.get("volumeAttributesClassName").is_set() && !at.get("volumeAttributesClassName").is_empty() {
        named(at.get("volumeAttributesClassName"), errors, names::dns1123_subdomain);
    }
}

pub(in crate::kinds) fn access_modes(at: At<'_>, errors: &mut FieldErrors) {
    if at.is_empty() {
        at.required(errors, "at least 1 access mode is required");
    }
    let modes = at.texts();
    for mode in &modes {
        if !ACCESS_MODES.contains(mode) {
            at.not_supported_as(errors, *mode, &ACCESS_MODES);
        }
    }
    if modes.contains(&SINGLE_POD) && modes.len() > 1 {
        at.forbidden(errors, "may not use ReadWriteOncePod with other access modes");
    }
}
