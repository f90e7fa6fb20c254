//! PriorityClasses: the importance of pods.

use super::super::columns::Tabled;
use super::super::rules::{Rules, facts_alone};
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::Generation;
use sampan_api::object::Object;

pub(super) fn row() -> Resource {
    Resource::new("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass")
        .cluster_scoped()
        .short_names(["pc"])
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        class(object, &mut errors);
        errors
    }),
    validate_update: Some(facts_alone),
    generation: Generation::Constant,
    refuses_deletion: Some(|name| {
        let system = SYSTEM.iter().any(|(system, _)| *system == name);
        system.then_some("this is a system priority class and cannot be deleted")
    }),
    ..Rules::NONE
};

const SYSTEM_PREFIX: &str = "system-";
/// The classes that a cluster begins with: (name, value).
const SYSTEM: [(&str, i64); 2] = [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];
const USER_MAX: i64 = 1_000_000_000;

fn class(object: &Object, errors: &mut FieldErrors) {
    let at = At::object(object);
    let (name, value) = (object.name(), at.get("value"));
    if name.starts_with(SYSTEM_PREFIX) {
        let problem = match SYSTEM.iter().find(|(system, _)| *system == name) {
            None => Some(format!("{name} is not a known system priority class")),
            Some((_, wanted)) if *wanted != value.number() => {
                Some(format!("value of {name} PriorityClass must be {wanted}"))
            }
            Some(_) if at.get("globalDefault").flag() => Some(format!("globalDefault of {name} must be false")),
            Some(_) => None,
        };
        if let Some(problem) = problem {
            let metadata = at.get("metadata");
            let detail = format!(
                "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {problem}"
            );
            metadata.get("name").forbidden(errors, detail);
        }
    } else if value.number() > USER_MAX {
        value.forbidden(errors, format!("maximum allowed value of a user defined priority is {USER_MAX}"));
    }
}
