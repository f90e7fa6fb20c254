//! ResourceClaims: requests for devices.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::checks::{positive, required_named};
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::Value;

pub(super) fn row() -> Resource {
    Resource::new("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim")
        .view("status")
        .resets("status", &[&["metadata"], &["spec"]])
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    returns_deleted_object: true,
    validate: Some(|_, claim| {
        let mut errors = FieldErrors::default();
        spec(At::object(claim).get("spec"), &mut errors);
        errors
    }),
    validate_update: Some(|ctx, claim, old| {
        let mut errors = FieldErrors::default();
        let (at, old) = (At::object(claim), At::object(old));
        if ctx.subresource.is_empty() {
            super::super::validation::checks::immutable(at.get("spec"), old.get("spec"), &mut errors);
        }
        errors
    }),
    ..Rules::NONE
};

const CELLS: &[(&str, Cell)] = &[("state", |claim, _| state(claim).into())];

fn state(claim: &Object) -> String {
    let deleted = claim.deletion_timestamp().is_some();
    let reserved = claim.get(&["status", "reservedFor"]).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let allocated = claim.get(&["status", "allocation"]).is_some_and(Value::is_object);
    let words = [
        (deleted, "deleted"),
        (!allocated && !deleted, "pending"),
        (allocated, "allocated"),
        (allocated && reserved, "reserved"),
    ];
    words.into_iter().filter(|(shown, _)| *shown).map(|(_, word)| word).collect::<Vec<_>>().join(",")
}

/// A claim's spec, or that of a template.
pub(super) fn spec(at: At<'_>, errors: &mut FieldErrors) {
    let devices = at.get("devices");
    let requests = devices.get("requests");
    for request in requests.items() {
        required_named(request.get("name"), errors, names::dns1123_label);
        let (exactly, alternatives) = (request.get("exactly"), request.get("firstAvailable"));
        match (exactly.is_set(), !alternatives.is_empty()) {
            (false, false) => request.required(errors, "exactly one of `exactly` or `firstAvailable` is required"),
            (true, true) => request.invalid_as(
                errors,
                Value::Null,
                "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set",
            ),
            (true, false) => allocation(exactly, errors),
            (false, true) => {
                for alternative in alternatives.items() {
                    required_named(alternative.get("name"), errors, names::dns1123_label);
                    allocation(alternative, errors);
                }
            }
        }
    }
}

fn allocation(at: At<'_>, errors: &mut FieldErrors) {
    required_named(at.get("deviceClassName"), errors, names::dns1123_subdomain);
    let (mode, count) = (at.get("allocationMode"), at.get("count"));
    match mode.text() {
        "All" => {
            if count.number() != 0 {
                count.invalid(errors, "must not be specified when allocationMode is 'All'");
            }
        }
        "ExactCount" => positive(count, errors),
        _ => mode.not_supported(errors, &["All", "ExactCount"]),
    }
}
