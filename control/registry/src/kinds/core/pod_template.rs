//! PodTemplates: templates of pods as objects of their own.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::pod_spec;
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::Generation;

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "podtemplates", "PodTemplate").strategy(RULES).table(&[])
}

const RULES: Rules = Rules {
    returns_deleted_object: true,
    pods: Some(&["template"]),
    validate: Some(|ctx, object| {
        let mut errors = FieldErrors::default();
        pod_spec::template(ctx, At::object(object).get("template"), &mut errors);
        errors
    }),
    generation: Generation::By(|new, old| new.get(&["template"]) != old.get(&["template"])),
    ..Rules::NONE
};
