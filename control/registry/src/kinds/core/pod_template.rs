//! PodTemplates: templates of pods as objects of their own.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::pod_spec;
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::{Context, Generation};
use sampan_api::object::Object;
use serde_json::Value;

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "podtemplates", "PodTemplate").strategy(RULES).table(&[])
}

const RULES: Rules = Rules {
    returns_deleted_object: true,
    pods: Some(&["template"]),
    validate: Some(|ctx, object| template(ctx, object, None)),
    validate_update: Some(|ctx, object, old| template(ctx, object, old.get(&["template"]))),
    generation: Generation::By(|new, old| new.get(&["template"]) != old.get(&["template"])),
    ..Rules::NONE
};

fn template(ctx: &Context<'_>, object: &Object, old: Option<&Value>) -> FieldErrors {
    let mut errors = FieldErrors::default();
    pod_spec::template(ctx, At::object(object).get("template"), old, &mut errors);
    errors
}
