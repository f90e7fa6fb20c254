//! Rules for names, labels and qualified keys, in the words of
//! `k8s.io/apimachinery/pkg/util/validation` and `pkg/api/validation`. Each function returns what is wrong, nothing if fine.

use crate::field::{FieldError, FieldErrors, Path, go_quote, is_printable};
use crate::limits::FIELD_MANAGER_MAX;

const DNS1123_LABEL_FMT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS1123_SUBDOMAIN_FMT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1123_SUBDOMAIN_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const QUALIFIED_NAME_FMT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

/// Longest RFC 1123 label, bytes.
pub const DNS1123_LABEL_MAX: usize = 63;
/// Longest RFC 1123 subdomain, bytes.
pub const DNS1123_SUBDOMAIN_MAX: usize = 253;
/// Longest name part of a qualified name, bytes.
pub const QUALIFIED_NAME_MAX: usize = 63;
/// Longest value of a label, bytes.
pub const LABEL_VALUE_MAX: usize = 63;

/// What is wrong with the name of a field manager (apimachinery's ValidateFieldManager).
pub fn field_manager(path: &Path, manager: &str) -> FieldErrors {
    let mut errors = FieldErrors::new();
    if manager.len() > FIELD_MANAGER_MAX {
        errors.push(FieldError::too_long(path, FIELD_MANAGER_MAX));
    }
    for (at, one) in manager.char_indices().filter(|(_, one)| !is_printable(*one)) {
        // Each shows the whole manager.
        if errors.is_full() {
            break;
        }
        let text = format!("invalid character U+{:04X} (at position {at})", u32::from(one));
        errors.push(FieldError::invalid(path, manager, text));
    }
    errors
}

fn max_length(max: usize) -> String {
    format!("must be no more than {max} characters")
}

/// The newer rules of apimachinery (`api/validate/content`) count as the others do, and say so.
fn max_bytes(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

fn regex_error(message: &str, pattern: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{pattern}')");
    }
    // Go writes a comma behind each example, the "or" after it.
    let examples: Vec<String> = examples.iter().map(|one| format!("'{one}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{pattern}')", examples.join(" or "))
}

fn edge_alnum(text: &[u8], alnum: fn(u8) -> bool, inner: fn(u8) -> bool) -> bool {
    match text {
        [] => false,
        [one] => alnum(*one),
        [first, middle @ .., last] => alnum(*first) && alnum(*last) && middle.iter().all(|b| alnum(*b) || inner(*b)),
    }
}

fn lower_alnum(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn matches_dns1123_label(text: &str) -> bool {
    edge_alnum(text.as_bytes(), lower_alnum, |b| b == b'-')
}

fn matches_dns1123_subdomain(text: &str) -> bool {
    text.split('.').all(matches_dns1123_label)
}

/// A lower-case RFC 1123 label: namespaces, containers, services' names in v1.35.
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > DNS1123_LABEL_MAX {
        errors.push(max_length(DNS1123_LABEL_MAX));
    }
    if !matches_dns1123_label(text) {
        errors.push(if matches_dns1123_subdomain(text) {
            "must not contain dots".to_owned()
        } else {
            regex_error("a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character", DNS1123_LABEL_FMT, &["my-name", "123-abc"])
        });
    }
    errors
}

/// A lower-case RFC 1123 subdomain: the names of most kinds.
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > DNS1123_SUBDOMAIN_MAX {
        errors.push(max_length(DNS1123_SUBDOMAIN_MAX));
    }
    if !matches_dns1123_subdomain(text) {
        errors.push(regex_error(DNS1123_SUBDOMAIN_MESSAGE, DNS1123_SUBDOMAIN_FMT, &["example.com"]));
    }
    errors
}

/// An RFC 1035 label: begins with a letter (Services).
pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > DNS1123_LABEL_MAX {
        errors.push(max_length(DNS1123_LABEL_MAX));
    }
    if !(matches_dns1123_label(text) && text.as_bytes()[0].is_ascii_lowercase()) {
        errors.push(regex_error("a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character", "[a-z]([-a-z0-9]*[a-z0-9])?", &["my-name", "abc-123"]));
    }
    errors
}

