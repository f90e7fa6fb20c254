//! The status of a PodCertificateRequest: a decision that stays, and, where it is to issue, the certificate
//! (ValidatePodCertificateRequestStatusUpdate, v1.35).

use super::super::validation::checks;
use super::super::validation::{At, FieldErrors};
use super::public_key::{BAD_KEY, PublicKey, bytes};
use crate::strategy::Context;
use sampan_api::field::FieldError;
use sampan_api::object::Object;
use sampan_api::time;
use sampan_schema::certificates::{Pem, blocks};
use serde_json::{Map, Value};
use std::time::{Duration, SystemTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// The types of conditions that a status may have.
pub(super) const DECISIONS: [&str; 3] = ["Issued", "Denied", "Failed"];
/// Bytes of a chain of certificates.
const CHAIN_MAX: usize = 100 * 1024;
/// The least time for which a certificate is valid.
const LIFETIME_MIN: Duration = Duration::from_secs(60 * 60);
/// How far the begin of a certificate may be from now.
const SKEW: Duration = Duration::from_secs(5 * 60);
/// The least time between the begin of a refresh and either end of the certificate.
const REFRESH_MARGIN: Duration = Duration::from_secs(10 * 60);

/// Everything wrong with a status that is written over that of `old`.
pub(super) fn check(ctx: &Context<'_>, request: &Object, old: &Object) -> FieldErrors {
    let mut errors = FieldErrors::default();
    let (at, old_at) = (At::object(request), At::object(old));
    let (status, before) = (at.get("status"), old_at.get("status"));
    decisions(status.get("conditions"), &mut errors);
    checks::conditions(status.get("conditions"), &mut errors);
    if !errors.is_empty() {
        return errors;
    }
    let unshown = |errors: &mut FieldErrors, why: &str| {
        errors.push(FieldError::invalid_unshown(&status.path(), why));
    };
    let same = without_empty(status.value()) == without_empty(before.value());
    if decided(before).is_some() {
        if !same {
            unshown(&mut errors, "immutable after PodCertificateRequest is issued, denied, or failed");
        }
        return errors;
    }
    match decided(status) {
        Some("Issued") => issue(ctx, at, &mut errors),
        Some(_) if without_empty(status.value()).len() > 1 => {
            unshown(
                &mut errors,
                "non-condition status fields must be empty when denying or failing the PodCertificateRequest",
            );
        }
        None if !same => {
            unshown(&mut errors, "status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\"");
        }
        _ => {}
    }
    errors
}

/// At most one condition, which is true.
fn decisions(list: At<'_>, errors: &mut FieldErrors) {
    let mut known = 0;
    for (index, condition) in list.items().enumerate() {
        // Kubernetes writes a dot before the index here.
        let index = format!("[{index}]");
        let shown = At::within(condition.value(), &list, &index);
        let (type_, status) = (shown.get("type"), shown.get("status"));
        if !DECISIONS.contains(&type_.text()) {
            type_.not_supported_as(errors, type_.text(), &DECISIONS);
            continue;
        }
        known += 1;
        if known > 1 {
            let why = "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"";
            type_.invalid(errors, why);
        }
        if status.text() != "True" {
            status.not_supported_as(errors, status.text(), &["True"]);
        }
    }
}

/// The decision of a status whose conditions are sound.
fn decided<'a>(status: At<'a>) -> Option<&'a str> {
    let conditions = status.value().get("conditions").and_then(Value::as_array);
    let mut held = conditions.into_iter().flatten().filter(|condition| condition["status"] == "True");
    held.find_map(|condition| condition["type"].as_str().filter(|type_| DECISIONS.contains(type_)))
}

