//! CustomResourceDefinitions: kinds that users add.

use super::super::columns::Tabled;
use super::super::core::condition_is;
use super::super::rules::Rules;
use super::super::validation::cursor::At;
use super::{openapi, spec};
use crate::resource::Resource;
use crate::strategy::{Context, Generation, Warned};
use sampan_api::field::{FieldError, FieldErrors, Path};
use sampan_api::object::Object;
use sampan_api::time;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

pub(super) fn row() -> Resource {
    Resource::new("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")
        .kept_at("apiextensions.k8s.io/customresourcedefinitions")
        .cluster_scoped()
        .short_names(["crd", "crds"])
        .categories(["api-extensions"])
        .view("status")
        .defines_resources()
        // Kubernetes means to put the metadata back, and puts the new one's in its place: it is written, and nobody owns it.
        .unowned("status", &[&["metadata"]])
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    finalizers_without_domain: true,
    unconditional_update: false,
    generation: Generation::Spec,
    finalizing: Some(|definition| definition.deletion_timestamp().is_none()),
    prepare_for_create: Some(|_, definition| {
        // The storage asks for it even where nothing is stored yet.
        definition.set(&["status", "acceptedNames"], json!({"kind": "", "plural": ""}));
        definition.set(&["status", "conditions"], Value::Null);
        definition.set(&["status", "storedVersions"], Value::Null);
        note_stored(definition);
    }),
    prepare_for_update: Some(|ctx, definition, _| {
        if ctx.subresource.is_empty() {
            note_stored(definition);
        }
    }),
    prepare_for_deletion: Some(begin_deletion),
    validate: Some(|_, definition| {
        let mut errors = FieldErrors::new();
        let at = At::object(definition);
        let names = at.get("spec");
        let wanted = format!("{}.{}", names.get("names").get("plural").text(), names.get("group").text());
        // Of no name nothing is said but that there is none.
        for (field, given) in [("generateName", definition.generate_name()), ("name", definition.name())] {
            if !given.is_empty() && given != wanted {
                let path = Path::new("metadata").child(field);
                errors.push(FieldError::invalid(&path, given, "must be spec.names.plural+\".\"+spec.group"));
            }
        }
        whole(definition, None, &mut errors);
        errors
    }),
    validate_update: Some(|ctx, definition, old| {
        let mut errors = FieldErrors::new();
        if ctx.subresource == "status" {
            spec::names(At::object(definition).get("status").get("acceptedNames"), &mut errors);
        } else {
            whole(definition, Some(old), &mut errors);
        }
        errors
    }),
    warnings: &[(Warned::Object, |_, definition, old| {
        let before = old.map(unknown_formats).unwrap_or_default();
        let new = unknown_formats(definition).into_iter().filter(|one| !before.contains(one));
        new.map(|one| format_warning(&one)).collect()
    })],
    ..Rules::NONE
};

fn format_warning(format: &str) -> String {
    format!("unrecognized format {}", sampan_api::field::go_quote(format))
}

/// Keeps a definition until its instances are gone.
const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Notes the version that objects are stored in: it stays noted until none is.
fn note_stored(definition: &mut Object) {
    let versions = definition.get(&["spec", "versions"]).and_then(Value::as_array);
    let stored = versions.into_iter().flatten().find(|version| version["storage"] == true);
    let Some(name) = stored.map(|version| version["name"].clone()) else { return };
    let noted = definition.get(&["status", "storedVersions"]).and_then(Value::as_array);
    let mut noted: Vec<Value> = noted.cloned().unwrap_or_default();
    if !noted.contains(&name) {
        noted.push(name);
        definition.set(&["status", "storedVersions"], noted);
    }
}

/// Its instances go first.
fn begin_deletion(ctx: &Context<'_>, definition: &mut Object) {
    if !definition.finalizers().any(|one| one == FINALIZER) {
        let mut finalizers: Vec<Value> = definition.finalizers().map(Value::from).collect();
        finalizers.push(FINALIZER.into());
        definition.set_meta("finalizers", finalizers);
    }
    let conditions = definition.get(&["status", "conditions"]).and_then(Value::as_array);
    let mut conditions: Vec<Value> = conditions.cloned().unwrap_or_default();
    conditions.retain(|one| one["type"] != "Terminating");
    conditions.push(json!({
        "type": "Terminating",
        "status": "True",
        "reason": "InstanceDeletionPending",
        "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        "lastTransitionTime": time::rfc3339(ctx.now),
    }));
    definition.set(&["status", "conditions"], conditions);
}