/// A name that is a path segment (RBAC objects).
pub fn path_segment(text: &str) -> Vec<String> {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"].iter().filter(|part| text.contains(**part)).map(|part| format!("may not contain '{part}'")).collect()
}

/// What no name may hold, whatever its kind leaves free: the store's keys, of which it is a part, take none.
pub fn control_characters(text: &str) -> Vec<String> {
    let wrong = text.chars().any(char::is_control).then(|| "may not contain control characters".to_owned());
    wrong.into_iter().collect()
}

/// `[prefix/]name`: label and annotation keys, taints, resources.
pub fn qualified_name(text: &str) -> Vec<String> {
    const MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    let mut errors = Vec::new();
    let mut parts = text.split('/');
    let name = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => name,
        (Some(prefix), Some(name), None) => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                errors.extend(dns1123_subdomain(prefix).into_iter().map(|error| format!("prefix part {error}")));
            }
            name
        }
        _ => {
            errors.push(format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                regex_error(MESSAGE, QUALIFIED_NAME_FMT, &["MyName", "my.name", "123-abc"])
            ));
            return errors;
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > QUALIFIED_NAME_MAX {
        errors.push(format!("name part {}", max_bytes(QUALIFIED_NAME_MAX)));
    }
    if !matches_qualified(name) {
        errors
            .push(format!("name part {}", regex_error(MESSAGE, QUALIFIED_NAME_FMT, &["MyName", "my.name", "123-abc"])));
    }
    errors
}

fn matches_qualified(text: &str) -> bool {
    edge_alnum(text.as_bytes(), |b| b.is_ascii_alphanumeric(), |b| matches!(b, b'-' | b'_' | b'.'))
}

/// The value of a label; may be empty.
pub fn label_value(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > LABEL_VALUE_MAX {
        errors.push(max_bytes(LABEL_VALUE_MAX));
    }
    if !text.is_empty() && !matches_qualified(text) {
        errors.push(regex_error("a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character", "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", &["MyValue", "my_value", "12345"]));
    }
    errors
}

/// The name of an environment variable since v1.34: printable ASCII but `=`.
pub fn env_var_name(text: &str) -> Vec<String> {
    if text.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    if text.bytes().all(|b| (0x20..=0x7e).contains(&b) && b != b'=') {
        return Vec::new();
    }
    vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned()]
}

