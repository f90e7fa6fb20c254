//! MutatingAdmissionPolicyBindings: the scope of a policy that changes objects, and its parameters.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::{At, FieldErrors};
use super::matching;
use super::validating_admission_policy_binding::{CELLS, scope};
use crate::resource::Resource;
use crate::strategy::{Generation, MetadataOfUpdate};

pub(super) fn row() -> Resource {
    Resource::new(
        "admissionregistration.k8s.io",
        "v1beta1",
        "mutatingadmissionpolicybindings",
        "MutatingAdmissionPolicyBinding",
    )
    .cluster_scoped()
    .categories(["api-extensions"])
    .strategy(RULES)
    .table(CELLS)
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Creation),
    finalizers_without_domain: true,
    validate: Some(|_, binding| {
        let mut errors = FieldErrors::default();
        let at = At::object(binding);
        let spec = at.get("spec");
        scope(spec, &mut errors);
        matching::mutable(spec.get("matchResources").get("resourceRules"), &mut errors);
        errors
    }),
    unconditional_update: false,
    generation: Generation::Spec,
    ..Rules::NONE
};
