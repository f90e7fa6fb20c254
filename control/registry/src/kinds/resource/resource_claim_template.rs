//! ResourceClaimTemplates: templates of pods' resource claims.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::checks::{immutable, template_metadata};
use super::super::validation::{At, FieldErrors};
use super::{admin_access, resource_claim};
use crate::resource::Resource;

pub(super) fn row() -> Resource {
    Resource::new("resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate").strategy(RULES).table(&[])
}

const RULES: Rules = Rules {
    returns_deleted_object: true,
    asks_for_namespace: Some(admin_access::of_template),
    validate_create: Some(|ctx, template| {
        let mut errors = FieldErrors::default();
        admin_access::template(ctx, template, &mut errors);
        errors
    }),
    validate: Some(|ctx, template| {
        let mut errors = FieldErrors::default();
        let at = At::object(template);
        let spec = at.get("spec");
        template_metadata(spec.get("metadata"), &mut errors);
        resource_claim::spec(ctx, spec.get("spec"), &mut errors);
        errors
    }),
    validate_change: Some(|_, template, old| {
        let mut errors = FieldErrors::default();
        let (at, old) = (At::object(template), At::object(old));
        immutable(at.get("spec"), old.get("spec"), &mut errors);
        errors
    }),
    ..Rules::NONE
};
