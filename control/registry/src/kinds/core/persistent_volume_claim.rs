//! PersistentVolumeClaims: requests for storage.

use super::super::columns::{Cell, Tabled, plain};
use super::super::rules::Rules;
use super::super::validation::claims::claim_spec;
use super::super::validation::resources::{basic_quantity, is_native, quantity};
use super::super::validation::warnings;
use super::super::validation::{At, FieldErrors};
use super::persistent_volume::{CLASS_FEATURE, CLASS_FIXED};
use crate::resource::Resource;
use crate::strategy::{Context, MetadataOfUpdate, Warned};
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::json;

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
        .short_names(["pvc"])
        .view("status")
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Both),
    gated: &[
        (CLASS_FEATURE, &["spec", "volumeAttributesClassName"]),
        (CLASS_FEATURE, &["status", "currentVolumeAttributesClassName"]),
        (CLASS_FEATURE, &["status", "modifyVolumeStatus"]),
    ],
    returns_deleted_object: true,
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        claim_spec(At::object(object).get("spec"), &mut errors);
        errors
    }),
    prepare_for_create: Some(|ctx, object| {
        object.set(&["status"], json!({"phase": "Pending"}));
        sources(ctx, object, None);
    }),
    prepare_for_update: Some(|ctx, object, old| {
        if ctx.subresource.is_empty() {
            sources(ctx, object, Some(old));
        }
    }),
    validate_update: Some(validate_update),
    validate_status: Some(|_, claim, _| {
        let mut errors = FieldErrors::default();
        status(At::object(claim).get("status"), &mut errors);
        errors
    }),
    warnings: &[(Warned::Object, |_, claim, _| {
        let mut all = Vec::new();
        if claim.annotation(super::persistent_volume::CLASS).is_some() {
            let text = "deprecated since v1.8; use \"storageClassName\" attribute instead";
            all.push(format!("metadata.annotations[{}]: {text}", super::persistent_volume::CLASS));
        }
        warnings::claim(At::object(claim).get("spec"), &mut all);
        all
    })],
    ..Rules::NONE
};

/// The source of a volume's data has an old field and a new one: each is filled in from the other. Sources of other
/// namespaces are a feature, and have no old form.
fn sources(ctx: &Context<'_>, claim: &mut Object, old: Option<&Object>) {
    const OLD: [&str; 2] = ["spec", "dataSource"];
    const NEW: [&str; 2] = ["spec", "dataSourceRef"];
    let far = |claim: &Object| claim.get_str(&[NEW[0], NEW[1], "namespace"]).is_some_and(|name| !name.is_empty());
    let old_has = |path: &[&str]| old.is_some_and(|old| old.get(path).is_some_and(|source| source.is_object()));
    let text = |claim: &Object, name: &str| claim.get_str(&[OLD[0], OLD[1], name]).unwrap_or("").to_owned();
    let known = match text(claim, "apiGroup").as_str() {
        "" => text(claim, "kind") == "PersistentVolumeClaim",
        group => group == "snapshot.storage.k8s.io" && text(claim, "kind") == "VolumeSnapshot",
    };
    if far(claim) && !old.is_some_and(far) && !ctx.gates.enabled("CrossNamespaceVolumeDataSource") {
        claim.remove(&NEW);
    }
    // The old field knows two kinds of sources: clients of its time send others, and mean nothing by it.
    if !known && !old_has(&OLD) && !old_has(&NEW) && claim.get(&NEW).is_none_or(serde_json::Value::is_null) {
        claim.remove(&OLD);
    }
    match (claim.get(&OLD).cloned(), claim.get(&NEW).cloned()) {
        (Some(source), None) => claim.set(&NEW, source),
        (None, Some(source)) if !far(claim) => {
            let mut source = source;
            if let Some(source) = source.as_object_mut() {
                source.remove("namespace");
                source.entry("apiGroup").or_insert(serde_json::Value::Null);
            }
            claim.set(&OLD, source);
        }
        _ => {}
    }
}

const CELLS: &[(&str, Cell)] = &[
    ("phase", |claim, _| super::phase(claim).into()),
    ("capacity", |claim, _| match bound(claim) {
        true => claim.get(&["status", "capacity", "storage"]).map_or_else(|| "0".into(), |size| plain(size).into()),
        false => "".into(),
    }),
    ("access-modes", |claim, _| match bound(claim) {
        true => super::access_modes(claim.get(&["status", "accessModes"])).into(),
        false => "".into(),
    }),
    ("storage-class", |claim, _| super::storage_class(claim).into()),
];

fn bound(claim: &Object) -> bool {
    claim.get_str(&["spec", "volumeName"]).is_some_and(|name| !name.is_empty())
}

