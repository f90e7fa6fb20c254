//! ResourceClaimTemplates: templates of pods' resource claims.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::checks::{immutable, template_metadata};
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use sampan_api::object::Object;

pub(super) fn row() -> Resource {
    Resource::new("resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate").strategy(RULES).table(&[])
}

const RULES: Rules = Rules {
    returns_deleted_object: true,
    validate: Some(|_, template| {
        let mut errors = FieldErrors::default();
        check(template, &mut errors);
        errors
    }),
    validate_update: Some(|_, template, old| {
        let mut errors = FieldErrors::default();
        let (at, old) = (At::object(template), At::object(old));
        check(template, &mut errors);
        immutable(at.get("spec"), old.get("spec"), &mut errors);
        errors
    }),
    ..Rules::NONE
};

fn check(template: &Object, errors: &mut FieldErrors) {
    let at = At::object(template);
    let spec = at.get("spec");
    template_metadata(spec.get("metadata"), errors);
    super::resource_claim::spec(spec.get("spec"), errors);
}