/// A key of a ConfigMap or a Secret.
pub fn config_map_key(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > DNS1123_SUBDOMAIN_MAX {
        errors.push(max_length(DNS1123_SUBDOMAIN_MAX));
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        errors.push(regex_error(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    if text == "." || text == ".." {
        errors.push(format!("must not be '{text}'"));
    } else if text.starts_with("..") {
        errors.push("must not start with '..'".to_owned());
    }
    errors
}

/// The name of a port in a container or a Service (RFC 6335's IANA_SVC_NAME).
pub fn port_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 15 {
        errors.push("must be no more than 15 characters".to_owned());
    }
    if !text.bytes().all(|b| lower_alnum(b) || b == b'-') || text.is_empty() {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.bytes().any(|b| b.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

/// The number that a text is, as Go's `content.IsDecimalInteger` asks for: without a sign that says nothing, and without zeros
/// before it. `None`: it is none, or none of 64 bits.
pub fn decimal_integer(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}

/// Why a text is no UUID, in any of the forms that Go's `uuid.Validate` reads.
pub fn uuid_error(text: &str) -> Option<String> {
    const WRONG: &str = "invalid UUID format";
    let inner = match text.len() {
        36 | 32 => Some(text),
        45 if !text.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("urn:uuid:")) => {
            return Some(format!("invalid urn prefix: {}", go_quote(text.get(..9).unwrap_or_default())));
        }
        45 => text.get(9..),
        38 if !(text.starts_with('{') && text.ends_with('}')) => {
            return Some("invalid bracketed UUID format".to_owned());
        }
        38 => text.get(1..37),
        length => return Some(format!("invalid UUID length: {length}")),
    };
    let dashed = |inner: &str| inner.len() == 32 || [8, 13, 18, 23].iter().all(|at| inner.as_bytes()[*at] == b'-');
    let digits = |inner: &str| inner.bytes().filter(u8::is_ascii_hexdigit).count() == 32;
    let sound = inner.is_some_and(|inner| dashed(inner) && digits(inner));
    if sound { None } else { Some(WRONG.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn managers_have_names_that_can_be_shown() {
        let check = |manager: &str, expected: &str| {
            assert_eq!(field_manager(&Path::new("manager"), manager).to_string(), expected, "{manager:?}");
        };
        check("kubectl edit (ü)", "[]");
        check(&"m".repeat(128), "[]");
        check(&"m".repeat(129), "manager: Too long: may not be more than 128 bytes");
        check("a\u{a0}b", "manager: Invalid value: \"a\\u00a0b\": invalid character U+00A0 (at position 1)");
        check("\u{1}", "manager: Invalid value: \"\\x01\": invalid character U+0001 (at position 0)");
    }

    #[test]
    fn numbers_have_one_form() {
        for (text, expected) in [("0", Some(0)), ("-5", Some(-5)), ("9223372036854775807", Some(i64::MAX))] {
            assert_eq!(decimal_integer(text), expected, "{text}");
        }
        for text in ["", "-0", "+5", "007", "1.0", "a", " 1", "9223372036854775808"] {
            assert_eq!(decimal_integer(text), None, "{text}");
        }
    }

    #[test]
    fn names() {
        let check = |rule: fn(&str) -> Vec<String>, good: &[&str], bad: &[&str]| {
            for name in good {
                assert_eq!(rule(name), Vec::<String>::new(), "{name}");
            }
            for name in bad {
                assert!(!rule(name).is_empty(), "{name} is refused");
            }
        };
        let long = "a".repeat(64);
        check(dns1123_label, &["a", "a-b", "0"], &["", "A", "-a", "a-", "a.b", &long]);
        check(dns1123_subdomain, &["a", "a.b-c.d", &long], &["", "A", "a..b", ".a", "a_b"]);
        check(dns1035_label, &["a", "a-1"], &["", "1a", "a."]);
        check(path_segment, &["system:x", "A b"], &[".", "..", "a/b", "a%b"]);
        check(control_characters, &["", "system:x", "A b", "a\u{a0}ü"], &["a\nb", "\0", "a\u{7f}", "\u{85}"]);
        check(qualified_name, &["a", "A_b.c", "x.io/a"], &["", "/a", "a/", "a/b/c", "-a", "X.io/a", &long]);
        check(label_value, &["", "a", "A_1"], &["-", "a b", &long]);
        check(config_map_key, &["a", "A_b-c.d"], &["", "..", "..a", "a b"]);
        check(port_name, &["http", "a-1"], &["", "1", "a--b", "-a", "sixteen-letters-"]);
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
    }

    #[test]
    fn uuids() {
        let check = |text: &str, expected: Option<&str>| assert_eq!(uuid_error(text).as_deref(), expected, "{text}");
        check("6ba7b810-9dad-11d1-80b4-00c04fd430c8", None);
        check("6ba7b8109dad11d180b400c04fd430c8", None);
        check("{6ba7b810-9dad-11d1-80b4-00c04fd430c8}", None);
        check("URN:UUID:6ba7b810-9dad-11d1-80b4-00c04fd430c8", None);
        check("x", Some("invalid UUID length: 1"));
        check("6ba7b810x9dad-11d1-80b4-00c04fd430c8", Some("invalid UUID format"));
        check("6ba7b810-9dad-11d1-80b4-00c04fd430cg", Some("invalid UUID format"));
        check("(6ba7b810-9dad-11d1-80b4-00c04fd430c8)", Some("invalid bracketed UUID format"));
        check("abc:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8", Some("invalid urn prefix: \"abc:uuid:\""));
    }

    #[test]
    fn texts_of_errors() {
        assert!(qualified_name("a/b/c")[0].starts_with("a valid label key must consist of"));
    }
}
