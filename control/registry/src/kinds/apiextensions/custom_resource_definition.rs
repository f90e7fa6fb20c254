//! CustomResourceDefinitions: kinds that users add.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::Resource;
use crate::strategy::{Context, Generation};
use sampan_api::object::Object;
use sampan_api::time;
use serde_json::{Value, json};

pub(super) fn row() -> Resource {
    Resource::new("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")
        .cluster_scoped()
        .short_names(["crd", "crds"])
        .categories(["api-extensions"])
        .view("status")
        .defines_resources()
        .resets("status", &[&["metadata"], &["spec"]])
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    unconditional_update: false,
    generation: Generation::Spec,
    finalizing: Some(|definition| definition.deletion_timestamp().is_none()),
    prepare_for_deletion: Some(begin_deletion),
    ..Rules::NONE
};

/// Keeps a definition until its instances are gone.
const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

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
