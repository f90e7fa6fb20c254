//! StorageClasses: ways to provide volumes.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::checks::{immutable, one_of, required_one_of};
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use sampan_api::names;

pub(super) fn row() -> Resource {
    Resource::new("storage.k8s.io", "v1", "storageclasses", "StorageClass")
        .cluster_scoped()
        .short_names(["sc"])
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    returns_deleted_object: true,
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        let at = At::object(object);
        let provisioner = at.get("provisioner");
        if provisioner.is_empty() {
            provisioner.required(&mut errors, "");
        } else {
            let lower = provisioner.text().to_lowercase();
            provisioner.invalid_each_as(&mut errors, &lower, names::qualified_name(&lower));
        }
        one_of(at.get("reclaimPolicy"), &mut errors, &["Delete", "Retain"]);
        required_one_of(at.get("volumeBindingMode"), &mut errors, &["Immediate", "WaitForFirstConsumer"]);
        errors
    }),
    validate_update: Some(|_, object, old| {
        let mut errors = FieldErrors::default();
        let (at, old) = (At::object(object), At::object(old));
        for field in ["parameters", "provisioner", "reclaimPolicy"] {
            if at.get(field).value() != old.get(field).value() {
                at.get(field).forbidden(&mut errors, format!("updates to {field} are forbidden."));
            }
        }
        immutable(at.get("volumeBindingMode"), old.get("volumeBindingMode"), &mut errors);
        errors
    }),
    ..Rules::NONE
};

const CELLS: &[(&str, Cell)] = &[("name", |class, _| {
    let default = |annotation| class.annotation(annotation) == Some("true");
    match IS_DEFAULT.into_iter().any(default) {
        true => format!("{} (default)", class.name()).into(),
        false => class.name().into(),
    }
})];

/// The annotations that make a class the one of claims that name none.
const IS_DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
