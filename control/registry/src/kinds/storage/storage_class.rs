//! StorageClasses: ways to provide volumes.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use crate::resource::Resource;

pub(super) fn row() -> Resource {
    Resource::new("storage.k8s.io", "v1", "storageclasses", "StorageClass")
        .cluster_scoped()
        .short_names(["sc"])
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules { returns_deleted_object: true, ..Rules::NONE };

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