/// The fields of a status that say something.
fn without_empty(status: &Value) -> Map<String, Value> {
    let fields = status.as_object().into_iter().flatten();
    let told =
        fields.filter(|(_, value)| !matches!(value, Value::Null) && **value != "" && **value != Value::Array(vec![]));
    told.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A chain of certificates, the first of them for the key that was sent, and its times.
fn issue(ctx: &Context<'_>, request: At<'_>, errors: &mut FieldErrors) {
    let status = request.get("status");
    let chain = status.get("certificateChain");
    let text = chain.text();
    if text.len() > CHAIN_MAX {
        return chain.too_long(errors, CHAIN_MAX);
    }
    let (blocks, _) = blocks(text);
    let mut blocks = blocks.into_iter();
    let Some(leaf) = blocks.next() else {
        return chain.invalid_as(errors, text, "issued certificate chain must contain at least one certificate");
    };
    if leaf.tag() != CERTIFICATE {
        return chain.invalid(errors, "issued certificate chain must consist entirely of CERTIFICATE PEM blocks");
    }
    let Some(certificate) = read(&leaf) else {
        return chain.invalid(errors, "leaf certificate does not parse as valid X.509");
    };
    alternative_names(&certificate, chain, errors);
    let spec = request.get("spec");
    let key = bytes(spec.get("pkixPublicKey"));
    if PublicKey::read(&key).is_none() {
        return spec.get("pkixPublicKey").invalid(errors, BAD_KEY);
    }
    if certificate.public_key().raw != key {
        return chain.invalid(errors, "leaf certificate was not issued to the requested public key");
    }
    if times(ctx, request, &certificate, errors) {
        rest(blocks, chain, errors);
    }
}

const CERTIFICATE: &str = "CERTIFICATE";

/// The certificate of a block, of which nothing is left.
fn read(block: &Pem) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(block.contents())
        .ok()
        .filter(|(rest, _)| rest.is_empty())
        .map(|(_, certificate)| certificate)
}

fn alternative_names(certificate: &X509Certificate<'_>, chain: At<'_>, errors: &mut FieldErrors) {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names: Vec<&GeneralName<'_>> = names.iter().flat_map(|names| &names.value.general_names).collect();
    for name in &names {
        let GeneralName::DNSName(name) = name else { continue };
        let mut wrong = |why: &str| chain.invalid_as(errors, *name, why);
        if name.is_empty() {
            wrong("leaf certificate should not contain empty DNSName");
        }
        if name.contains("..") {
            wrong("leaf certificate's DNSName should not contain '..'");
        }
        if name.starts_with('.') || name.ends_with('.') {
            wrong("leaf certificate's DNSName should not start or end with '.'");
        }
    }
    for name in &names {
        let GeneralName::RFC822Name(address) = name else { continue };
        if !is_address(address) {
            chain.invalid_as(errors, *address, "leaf certificate should not contain invalid EmailAddress");
        }
    }
}

/// Whether a text is an address of mail: atoms, an at, and a domain (RFC 5322, `dot-atom "@" dot-atom`).
fn is_address(text: &str) -> bool {
    let atoms = |text: &str| {
        let atom = |letter: char| letter.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(letter);
        text.split('.').all(|part| !part.is_empty() && part.chars().all(atom))
    };
    text.split_once('@').is_some_and(|(local, domain)| atoms(local) && atoms(domain))
}

/// Whether the times of the status are those of the certificate, and within the limits.
fn times(ctx: &Context<'_>, request: At<'_>, certificate: &X509Certificate<'_>, errors: &mut FieldErrors) -> bool {
    let status = request.get("status");
    let (begin, end, refresh) = (status.get("notBefore"), status.get("notAfter"), status.get("beginRefreshAt"));
    let found = errors.len();
    let given = |at: At<'_>, errors: &mut FieldErrors, why: &str| {
        let time = time::parse(at.text());
        if time.is_none() {
            at.required(errors, why);
        }
        time
    };
    let consistent = "must be present and consistent with the issued certificate";
    let within = "must be present and in the range [notbefore+10min, notafter-10min]";
    let told = (given(begin, errors, consistent), given(end, errors, consistent), given(refresh, errors, within));
    let (Some(from), Some(until), Some(renew)) = told else { return false };
    // What is wrong with the names ends it here too.
    if found > 0 {
        return false;
    }
    let validity = certificate.validity();
    let (Some(starts), Some(ends)) = (moment(validity.not_before.timestamp()), moment(validity.not_after.timestamp()))
    else {
        status.get("certificateChain").invalid(errors, "leaf certificate does not parse as valid X.509");
        return false;
    };
    if from != starts {
        begin.invalid(errors, "must be set to the NotBefore time encoded in the leaf certificate");
    } else if from <= time::earlier(ctx.now, SKEW) || from >= time::later(ctx.now, SKEW) {
        begin.invalid(errors, "must be set to within 5 minutes of kube-apiserver's current time");
    } else if until != ends {
        end.invalid(errors, "must be set to the NotAfter time encoded in the leaf certificate");
    } else if !lasts(request, starts, ends, errors) {
        return false;
    } else if renew < time::later(from, REFRESH_MARGIN) {
        refresh.invalid(errors, "must be at least 10 minutes after status.notBefore");
    } else if renew > time::earlier(until, REFRESH_MARGIN) {
        refresh.invalid(errors, "must be at least 10 minutes before status.notAfter");
    }
    errors.is_empty()
}

