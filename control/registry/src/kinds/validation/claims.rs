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
    data_sources(at, errors);
    if at.get("volumeAttributesClassName").is_set() && !at.get("volumeAttributesClassName").is_empty() {
        named(at.get("volumeAttributesClassName"), errors, names::dns1123_subdomain);
    }
}

/// Where the data of a new volume comes from, by the old field and the new one, which say the same if both are there.
fn data_sources(at: At<'_>, errors: &mut FieldErrors) {
    let (old, new) = (at.get("dataSource"), at.get("dataSourceRef"));
    for source in [old, new] {
        if !source.is_set() {
            continue;
        }
        required_text(source.get("name"), errors);
        required_text(source.get("kind"), errors);
        let (group, kind) = (source.get("apiGroup"), source.get("kind").text());
        if group.is_empty() && kind != "PersistentVolumeClaim" {
            source.invalid_as(errors, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
        }
        if !group.is_empty() {
            named(group, errors, names::dns1123_subdomain);
        }
        if !source.get("namespace").is_empty() {
            named(source.get("namespace"), errors, names::dns1123_label);
        }
    }
    if !old.is_set() || !new.is_set() {
        return;
    }
    let same = ["apiGroup", "kind", "name"].into_iter().all(|name| old.get(name).value() == new.get(name).value());
    // The value that Kubernetes shows is a path, of which nothing is seen.
    let shown = serde_json::json!({});
    if !new.get("namespace").is_empty() {
        at.invalid_as(errors, shown, "may not be specified when dataSourceRef.namespace is specified");
    } else if !same {
        at.invalid_as(errors, shown, "must match dataSourceRef");
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