/// Everything wrong with a definition, its metadata aside.
fn whole(definition: &Object, old: Option<&Object>, errors: &mut FieldErrors) {
    let at = At::object(definition);
    spec::check(at.get("spec"), spec::Options::of(old), errors);
    if let Some(old) = old {
        let established = condition_is(old, "Established", "True");
        let fixed: [(&[&str], bool); 4] = [
            (&["spec", "scope"], established),
            (&["spec", "names", "kind"], established),
            (&["spec", "group"], true),
            (&["spec", "names", "plural"], true),
        ];
        for (path, is_fixed) in fixed {
            let now = definition.get(path);
            if is_fixed && now != old.get(path) {
                let shown = path.iter().fold(Path::root(), |path, name| path.child(name));
                errors.push(FieldError::invalid(&shown, now.cloned().unwrap_or_default(), "field is immutable"));
            }
        }
    }
    spec::names(at.get("status").get("acceptedNames"), errors);
    stored_versions(definition, errors);
    approval(definition, old, errors);
    if at.get("spec").get("preserveUnknownFields").flag() {
        let path = Path::new("spec").child("preserveUnknownFields");
        let why =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(FieldError::invalid(&path, true, why));
    }
}

fn stored_versions(definition: &Object, errors: &mut FieldErrors) {
    let path = Path::new("status").child("storedVersions");
    let stored = definition.get(&["status", "storedVersions"]).cloned().unwrap_or_default();
    let Some(list) = stored.as_array().filter(|list| !list.is_empty()) else {
        errors.push(FieldError::invalid(&path, Value::Null, "must have at least one stored version"));
        return;
    };
    let versions = definition.get(&["spec", "versions"]).and_then(Value::as_array);
    let versions: Vec<&Value> = versions.into_iter().flatten().collect();
    // Of versions of one name the first is found, and no other.
    let mut left: HashMap<Option<&str>, usize> = HashMap::new();
    for name in list {
        *left.entry(name.as_str()).or_default() += 1;
    }
    for version in &versions {
        if errors.is_full() {
            break;
        }
        match left.get_mut(&version["name"].as_str()).filter(|count| **count > 0) {
            Some(count) => *count -= 1,
            None if version["storage"] == true => {
                let name = version["name"].as_str().unwrap_or_default();
                errors.push(FieldError::invalid(&path, &stored, format!("must have the storage version {name}")));
            }
            None => {}
        }
    }
    let known: HashSet<Option<&str>> = versions.iter().map(|version| version["name"].as_str()).collect();
    for (at, name) in list.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            let name = name.as_str().unwrap_or_default();
            let why = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until \
                 a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            errors.push(FieldError::invalid(&path.index(at), name, why));
        }
    }
}

/// The groups of the community's own need an approval.
fn approval(definition: &Object, old: Option<&Object>, errors: &mut FieldErrors) {
    const ANNOTATION: &str = "api-approved.kubernetes.io";
    const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";
    let group = definition.get_str(&["spec", "group"]).unwrap_or_default();
    let is_of = |domain: &str| group == domain || group.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if !is_of("k8s.io") && !is_of("kubernetes.io") {
        return;
    }
    let state = |object: &Object| {
        let given = object.get_str(&["metadata", "annotations", ANNOTATION]).unwrap_or_default();
        let is_url = given.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
        match given {
            "" => 0,
            _ if given.starts_with("unapproved") => 1,
            _ if is_url => 2,
            _ => 3,
        }
    };
    let now = state(definition);
    if old.is_some_and(|old| state(old) == now) {
        return;
    }
    let path = Path::new("metadata").child("annotations").key(ANNOTATION);
    match now {
        0 => errors.push(FieldError::required(
            &path,
            format!("protected groups must have approval annotation \"{ANNOTATION}\", {SEE}"),
        )),
        3 => errors.push(FieldError::invalid(
            &path,
            definition.get_str(&["metadata", "annotations", ANNOTATION]).unwrap_or_default(),
            format!(
                "protected groups must have approval annotation \"{ANNOTATION}\" with either a URL or a reason starting with \
                 \"unapproved\", {SEE}"
            ),
        )),
        _ => {}
    }
}

/// The formats of texts in the schemas that mean nothing.
fn unknown_formats(definition: &Object) -> Vec<String> {
    let mut found = Vec::new();
    let versions = definition.get(&["spec", "versions"]).and_then(Value::as_array);
    for version in versions.into_iter().flatten() {
        openapi::formats(&version["schema"]["openAPIV3Schema"], &mut found);
    }
    found
}
