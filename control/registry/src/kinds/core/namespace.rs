//! Namespaces.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::{At, FieldErrors};
use crate::resource::{HistoryClass, Resource, Subresource, SubresourceBody, Verbs};
use crate::shapes::restore;
use crate::strategy::{Context, MetadataOfUpdate};
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::{Value, json};

/// The finalizer that every namespace begins with: its controller takes it out once the namespace is empty.
const FINALIZER: &str = "kubernetes";

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "namespaces", "Namespace")
        .cluster_scoped()
        .names_namespaces()
        .short_names(["ns"])
        .verbs(Verbs::ALL.without(Verbs::DELETE_COLLECTION))
        .subresource(Subresource::new("finalize", None, Verbs::UPDATE, SubresourceBody::View))
        .view("status")
        .resets("finalize", &[&["status"]])
        .selectable("status.phase")
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Both),
    returns_deleted_object: true,
    validate: Some(|_, namespace| {
        let mut errors = FieldErrors::default();
        finalizers(At::object(namespace), &mut errors);
        errors
    }),
    validate_update: Some(|ctx, namespace, _| {
        let mut errors = FieldErrors::default();
        let at = At::object(namespace);
        match ctx.subresource {
            "finalize" => finalizers(at, &mut errors),
            "status" => phase(namespace, &mut errors),
            _ => {}
        }
        errors
    }),
    name: names::dns1123_label,
    prepare_for_create: Some(prepare_for_create),
    prepare_for_update: Some(prepare_for_update),
    finalizing: Some(|namespace| {
        namespace.get(&["spec", "finalizers"]).and_then(Value::as_array).is_some_and(|list| !list.is_empty())
    }),
    prepare_for_deletion: Some(|_, namespace| namespace.set(&["status", "phase"], "Terminating")),
    canonicalize: Some(label_name),
    ..Rules::NONE
};

/// A namespace begins Active, with the finalizer, and with its name as a label, so that selectors can name it.
fn prepare_for_create(_: &Context<'_>, namespace: &mut Object) {
    namespace.set(&["status"], json!({"phase": "Active"}));
    let finalizers = namespace.get(&["spec", "finalizers"]).and_then(Value::as_array).cloned().unwrap_or_default();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        let mut finalizers = finalizers;
        finalizers.push(FINALIZER.into());
        namespace.set(&["spec", "finalizers"], finalizers);
    }
}

/// Finalizers, the whole of the spec, change only through their own view; whoever sends them elsewhere owns them all the
/// same, as Kubernetes has it.
fn prepare_for_update(ctx: &Context<'_>, namespace: &mut Object, old: &Object) {
    if ctx.subresource.is_empty() {
        restore(namespace, old, &["spec"]);
    }
}

/// The label `kubernetes.io/metadata.name` always tells the name.
fn label_name(namespace: &mut Object) {
    let name = namespace.name().to_owned();
    namespace.set(&["metadata", "labels", "kubernetes.io/metadata.name"], name);
}

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

fn finalizers(at: At<'_>, errors: &mut FieldErrors) {
    let spec = at.get("spec");
    let list = spec.get("finalizers");
    for finalizer in list.items() {
        let name = finalizer.text();
        let messages = names::qualified_name(name);
        list.invalid_each_as(errors, name, messages);
        if !name.contains('/') && !matches!(name, FINALIZER | FOREGROUND | ORPHAN) {
            list.invalid_as(errors, name, "name is neither a standard finalizer name nor is it fully qualified");
        }
    }
}

fn phase(namespace: &Object, errors: &mut FieldErrors) {
    let at = At::object(namespace);
    let status = at.get("status");
    let phase = status.get("phase").text();
    let (wanted, when) = match namespace.deletion_timestamp() {
        None => ("Active", "empty"),
        Some(_) => ("Terminating", "not empty"),
    };
    if phase != wanted {
        // Kubernetes writes the field's name as its own struct does.
        let detail = format!("may only be '{wanted}' if `deletionTimestamp` is {when}");
        status.get("Phase").invalid_as(errors, phase, detail);
    }
}
