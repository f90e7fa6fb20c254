//! CustomResourceDefinitions: kinds that users add.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::Resource;
use crate::strategy::Generation;

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

const RULES: Rules = Rules { unconditional_update: false, generation: Generation::Spec, ..Rules::NONE };
