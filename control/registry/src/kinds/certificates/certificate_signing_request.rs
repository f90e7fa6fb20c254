//! CertificateSigningRequests: requests for a certificate, their approval and the certificate.

use super::super::columns::{Cell, Tabled, human_duration};
use super::super::core::condition;
use super::super::rules::Rules;
use super::super::validation::checks::required_text;
use super::super::validation::{At, FieldErrors};
use crate::resource::Resource;
use crate::strategy::Context;
use sampan_api::condition::transition_time;
use sampan_api::object::Object;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

pub(super) fn row() -> Resource {
    Resource::new("certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest")
        .cluster_scoped()
        .short_names(["csr"])
        .view("approval")
        .view("status")
        .resets("", &[&["spec"], &["status"]])
        .resets("approval", &[&["spec"], &["status", "certificate"]])
        .unowned("status", &[&["status", "conditions"]])
        .selectable("spec.signerName")
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    name: sampan_api::names::path_segment,
    validate: Some(|_, request| {
        let mut errors = FieldErrors::default();
        spec(At::object(request).get("spec"), &mut errors);
        errors
    }),
    prepare_for_create: Some(|ctx, request| {
        // The server sets the user who asks, whatever was sent.
        request.set(&["spec", "username"], ctx.user.name.as_str());
        request.set(&["spec", "groups"], ctx.user.groups.clone());
        request.remove(&["spec", "uid"]);
        request.remove(&["spec", "extra"]);
        if !ctx.user.uid.is_empty() {
            request.set(&["spec", "uid"], ctx.user.uid.as_str());
        }
        if !ctx.user.extra.is_empty() {
            request.set(&["spec", "extra"], serde_json::json!(ctx.user.extra));
        }
    }),
    prepare_for_update: Some(prepare_for_update),
    validate_update: Some(validate_update),
    ..Rules::NONE
};

const CELLS: &[(&str, Cell)] = &[
    ("requested-duration", |request, _| {
        let seconds = request.get(&["spec", "expirationSeconds"]).and_then(Value::as_i64);
        seconds.map_or_else(|| "<none>".into(), |seconds| human_duration(seconds).into())
    }),
    ("condition", |request, _| state(request).into()),
];

fn state(request: &Object) -> String {
    let has = |type_: &str| condition(request, type_).is_some();
    let mut text = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has("Failed") {
        text.push_str(",Failed");
    }
    if request.get_str(&["status", "certificate"]).is_some_and(|certificate| !certificate.is_empty()) {
        text.push_str(",Issued");
    }
    text
}

const BLOCK: &str = "CERTIFICATE REQUEST";
const LEGACY: &str = "kubernetes.io/legacy-unknown";
const SECONDS_MIN: i64 = 600;

/// New conditions get their times.
fn prepare_for_update(ctx: &Context<'_>, request: &mut Object, old: &Object) {
    let before = old.get(&["status", "conditions"]).and_then(Value::as_array).cloned().unwrap_or_default();
    let now = sampan_api::time::rfc3339(ctx.now);
    let Some(conditions) = request.get_mut(&["status", "conditions"]).and_then(Value::as_array_mut) else { return };
    let mut first: HashMap<Option<&str>, &Value> = HashMap::new();
    for condition in &before {
        first.entry(condition.get("type").and_then(Value::as_str)).or_insert(condition);
    }
    for condition in conditions {
        let same = first.get(&condition.get("type").and_then(Value::as_str)).copied();
        let Some(fields) = condition.as_object_mut() else { continue };
        let unset = |fields: &serde_json::Map<String, Value>, name: &str| fields.get(name).is_none_or(Value::is_null);
        if unset(fields, "lastUpdateTime") {
            fields.insert("lastUpdateTime".to_owned(), now.clone().into());
        }
        if unset(fields, "lastTransitionTime") {
            let old =
                same.and_then(|same| Some((same.get("status")?.as_str()?, same.get("lastTransitionTime").cloned())));
            let status = fields.get("status").and_then(Value::as_str).unwrap_or_default();
            let time = transition_time(old, status, || Some(now.clone().into())).unwrap_or_default();
            fields.insert("lastTransitionTime".to_owned(), time);
        }
    }
}

/// A decision stays, and a certificate is one.
fn validate_update(ctx: &Context<'_>, request: &Object, old: &Object) -> FieldErrors {
    let mut errors = FieldErrors::default();
    let at = At::object(request);
    spec(at.get("spec"), &mut errors);
    let status = at.get("status");
    let certificate = status.get("certificate");
    // "-----BEGIN CERTIFICATE-" in base64, as far as whole groups of three bytes go.
    let block = certificate.text().contains("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0t");
    if ctx.subresource == "status" && !certificate.is_empty() && !block {
        certificate.invalid_as(&mut errors, "<certificate data>", "must contain at least one CERTIFICATE PEM block");
    }
    let has = |object: &Object, type_: &str| condition(object, type_).is_some();
    for type_ in ["Approved", "Denied", "Failed"] {
        if has(old, type_) && !has(request, type_) {
            let detail = format!("updates may not remove a condition of type {type_:?}");
            status.get("conditions").forbidden(&mut errors, detail);
        }
    }
    errors
}

fn spec(at: At<'_>, errors: &mut FieldErrors) {
    let request = at.get("request");
    // "-----BEGIN CERTIFICATE REQUEST" in base64, as far as whole groups of three bytes go.
    if !request.text().starts_with("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNU") {
        request.invalid(errors, format!("PEM block type must be {BLOCK}"));
    }
    required_text(at.get("usages"), errors);
    let usages = at.get("usages");
    let mut seen = HashSet::new();
    for usage in usages.items() {
        if !USAGES.contains(&usage.text()) {
            usage.not_supported(errors, &USAGES);
        }
        if !seen.insert(usage.text().to_owned()) {
            usage.duplicate(errors);
        }
    }
    let signer = at.get("signerName");
    match signer.text() {
        LEGACY => signer.invalid(errors, "the legacy signerName is not allowed via this API version"),
        _ => super::signer::name(signer, errors),
    }
    let seconds = at.get("expirationSeconds");
    if seconds.opt_number().is_some_and(|seconds| seconds < SECONDS_MIN) {
        seconds.invalid(errors, "may not specify a duration less than 600 seconds (10 minutes)");
    }
}

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
