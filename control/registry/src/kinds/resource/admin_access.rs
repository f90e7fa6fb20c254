//! Access to devices for administrators, which a label of the namespace allows (pkg/registry/resource/utils.go).

use super::super::validation::At;
use crate::strategy::Context;
use sampan_api::field::{FieldError, FieldErrors};
use sampan_api::object::Object;

const LABEL: &str = "resource.kubernetes.io/admin-access";

/// A list whose elements may ask for the access, and where in an element they say so.
struct Asked {
    list: &'static [&'static str],
    within: &'static [&'static str],
    /// The list in errors, which is that of a claim also for a template.
    told: &'static [&'static str],
}

const REQUESTS: &[&str] = &["spec", "devices", "requests"];
const RESULTS: &[&str] = &["status", "allocation", "devices", "results"];
const CLAIM: Asked = Asked { list: REQUESTS, within: &["exactly"], told: REQUESTS };
const TEMPLATE: Asked = Asked { list: &["spec", "spec", "devices", "requests"], within: &["exactly"], told: REQUESTS };
const STATUS: Asked = Asked { list: RESULTS, within: &[], told: RESULTS };

/// Whether the namespace is looked at for a claim.
pub(super) fn of_claim(claim: &Object) -> bool {
    CLAIM.first(claim).is_some() || STATUS.first(claim).is_some()
}

/// Whether the namespace is looked at for a template.
pub(super) fn of_template(template: &Object) -> bool {
    TEMPLATE.first(template).is_some()
}

/// Checks a new claim.
pub(super) fn claim(ctx: &Context<'_>, claim: &Object, errors: &mut FieldErrors) {
    CLAIM.check(ctx, claim, errors);
}

/// Checks a new template.
pub(super) fn template(ctx: &Context<'_>, template: &Object, errors: &mut FieldErrors) {
    TEMPLATE.check(ctx, template, errors);
}

/// Checks a claim's status. Access that was given is not looked at again.
pub(super) fn status(ctx: &Context<'_>, claim: &Object, old: &Object, errors: &mut FieldErrors) {
    if STATUS.first(old).is_none() {
        STATUS.check(ctx, claim, errors);
    }
}

impl Asked {
    /// The first element that asks.
    fn first(&self, object: &Object) -> Option<usize> {
        let list = object.get(self.list)?.as_array()?;
        let asks = |one: &serde_json::Value| {
            let place = self.within.iter().try_fold(one, |one, name| one.get(name));
            place.is_some_and(|place| place["adminAccess"] == true)
        };
        list.iter().position(asks)
    }

    fn check(&self, ctx: &Context<'_>, object: &Object, errors: &mut FieldErrors) {
        let Some(index) = self.first(object) else { return };
        let root = At::object(object);
        let path = self.told.iter().fold(root.path(), |path, name| path.child(name)).index(index).child("adminAccess");
        let Some(home) = ctx.home else {
            let why = format!(
                "could not retrieve namespace to verify admin access: namespaces {:?} not found",
                ctx.namespace
            );
            return errors.push(FieldError::internal(&path, why));
        };
        if home.label(LABEL) != Some("true") {
            let why = format!("admin access to devices requires the `{LABEL}: true` label on the containing namespace");
            errors.push(FieldError::forbidden(&path, why));
        }
    }
}
