//! PodCertificateRequests: a node's request for the certificate of a pod, which proves that it holds the key, and what
//! became of it (pkg/apis/certificates/validation, pkg/registry/certificates/podcertificaterequest, v1.35).

use super::super::columns::{Cell, Tabled, labels};
use super::super::rules::Rules;
use super::super::validation::checks::IMMUTABLE;
use super::super::validation::{At, FieldErrors};
use super::public_key::{BAD_KEY, PublicKey, bytes};
use super::{issued, signer};
use crate::resource::Resource;
use crate::strategy::Context;
use sampan_api::field::{BadValue, FieldError};
use sampan_api::limits::ANNOTATIONS_MAX;
use sampan_api::names;
use sampan_api::object::Object;
use serde_json::Value;

pub(super) fn row() -> Resource {
    Resource::new("certificates.k8s.io", "v1beta1", "podcertificaterequests", "PodCertificateRequest")
        .view("status")
        // Kubernetes names reset fields for v1alpha1 alone: what a write may not change is put back all the same, and whoever
        // sent it comes to own it.
        .resets("", &[])
        .resets("status", &[])
        .selectable("spec.signerName")
        .selectable("spec.podName")
        .selectable("spec.nodeName")
        .gated("PodCertificateRequest")
        .strategy(RULES)
        .table(CELLS)
}

const RULES: Rules = Rules {
    unconditional_update: false,
    prepare_for_update: Some(prepare_for_update),
    validate: Some(|_, request| {
        let mut errors = FieldErrors::default();
        let at = At::object(request);
        names_of(at.get("spec"), &mut errors);
        expiration(at.get("spec"), &mut errors);
        errors
    }),
    validate_update: Some(|_, request, old| {
        let mut errors = FieldErrors::default();
        let (at, old) = (At::object(request), At::object(old));
        if at.get("spec").value() != old.get("spec").value() {
            at.get("spec").invalid_as(&mut errors, spec_as_go(at.get("spec").value()), IMMUTABLE);
        }
        errors
    }),
    validate_status: Some(issued::check),
    ..Rules::NONE
};

const CELLS: &[(&str, Cell)] = &[
    ("state", |request, _| state(request).into()),
    ("unverified-user-annotations", |request, _| labels(request.get(&["spec", "unverifiedUserAnnotations"])).into()),
];

/// The last condition that decides.
fn state(request: &Object) -> &str {
    let conditions = request.get(&["status", "conditions"]).and_then(Value::as_array);
    let mut types = conditions.into_iter().flatten().filter_map(|condition| condition.get("type")?.as_str());
    types.rfind(|type_| issued::DECISIONS.contains(type_)).unwrap_or("Pending")
}

/// What a write to the object, and to its status, may not change is as it was.
fn prepare_for_update(ctx: &Context<'_>, request: &mut Object, old: &Object) {
    let kept: &[&[&str]] = match ctx.subresource {
        "status" => &[
            &["spec"],
            &["metadata", "labels"],
            &["metadata", "annotations"],
            &["metadata", "finalizers"],
            &["metadata", "ownerReferences"],
        ],
        _ => &[&["status"]],
    };
    for path in kept {
        match old.get(path) {
            Some(value) => request.set(path, value.clone()),
            None => drop(request.remove(path)),
        }
    }
}

/// Bytes of a UID.
const UID_MAX: usize = 128;

fn names_of(spec: At<'_>, errors: &mut FieldErrors) {
    signer::name(spec.get("signerName"), errors);
    annotations(spec.get("unverifiedUserAnnotations"), errors);
    for (name, uid) in [("podName", "podUID"), ("serviceAccountName", "serviceAccountUID"), ("nodeName", "nodeUID")] {
        let (name, uid) = (spec.get(name), spec.get(uid));
        name.invalid_each(errors, names::dns1123_subdomain(name.text()));
        if uid.is_empty() {
            uid.invalid_as(errors, "", "must not be empty");
        }
        if uid.len() > UID_MAX {
            uid.too_long(errors, UID_MAX);
        }
    }
}

