//! CertificateSigningRequests: requests for a certificate, their approval and the certificate.

use super::super::columns::{Cell, Tabled, human_duration};
use super::super::core::condition;
use super::super::rules::Rules;
use super::super::validation::checks::required_text;
use super::super::validation::{At, FieldErrors};
use super::public_key::bytes;
use super::signer;
use crate::resource::Resource;
use crate::strategy::{Context, MetadataOfUpdate};
use sampan_api::condition::transition_time;
use sampan_api::field::go_quote;
use sampan_api::object::Object;
use sampan_schema::certificates::blocks;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

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
    metadata_of_update: Some(MetadataOfUpdate::Both),
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

/// What approves or denies a request. Written through `approval` alone.
const DECISIONS: [&str; 2] = ["Approved", "Denied"];
/// The conditions that are true, or not there.
const TRUE_ALONE: [&str; 3] = ["Approved", "Denied", "Failed"];

/// Whoever writes the status changes no decision that is there, and new conditions get their times.
fn prepare_for_update(ctx: &Context<'_>, request: &mut Object, old: &Object) {
    let before = old.get(&["status", "conditions"]).and_then(Value::as_array).cloned().unwrap_or_default();
    let now = sampan_api::time::rfc3339(ctx.now);
    let Some(conditions) = request.get_mut(&["status", "conditions"]).and_then(Value::as_array_mut) else { return };
    if ctx.subresource == "status" {
        DECISIONS.iter().for_each(|type_| keep(type_, conditions, &before));
    }
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

/// The conditions of that type are as they were, where there are as many (preserveConditionInstances).
fn keep(type_: &str, conditions: &mut [Value], before: &[Value]) {
    let is = |condition: &Value| condition["type"] == type_;
    let kept: Vec<&Value> = before.iter().filter(|condition| is(condition)).collect();
    if conditions.iter().filter(|condition| is(condition)).count() == kept.len() {
        let places = conditions.iter_mut().filter(|condition| is(condition));
        places.zip(kept).for_each(|(place, old)| *place = old.clone());
    }
}

/// Decisions stay and are made by an approval alone; a certificate is one, and stays
/// (validateCertificateSigningRequestUpdate, pkg/apis/certificates/validation).
fn validate_update(ctx: &Context<'_>, request: &Object, old: &Object) -> FieldErrors {
    let mut errors = FieldErrors::default();
    let (at, old_at) = (At::object(request), At::object(old));
    spec(at.get("spec"), &mut errors);
    let (status, before) = (at.get("status"), old_at.get("status"));
    let (list, old_list) = (status.get("conditions"), before.get("conditions"));
    conditions(list, old_list, &mut errors);
    let (certificate, held) = (status.get("certificate"), before.get("certificate"));
    let replaced = certificate.text() != held.text();
    // What was none before may become another that is none.
    if replaced
        && fault(held).is_none()
        && let Some(why) = fault(certificate)
    {
        certificate.invalid_as(&mut errors, "<certificate data>", why);
    }
    let changed = |type_: &str| count(list, type_).cmp(&count(old_list, type_));
    for type_ in TRUE_ALONE.iter().filter(|type_| changed(type_).is_lt()) {
        list.forbidden(&mut errors, format!("updates may not remove a condition of type {}", go_quote(type_)));
    }
    if ctx.subresource != "approval" {
        for type_ in DECISIONS.iter().filter(|type_| changed(type_).is_gt()) {
            list.forbidden(&mut errors, format!("updates may not add a condition of type {}", go_quote(type_)));
        }
    }
    if replaced && !held.is_empty() {
        certificate.forbidden(&mut errors, "updates may not modify existing certificate content");
    }
    errors
}

/// How many conditions of the type there are.
fn count(list: At<'_>, type_: &str) -> usize {
    list.value().as_array().into_iter().flatten().filter(|condition| condition["type"] == type_).count()
}

/// Conditions with a type, each once, and not both decisions; what is wrong with the old ones so may stay.
fn conditions(list: At<'_>, old: At<'_>, errors: &mut FieldErrors) {
    let types = |list: At<'_>| -> Vec<String> {
        let all = list.value().as_array().into_iter().flatten();
        all.map(|condition| condition["type"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let before = types(old);
    let distinct: HashSet<&String> = before.iter().collect();
    let repeated = distinct.len() < before.len();
    let untyped = count(old, "") > 0;
    let both = DECISIONS.iter().all(|type_| count(old, type_) > 0);
    let mut seen: HashSet<String> = HashSet::new();
    for (condition, name) in list.items().zip(types(list)) {
        let (type_, status) = (condition.get("type"), condition.get("status"));
        if name.is_empty() && !untyped {
            type_.required(errors, "");
        }
        let known: &[&str] =
            if TRUE_ALONE.contains(&name.as_str()) { &["True"] } else { &["False", "True", "Unknown"] };
        if status.is_empty() {
            status.required(errors, "");
        } else if !known.contains(&status.text()) {
            status.not_supported(errors, known);
        }
        let decides = DECISIONS.contains(&name.as_str());
        if decides && !both && DECISIONS.iter().any(|other| *other != name && seen.contains(*other)) {
            list.invalid_as(errors, name.as_str(), "Approved and Denied conditions are mutually exclusive");
        }
        if seen.contains(&name) && !repeated {
            type_.duplicate_as(errors, name.as_str());
        }
        seen.insert(name);
    }
}

/// What is wrong with certificates in PEM, of which nothing at all is no fault (validateCertificate).
fn fault(at: At<'_>) -> Option<String> {
    const CERTIFICATE: &str = "CERTIFICATE";
    let pem = bytes(at);
    if pem.is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(&pem);
    let (blocks, _) = blocks(&text);
    for block in &blocks {
        if block.tag() != CERTIFICATE {
            return Some(format!("only {CERTIFICATE} PEM blocks are allowed, found {}", go_quote(block.tag())));
        }
        if block.headers().iter().next().is_some() {
            return Some("no PEM block headers are permitted".to_owned());
        }
        let mut rest = block.contents();
        if rest.is_empty() {
            return Some(format!("found {CERTIFICATE} PEM block containing 0 certificates"));
        }
        while !rest.is_empty() {
            let Ok((left, _)) = X509Certificate::from_der(rest) else {
                return Some("x509: malformed certificate".to_owned());
            };
            rest = left;
        }
    }
    blocks.is_empty().then(|| format!("must contain at least one {CERTIFICATE} PEM block"))
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
    if signer.text() == LEGACY {
        signer.invalid(errors, "the legacy signerName is not allowed via this API version");
    } else {
        signer::name(signer, errors);
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