fn validate_update(ctx: &Context<'_>, object: &Object, old: &Object) -> FieldErrors {
    let mut errors = FieldErrors::default();
    let (at, old_at) = (At::object(object), At::object(old));
    let (new_spec, old_spec) = (at.get("spec"), old_at.get("spec"));
    claim_spec(new_spec, &mut errors);
    let bound = object.get_str(&["status", "phase"]) == Some("Bound");
    let names_class = class_named_later(object, old, &mut errors);
    let fixed = |object: &Object| {
        let mut object = Object::from_value(object.get(&["spec"]).cloned().unwrap_or(json!({}))).unwrap_or_default();
        if old_spec.get("volumeName").is_empty() {
            object.remove(&["volumeName"]);
        }
        if names_class {
            object.remove(&["storageClassName"]);
        }
        if bound {
            object.remove(&["resources", "requests", "storage"]);
            object.remove(&["volumeAttributesClassName"]);
        }
        object.into_value()
    };
    let (new_fixed, old_fixed) = (fixed(object), fixed(old));
    if new_fixed != old_fixed {
        let difference = match (old_fixed.as_object(), new_fixed.as_object()) {
            (Some(old), Some(new)) => super::super::validation::change::diff(old, new),
            _ => String::new(),
        };
        let detail = format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n{difference}"
        );
        new_spec.forbidden(&mut errors, detail);
    }
    let size = |object: &Object, path: &[&str]| object.get(path).and_then(quantity).unwrap_or_default();
    let path = ["spec", "resources", "requests", "storage"];
    let wanted = size(object, &path);
    if wanted < size(old, &path) && wanted <= size(object, &["status", "capacity", "storage"]) {
        let resources = new_spec.get("resources");
        let requests = resources.get("requests");
        requests.get("storage").forbidden(&mut errors, "field can not be less than status.capacity");
    }
    if new_spec.get("volumeMode").value() != old_spec.get("volumeMode").value() {
        at.get("volumeMode").invalid_as(
            &mut errors,
            new_spec.get("volumeMode").value(),
            super::super::validation::checks::IMMUTABLE,
        );
    }
    let (class, before) = (new_spec.get("volumeAttributesClassName"), old_spec.get("volumeAttributesClassName"));
    let in_force = old.get(&["status", "currentVolumeAttributesClassName"]).is_some_and(|class| class.is_string());
    if class.value() != before.value() && !ctx.gates.enabled(CLASS_FEATURE) {
        class.forbidden(&mut errors, CLASS_FIXED);
    }
    if class.value() != before.value() && in_force && class.is_empty() {
        let what = if class.is_set() { "empty string" } else { "nil" };
        let text = "is forbidden when status.currentVolumeAttributesClassName is not nil";
        class.forbidden(&mut errors, format!("update to {what} {text}"));
    }
    errors
}

/// Whether the update names the class of a claim that had none, or had it in the old annotation, which may not change otherwise.
fn class_named_later(claim: &Object, old: &Object, errors: &mut FieldErrors) -> bool {
    const CLASS: &str = super::persistent_volume::CLASS;
    let class = |claim: &Object| claim.get_str(&["spec", "storageClassName"]).map(str::to_owned);
    let (new, before) = (class(claim), old.annotation(CLASS));
    let named = new.is_some() && class(old).is_none() && before.is_none_or(|before| new.as_deref() == Some(before));
    let (kept, at) = (claim.annotation(CLASS), At::object(claim));
    let moved = named && before.is_some() && kept.is_none_or(|kept| Some(kept) == before);
    if !moved && kept.unwrap_or("") != before.unwrap_or("") {
        let metadata = at.get("metadata");
        let annotations = metadata.get("annotations");
        annotations.get(CLASS).invalid_as(errors, kept.unwrap_or(""), super::super::validation::checks::IMMUTABLE);
    }
    named
}

/// How far the growth of a claimed resource is, as a status may say it.
const RESIZES: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

/// Amounts of a status: what is there, what is being made of it, and how far that is (ValidatePersistentVolumeClaimStatusUpdate).
fn status(status: At<'_>, errors: &mut FieldErrors) {
    let capacity = status.get("capacity");
    for (_, amount) in capacity.entries() {
        basic_quantity(amount, errors);
    }
    let resizes = status.get("allocatedResourceStatuses");
    for (name, resize) in resizes.entries() {
        resource_key(resizes, name, errors);
        if !RESIZES.contains(&resize.text()) {
            resizes.not_supported_as(errors, name, &RESIZES);
        }
    }
    let allocated = status.get("allocatedResources");
    for (name, amount) in allocated.entries() {
        let before = errors.len();
        resource_key(allocated, name, errors);
        if errors.len() == before {
            basic_quantity(amount, errors);
        }
    }
}

/// A resource that a claim may name: `storage`, or one of another domain than Kubernetes' own.
fn resource_key(at: At<'_>, name: &str, errors: &mut FieldErrors) {
    let wrong = names::qualified_name(name);
    if wrong.is_empty() && is_native(name) && name != "storage" {
        at.not_supported_as(errors, name, &["storage"]);
    }
    at.invalid_each_as(errors, name, wrong);
}