/// Keys with a domain before them (ValidateUserAnnotations).
fn annotations(at: At<'_>, errors: &mut FieldErrors) {
    let mut bytes = 0;
    for (key, value) in at.entries() {
        let lower = key.to_lowercase();
        let wrong = names::qualified_name(&lower);
        if lower.is_empty() {
            at.required(errors, "");
        } else if wrong.is_empty() && !lower.contains('/') {
            at.invalid_as(errors, lower, "must be a domain-prefixed key (such as \"acme.io/foo\")");
        } else {
            at.invalid_each_as(errors, &lower, wrong);
        }
        bytes += key.len() + value.len();
    }
    if bytes > ANNOTATIONS_MAX {
        at.too_long(errors, ANNOTATIONS_MAX);
    }
}

/// Seconds that a certificate is asked for, at least.
const SECONDS_MIN: i64 = 60 * 60;
/// And at most, of Kubernetes' own signers.
const SECONDS_MAX_KUBERNETES: i64 = 24 * 60 * 60;
/// And of all others.
const SECONDS_MAX: i64 = 91 * 24 * 60 * 60;
/// Bytes of a key.
const KEY_MAX: usize = 10 * 1024;
/// Bytes of a proof.
const PROOF_MAX: usize = 10 * 1024;

/// The time that is asked for, and the key and its proof, which are looked at where it is there.
fn expiration(spec: At<'_>, errors: &mut FieldErrors) {
    let seconds = spec.get("maxExpirationSeconds");
    let Some(asked) = seconds.opt_number() else { return seconds.required(errors, "must be set") };
    let kubernetes = signer::is_kubernetes(spec.get("signerName").text());
    let max = if kubernetes { SECONDS_MAX_KUBERNETES } else { SECONDS_MAX };
    if !(SECONDS_MIN..=max).contains(&asked) {
        seconds.invalid(errors, format!("must be in the range [{SECONDS_MIN}, {max}]"));
    }
    possession(spec, errors);
}

/// The key, and the proof that whoever asks holds it: a signature of the pod's UID.
fn possession(spec: At<'_>, errors: &mut FieldErrors) {
    let (key_at, proof_at) = (spec.get("pkixPublicKey"), spec.get("proofOfPossession"));
    let (der, proof) = (bytes(key_at), bytes(proof_at));
    if der.len() > KEY_MAX {
        return key_at.too_long(errors, KEY_MAX);
    }
    if proof.len() > PROOF_MAX {
        return proof_at.too_long(errors, PROOF_MAX);
    }
    let Some(key) = PublicKey::read(&der) else { return key_at.invalid(errors, BAD_KEY) };
    match &key {
        PublicKey::Ec(curve, _) if curve.proves.is_none() => {
            let shown = format!("curve {}", curve.name);
            return key_at.invalid_as(errors, shown, "elliptic public keys must use curve P256 or P384");
        }
        PublicKey::Rsa(bits, _) if ![3072, 4096].contains(bits) => {
            let shown = format!("{bits}-bit modulus");
            return key_at.invalid_as(errors, shown, "RSA keys must have modulus size 3072 or 4096");
        }
        PublicKey::Other => {
            let why = "unknown public key type; supported types are Ed25519, ECDSA, and RSA";
            return key_at.invalid(errors, why);
        }
        _ => {}
    }
    if !key.proves(spec.get("podUID").text().as_bytes(), &proof) {
        errors.push(FieldError::invalid_unshown(&proof_at.path(), "could not verify proof-of-possession signature"));
    }
}

/// The spec as Go shows its own struct.
fn spec_as_go(spec: &Value) -> BadValue {
    const FIELDS: [(&str, &str); 11] = [
        ("SignerName", "signerName"),
        ("PodName", "podName"),
        ("PodUID", "podUID"),
        ("ServiceAccountName", "serviceAccountName"),
        ("ServiceAccountUID", "serviceAccountUID"),
        ("NodeName", "nodeName"),
        ("NodeUID", "nodeUID"),
        ("MaxExpirationSeconds", "maxExpirationSeconds"),
        ("PKIXPublicKey", "pkixPublicKey"),
        ("ProofOfPossession", "proofOfPossession"),
        ("UnverifiedUserAnnotations", "unverifiedUserAnnotations"),
    ];
    let text_where_absent = |name: &str| name.ends_with("Name") || name.ends_with("UID");
    let fields = FIELDS.map(|(go, name)| {
        let value = spec.get(name).cloned().unwrap_or(if text_where_absent(name) { "".into() } else { Value::Null });
        format!("\"{go}\":{value}")
    });
    BadValue::Raw(format!("{{{}}}", fields.join(",")))
}
