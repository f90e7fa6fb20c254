//! ResourceClaims: requests for devices.

use super::super::columns::{Cell, Tabled};
use super::super::rules::Rules;
use super::super::validation::checks::{Facts, facts, immutable, named, positive, required_named};
use super::super::validation::{At, FieldErrors};
use super::requests::{CONFIGURATIONS_MAX, REQUESTS_MAX, Requests, fits, once};
use super::{admin_access, claim_status, selectors};
use crate::resource::Resource;
use crate::strategy::{Context, MetadataOfUpdate};
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
    metadata_of_update: Some(MetadataOfUpdate::Both),
    returns_deleted_object: true,
    asks_for_namespace: Some(admin_access::of_claim),
    validate: Some(|ctx, claim| {
        let mut errors = FieldErrors::default();
        admin_access::claim(ctx, claim, &mut errors);
        spec(ctx, At::object(claim).get("spec"), &mut errors);
        errors
    }),
    validate_update: Some(|_, claim, old| {
        let mut errors = FieldErrors::default();
        let (at, old) = (At::object(claim), At::object(old));
        immutable(at.get("spec"), old.get("spec"), &mut errors);
        errors
    }),
    prepare_for_update: Some(|ctx, claim, old| {
        if ctx.subresource == "status" {
            claim_status::drop_deallocated(claim, old);
        }
    }),
    validate_status: Some(|ctx, claim, old| {
        let mut errors = FieldErrors::default();
        admin_access::status(ctx, claim, old, &mut errors);
        claim_status::check(claim, old, &mut errors);
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

const ALTERNATIVES_MAX: usize = 8;
const CONSTRAINTS_MAX: usize = 32;

static CONFIGURATION: Facts = Facts::new(|| facts("resource/v1.DeviceClaimConfiguration", "configuration"));

/// A claim's spec, or that of a template.
pub(super) fn spec(ctx: &Context<'_>, at: At<'_>, errors: &mut FieldErrors) {
    let devices = at.get("devices");
    let requests = devices.get("requests");
    let known = Requests::of(requests.value());
    if fits(requests, REQUESTS_MAX, errors) {
        requests.items().for_each(|one| request(ctx, one, errors));
        once(requests, "name", errors);
    }
    let constraints = devices.get("constraints");
    if fits(constraints, CONSTRAINTS_MAX, errors) {
        for constraint in constraints.items() {
            known.check(constraint.get("requests"), errors);
            let (same, distinct) = (constraint.get("matchAttribute"), constraint.get("distinctAttribute"));
            match (same.is_set(), distinct.is_set()) {
                (true, _) => attribute(same, errors),
                (false, true) => attribute(distinct, errors),
                (false, false) => same.required(errors, ""),
            }
        }
    }
    let configurations = devices.get("config");
    if fits(configurations, CONFIGURATIONS_MAX, errors) {
        for configuration in configurations.items() {
            known.check(configuration.get("requests"), errors);
            CONFIGURATION.check(configuration, errors);
        }
    }
}

fn request(ctx: &Context<'_>, request: At<'_>, errors: &mut FieldErrors) {
    named(request.get("name"), errors, names::dns1123_label);
    let (exactly, alternatives) = (request.get("exactly"), request.get("firstAvailable"));
    match (exactly.is_set(), !alternatives.is_empty()) {
        (false, false) => request.required(errors, "exactly one of `exactly` or `firstAvailable` is required"),
        (true, true) => request.invalid_as(
            errors,
            Value::Null,
            "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set",
        ),
        (true, false) => allocation(ctx, exactly, errors),
        (false, true) => {
            if fits(alternatives, ALTERNATIVES_MAX, errors) {
                for alternative in alternatives.items() {
                    named(alternative.get("name"), errors, names::dns1123_label);
                    allocation(ctx, alternative, errors);
                }
                once(alternatives, "name", errors);
            }
        }
    }
}

fn allocation(ctx: &Context<'_>, at: At<'_>, errors: &mut FieldErrors) {
    required_named(at.get("deviceClassName"), errors, names::dns1123_subdomain);
    selectors::list(ctx, at.get("selectors"), errors);
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

/// A domain and a C identifier.
fn attribute(at: At<'_>, errors: &mut FieldErrors) {
    match at.text().split_once('/') {
        None => {
            super::identifier(at, at.text(), errors);
            at.invalid(errors, "a fully qualified name must be a domain and a name separated by a slash");
        }
        Some(_) => super::qualified(at, at.text(), errors),
    }
}