/// Whether the certificate is valid for as long as it may be.
fn lasts(request: At<'_>, starts: SystemTime, ends: SystemTime, errors: &mut FieldErrors) -> bool {
    let chain = request.get("status");
    let chain = chain.get("certificateChain");
    let lifetime = ends.duration_since(starts).map_err(|error| error.duration());
    // As nanoseconds, below zero where the certificate ends before it begins.
    let shown = match lifetime {
        Ok(lifetime) => i64::try_from(lifetime.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.as_nanos()).map_or(i64::MIN, |nanoseconds| -nanoseconds),
    };
    let lifetime = lifetime.unwrap_or_default();
    let spec = request.get("spec");
    let asked = spec.get("maxExpirationSeconds").number();
    if lifetime < LIFETIME_MIN {
        chain.invalid_as(errors, shown, "leaf certificate lifetime must be >= 1 hour");
        return false;
    }
    if lifetime > Duration::from_secs(u64::try_from(asked).unwrap_or(0)) {
        let why = format!("leaf certificate lifetime must be <= spec.maxExpirationSeconds ({asked})");
        chain.invalid_as(errors, shown, why);
        return false;
    }
    true
}

/// The time of so many seconds since 1970; `None`: there is none.
fn moment(seconds: i64) -> Option<SystemTime> {
    let since = Duration::from_secs(seconds.unsigned_abs());
    match seconds < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(since),
        false => SystemTime::UNIX_EPOCH.checked_add(since),
    }
}

