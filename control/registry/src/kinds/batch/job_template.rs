//! What may become of the template of a Job's pods: nothing, but that a suspended Job's may change in parts.

use super::super::core::condition_is;
use super::super::validation::At;
use super::super::validation::checks::IMMUTABLE;
use crate::strategy::Context;
use sampan_api::field::FieldErrors;
use sampan_api::object::Object;
use serde_json::{Value, json};

/// What says where pods may run, and what marks them.
const DIRECTIVES: [&[&str]; 6] = [
    &["metadata", "annotations"],
    &["metadata", "labels"],
    &["spec", "nodeSelector"],
    &["spec", "tolerations"],
    &["spec", "schedulingGates"],
    &["spec", "affinity", "nodeAffinity"],
];

/// Refuses a change of the template in `spec` that the Job's state before, `old`, does not allow.
pub(super) fn fixed(ctx: &Context<'_>, spec: At<'_>, old: &Object, errors: &mut FieldErrors) {
    let old_at = At::object(old);
    let old_spec = old_at.get("spec");
    let suspended = old_spec.get("suspend").flag();
    let idle = condition_is(old, "Suspended", "True") && old_at.get("status").get("active").number() == 0;
    let directives = match ctx.gates.enabled("MutableSchedulingDirectivesForSuspendedJobs") {
        true => suspended && idle,
        false => suspended && !old_at.get("status").get("startTime").is_set(),
    };
    let resources = suspended && idle && ctx.gates.enabled("MutablePodResourcesForSuspendedJobs");
    let part = |at: At<'_>| {
        let mut template = Object::from_value(at.get("template").value().clone()).unwrap_or_default();
        if directives {
            without_directives(&mut template);
        }
        if resources {
            template.remove(&["metadata"]);
        }
        template
    };
    let (mut template, old_template) = (part(spec), part(old_spec));
    if resources {
        keep_resources(&mut template, &old_template);
    }
    if template != old_template {
        let at = spec.get("template");
        match resources {
            true => at.get("spec").invalid(errors, IMMUTABLE),
            false => at.invalid(errors, IMMUTABLE),
        }
    }
}

fn without_directives(template: &mut Object) {
    for path in DIRECTIVES {
        template.remove(path);
    }
    if template.get(&["spec", "affinity"]) == Some(&json!({})) {
        template.remove(&["spec", "affinity"]);
    }
}

/// Gives the containers that are still of the same name, in lists of the same length, the old ones' resources.
fn keep_resources(template: &mut Object, old: &Object) {
    for list in ["containers", "initContainers"] {
        let path = ["spec", list];
        let before = old.get(&path).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let Some(containers) = template.get_mut(&path).and_then(Value::as_array_mut) else { continue };
        if containers.len() != before.len() {
            continue;
        }
        for (container, before) in containers.iter_mut().zip(before) {
            let Some(fields) = container.as_object_mut().filter(|fields| fields.get("name") == before.get("name"))
            else {
                continue;
            };
            match before.get("resources") {
                Some(resources) => fields.insert("resources".to_owned(), resources.clone()),
                None => fields.remove("resources"),
            };
        }
    }
}
