//! Secrets: settings that only some may read.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::checks::immutable;
use super::super::validation::{At, FieldErrors};
use super::config_map::{DATA_BYTES_MAX, decoded_len, frozen};
use crate::resource::{HistoryClass, Resource};
use crate::strategy::{MetadataOfUpdate, Warned};
use sampan_api::names;
use sampan_api::object::Object;

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "secrets", "Secret")
        .selectable("type")
        // A secret's old values must not outlive its rotation by longer than open lists and watches need.
        .history(HistoryClass::Usual)
        .old_values_hidden()
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Both),
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        secret(At::object(object), &mut errors);
        errors
    }),
    prepare_for_update: Some(|_, object, old| {
        // Kubernetes keeps the type of an update that leaves it out.
        if object.get_str(&["type"]).unwrap_or("").is_empty() {
            let type_ = old.get_str(&["type"]).unwrap_or("").to_owned();
            object.set(&["type"], type_);
        }
    }),
    warnings: &[(Warned::Object, |_, object, _| certificate_warning(object).into_iter().collect())],
    validate_update: Some(|_, object, old| {
        let mut errors = FieldErrors::default();
        let (at, old) = (At::object(object), At::object(old));
        immutable(at.get("type"), old.get("type"), &mut errors);
        frozen(at, old, &["data"], &mut errors);
        secret(at, &mut errors);
        errors
    }),
    ..Rules::NONE
};

/// A pair of a certificate and a key that has none, in the words of Go's crypto/tls.
fn certificate_warning(secret: &Object) -> Option<String> {
    if secret.get_str(&["type"]) != Some("kubernetes.io/tls") {
        return None;
    }
    for (key, input, wanted) in [("tls.crt", "certificate", "CERTIFICATE"), ("tls.key", "key", "PRIVATE KEY")] {
        let bytes = decode_base64(secret.get_str(&["data", key]).unwrap_or(""));
        let text = String::from_utf8_lossy(&bytes);
        let blocks: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("-----BEGIN ")).collect();
        if blocks.is_empty() {
            return Some(format!("tls: failed to find any PEM data in {input} input"));
        }
        let found = |kind: &str| blocks.iter().any(|block| block.trim_end().trim_end_matches('-').ends_with(kind));
        if !found(wanted) {
            let other = match (key, found("PRIVATE KEY"), found("CERTIFICATE")) {
                ("tls.crt", true, _) => "did find a private key; PEM inputs may have been switched",
                ("tls.key", _, true) => "found a certificate; PEM inputs may have been switched",
                _ => return Some(format!("tls: failed to find {wanted:?} PEM block in {input} input")),
            };
            return Some(format!("tls: failed to find certificate PEM data in {input} input, but {other}"));
        }
    }
    None
}

const REDACTED: &str = "<secret contents redacted>";
const SERVICE_ACCOUNT: &str = "kubernetes.io/service-account.name";

fn secret(at: At<'_>, errors: &mut FieldErrors) {
    let data = at.get("data");
    let mut size = 0;
    for (key, value) in data.entries() {
        value.invalid_each_as(errors, key, names::config_map_key(key));
        size += decoded_len(value.text());
    }
    if size > DATA_BYTES_MAX {
        data.too_long(errors, DATA_BYTES_MAX);
    }
    let require = |keys: &[&str], errors: &mut FieldErrors| {
        for key in keys.iter().filter(|key| !data.key(key).is_set()) {
            data.key(key).required(errors, "");
        }
    };
    match at.get("type").text() {
        "kubernetes.io/service-account-token" => {
            let metadata = at.get("metadata");
            let annotations = metadata.get("annotations");
            if annotations.key(SERVICE_ACCOUNT).is_empty() {
                annotations.key(SERVICE_ACCOUNT).required(errors, "");
            }
        }
        "kubernetes.io/dockercfg" => docker_config(data, ".dockercfg", errors),
        "kubernetes.io/dockerconfigjson" => docker_config(data, ".dockerconfigjson", errors),
        "kubernetes.io/basic-auth" if !data.key("username").is_set() && !data.key("password").is_set() => {
            require(&["username", "password"], errors);
        }
        "kubernetes.io/ssh-auth" if data.key("ssh-privatekey").is_empty() => {
            data.key("ssh-privatekey").required(errors, "");
        }
        "kubernetes.io/tls" => require(&["tls.crt", "tls.key"], errors),
        _ => {}
    }
}

/// A JSON object under that key.
fn docker_config(data: At<'_>, key: &str, errors: &mut FieldErrors) {
    let value = data.key(key);
    if !value.is_set() {
        value.required(errors, "");
        return;
    }
    let bytes = decode_base64(value.text());
    if let Some(problem) = json_problem(&bytes) {
        value.invalid_as(errors, REDACTED, problem);
    }
}

/// The bytes of a schema-checked base64 text; a text that cannot be decoded is left out.
fn decode_base64(text: &str) -> Vec<u8> {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let mut bytes = Vec::with_capacity(decoded_len(text));
    let (mut bits, mut count) = (0u32, 0);
    for six in text.bytes().filter_map(digit) {
        bits = (bits << 6) | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count).to_le_bytes()[0]);
        }
    }
    bytes
}

/// The reason why the bytes are no JSON object, as Go words it where the literal `null`, `true` or `false` is misspelt:
/// mostly a value whose encoding was forgotten.
fn json_problem(bytes: &[u8]) -> Option<String> {
    let problem = match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(serde_json::Value::Object(_) | serde_json::Value::Null) => return None,
        Ok(other) => {
            let kind = match other {
                serde_json::Value::Bool(_) => "bool",
                serde_json::Value::Number(_) => "number",
                serde_json::Value::String(_) => "string",
                _ => "array",
            };
            return Some(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"));
        }
        Err(problem) => problem,
    };
    if bytes.is_empty() || problem.is_eof() {
        return Some("unexpected end of JSON input".to_owned());
    }
    for literal in ["null", "true", "false"] {
        let wrong = bytes.iter().zip(literal.bytes()).position(|(found, wanted)| *found != wanted);
        if let Some(wrong) = wrong.filter(|wrong| *wrong > 0) {
            let (found, wanted) = (char::from(bytes[wrong]), char::from(literal.as_bytes()[wrong]));
            return Some(format!("invalid character '{found}' in literal {literal} (expecting '{wanted}')"));
        }
    }
    Some(format!("invalid character '{}' looking for beginning of value", char::from(bytes[0])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_a_secret_was_is_soon_forgotten() {
        assert!(row().history.retention() <= Duration::from_secs(5 * 60));
    }
}
