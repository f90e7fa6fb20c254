//! DaemonSets: a pod on each node.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::{HistoryClass, Resource};
use crate::strategy::{Context, Generation};
use sampan_api::object::Object;
use serde_json::json;

/// Counts the changes of the template. A field once, kept as an annotation for those who read it.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub(super) fn row() -> Resource {
    Resource::new("apps", "v1", "daemonsets", "DaemonSet")
        .short_names(["ds"])
        .categories(["all"])
        .view("status")
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    generation: Generation::Spec,
    prepare_for_create: Some(prepare_for_create),
    prepare_for_update: Some(prepare_for_update),
    ..Rules::NONE
};

fn template_generation(object: &Object) -> i64 {
    object.annotation(TEMPLATE_GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn prepare_for_create(_: &Context<'_>, object: &mut Object) {
    object.set(
        &["status"],
        json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0}),
    );
    let generation = template_generation(object).max(1);
    object.set_annotation(TEMPLATE_GENERATION, generation.to_string());
}

fn prepare_for_update(ctx: &Context<'_>, object: &mut Object, old: &Object) {
    if !ctx.subresource.is_empty() {
        return;
    }
    let template = |object: &Object| object.get(&["spec", "template"]).cloned();
    let changed = i64::from(template(object) != template(old));
    object.set_annotation(TEMPLATE_GENERATION, (template_generation(old) + changed).to_string());
}