/// The certificates after the first.
fn rest(blocks: impl Iterator<Item = Pem>, chain: At<'_>, errors: &mut FieldErrors) {
    for block in blocks {
        if block.tag() != CERTIFICATE {
            // The word is Kubernetes'.
            return chain.invalid(errors, "issued certificate chain must consist entirely of CERTFICATE PEM blocks");
        }
        if read(&block).is_none() {
            return chain.invalid(errors, "intermediate certificate does not parse as valid X.509");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::Capabilities;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sampan_api::user::UserInfo;
    use sampan_schema::gates::Gates;
    use serde_json::json;

    const BEGIN: &str = "2026-01-01T00:00:00Z";
    const DAY: u64 = 24 * 60 * 60;

    /// A request that is issued at `now` with a certificate that begins on 2026-01-01 and is valid for so long, and what is
    /// told of it. `change`: what else the status says.
    fn told(now: &str, lifetime: u64, change: &Value) -> Vec<String> {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut parameters = rcgen::CertificateParams::new(vec!["pod.example".to_owned()]).expect("a name");
        parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
        parameters.not_after = parameters.not_before + Duration::from_secs(lifetime);
        let leaf = parameters.self_signed(&key).expect("a certificate").pem();
        let begin = time::parse(BEGIN).expect("a time");
        let end = time::rfc3339(time::later(begin, Duration::from_secs(lifetime)));
        let mut status = json!({
            "conditions": [{"type": "Issued", "status": "True", "reason": "A", "lastTransitionTime": BEGIN}],
            "certificateChain": leaf, "notBefore": BEGIN, "notAfter": end, "beginRefreshAt": "2026-01-01T00:30:00Z",
        });
        for (field, value) in change.as_object().into_iter().flatten() {
            status[field] = match value.as_str().and_then(|text| text.strip_prefix("+")) {
                Some(rest) => format!("{leaf}{rest}").into(),
                None => value.clone(),
            };
        }
        let spec = json!({"pkixPublicKey": STANDARD.encode(rcgen::PublicKeyData::subject_public_key_info(&key)), "maxExpirationSeconds": DAY});
        let request = |status: Value| Object::from_value(json!({"spec": spec, "status": status})).expect("an object");
        let (user, gates) = (UserInfo::new("ann", ["people"]), Gates::default());
        let ctx = Context {
            user: &user,
            now: time::parse(now).expect("a time"),
            subresource: "status",
            namespace: "default",
            capabilities: Capabilities::default(),
            gates: &gates,
            home: None,
        };
        check(&ctx, &request(status), &request(json!({}))).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_times_of_what_is_issued() {
        let check = |now: &str, lifetime: u64, change: Value, expected: &str| {
            let found = told(now, lifetime, &change);
            match expected {
                "" => assert!(found.is_empty(), "{change}: {found:?}"),
                expected => {
                    assert!(matches!(found.as_slice(), [one] if one.ends_with(expected)), "{change}: {found:?}")
                }
            }
        };
        let plain = || json!({});
        check(BEGIN, DAY, plain(), "");
        check("2026-01-01T00:04:59Z", DAY, plain(), "");
        let now = "must be set to within 5 minutes of kube-apiserver's current time";
        check("2026-01-01T00:05:00Z", DAY, plain(), now);
        check("2025-12-31T23:55:00Z", DAY, plain(), now);
        check(
            BEGIN,
            DAY,
            json!({"notAfter": "2026-01-02T00:00:01Z"}),
            "status.notAfter: Invalid value: \"2026-01-02T00:00:01Z\": must be set to the NotAfter time encoded in the leaf certificate",
        );
        check(BEGIN, 3599, plain(), "Invalid value: 3599000000000: leaf certificate lifetime must be >= 1 hour");
        check(BEGIN, 3600, plain(), "");
        check(
            BEGIN,
            DAY + 1,
            plain(),
            "Invalid value: 86401000000000: leaf certificate lifetime must be <= spec.maxExpirationSeconds (86400)",
        );
        check(
            BEGIN,
            DAY,
            json!({"beginRefreshAt": "2026-01-01T00:09:59Z"}),
            "must be at least 10 minutes after status.notBefore",
        );
        check(
            BEGIN,
            DAY,
            json!({"beginRefreshAt": "2026-01-01T23:50:01Z"}),
            "must be at least 10 minutes before status.notAfter",
        );
        check(BEGIN, DAY, json!({"beginRefreshAt": "2026-01-01T23:50:00Z"}), "");
    }

    #[test]
    fn the_rest_of_the_chain() {
        let check = |rest: &str, expected: &str| {
            let found = told(BEGIN, DAY, &json!({"certificateChain": format!("+{rest}")}));
            assert!(found.iter().all(|one| !expected.is_empty() && one.ends_with(expected)), "{rest}: {found:?}");
            assert_eq!(found.is_empty(), expected.is_empty(), "{rest}");
        };
        let block = |label: &str| format!("-----BEGIN {label}-----\nYWJj\n-----END {label}-----\n");
        check("text behind it\n", "");
        check(&block("PRIVATE KEY"), "issued certificate chain must consist entirely of CERTFICATE PEM blocks");
        check(&block("CERTIFICATE"), "intermediate certificate does not parse as valid X.509");
        let long = "x".repeat(CHAIN_MAX);
        check(&long, "status.certificateChain: Too long: may not be more than 102400 bytes");
    }

    #[test]
    fn addresses_of_mail() {
        for (text, expected) in [
            ("a@b.c", true),
            ("a.b+c@d", true),
            ("a", false),
            ("@x", false),
            ("x@", false),
            ("a b@c.d", false),
            ("a@b@c", false),
        ] {
            assert_eq!(is_address(text), expected, "{text}");
        }
    }
}
