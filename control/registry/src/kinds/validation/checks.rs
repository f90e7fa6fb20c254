//! Checks of single values: numbers, names, labels, selectors, addresses.

use super::cursor::At;
use crate::metadata;
use crate::strategy::OwnAddresses;
use sampan_api::field::{BadValue, FieldErrors, Path};
use sampan_api::names;
use sampan_api::selector::LabelSelector;
use sampan_schema::Schema;
use sampan_schema::facts::Named;
use serde_json::Value;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::LazyLock;

pub(in crate::kinds) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";
const PORT_RANGE: &str = "must be between 1 and 65535, inclusive";
const ID_RANGE: &str = "must be between 0 and 2147483647, inclusive";
const FILE_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
pub(in crate::kinds) const IMMUTABLE: &str = "field is immutable";

pub(in crate::kinds) fn not_negative(at: At<'_>, errors: &mut FieldErrors) {
    if at.number() < 0 {
        at.invalid(errors, NOT_NEGATIVE);
    }
}

/// Absent counts as 0 and is refused.
pub(in crate::kinds) fn positive(at: At<'_>, errors: &mut FieldErrors) {
    if at.number() <= 0 {
        at.invalid_as(errors, at.number(), "must be greater than zero");
    }
}

pub(in crate::kinds) fn port_number(at: At<'_>, errors: &mut FieldErrors) {
    port_number_as(at, "", errors);
}

/// As above, with words before the reason.
pub(in crate::kinds) fn port_number_as(at: At<'_>, words: &str, errors: &mut FieldErrors) {
    if !(1..=65535).contains(&at.number()) {
        at.invalid_as(errors, at.number(), format!("{words}{PORT_RANGE}"));
    }
}

/// A port by number, or the name of one.
pub(in crate::kinds) fn port_number_or_name(at: At<'_>, errors: &mut FieldErrors) {
    match at.value() {
        Value::String(name) => at.invalid_each(errors, names::port_name(name)),
        _ => port_number(at, errors),
    }
}

/// A user or group id, where one is set.
pub(in crate::kinds) fn user_or_group_id(at: At<'_>, errors: &mut FieldErrors) {
    if at.opt_number().is_some_and(|id| !(0..=i64::from(i32::MAX)).contains(&id)) {
        at.invalid(errors, ID_RANGE);
    }
}

pub(in crate::kinds) fn file_mode(at: At<'_>, errors: &mut FieldErrors) {
    if at.opt_number().is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        at.invalid(errors, FILE_MODE);
    }
}

/// One of the values; absent or empty is missing.
pub(in crate::kinds) fn required_one_of(at: At<'_>, errors: &mut FieldErrors, supported: &[&str]) {
    if at.is_empty() {
        at.required(errors, "");
    } else {
        one_of(at, errors, supported);
    }
}

/// One of the values, where one is set.
pub(in crate::kinds) fn one_of(at: At<'_>, errors: &mut FieldErrors, supported: &[&str]) {
    if at.is_set() && !supported.contains(&at.text()) {
        at.not_supported(errors, supported);
    }
}

pub(in crate::kinds) fn required_text(at: At<'_>, errors: &mut FieldErrors) {
    if at.is_empty() {
        at.required(errors, "");
    }
}

/// A text by a rule of [`names`].
pub(in crate::kinds) fn named(at: At<'_>, errors: &mut FieldErrors, rule: fn(&str) -> Vec<String>) {
    at.invalid_each(errors, rule(at.text()));
}

/// Checks the value as above, where it is set and not empty.
pub(in crate::kinds) fn named_if_set(at: At<'_>, errors: &mut FieldErrors, rule: fn(&str) -> Vec<String>) {
    if !at.is_empty() {
        named(at, errors, rule);
    }
}

/// Required, and by a rule of [`names`].
pub(in crate::kinds) fn required_named(at: At<'_>, errors: &mut FieldErrors, rule: fn(&str) -> Vec<String>) {
    if at.is_empty() {
        at.required(errors, "");
    } else {
        named(at, errors, rule);
    }
}

const PATH: &str = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";

/// `example.com/path`: a domain, and a path of HTTP.
pub(in crate::kinds) fn domain_prefixed_path(at: At<'_>, errors: &mut FieldErrors) {
    match at.text().split_once('/') {
        _ if at.is_empty() => at.required(errors, ""),
        Some((host, path)) if !host.is_empty() && !path.is_empty() => {
            at.invalid_each_as(errors, host, names::dns1123_subdomain(host));
            if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b)) {
                at.invalid_as(errors, path, format!("Invalid path (regex used for validation is '{PATH}')"));
            }
        }
        _ => at.invalid(errors, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
    }
}

/// Labels somewhere within an object, as those of its own metadata.
pub(in crate::kinds) fn labels(at: At<'_>, errors: &mut FieldErrors) {
    metadata::labels(Some(at.value()), || at.path(), errors);
}

/// Annotations somewhere within an object, as those of its own metadata.
pub(in crate::kinds) fn annotations(at: At<'_>, errors: &mut FieldErrors) {
    metadata::annotations(Some(at.value()), || at.path(), errors);
}

/// The fields of an object's metadata but labels and annotations, as Go lists them and as a refusal names them.
const OTHER_METADATA: [(&str, &str); 13] = [
    ("name", "name"),
    ("generateName", "generateName"),
    ("namespace", "namespace"),
    ("selfLink", "selfLink"),
    ("uid", "uID"),
    ("resourceVersion", "resourceVersion"),
    ("generation", "generation"),
    ("creationTimestamp", "creationTimestamp"),
    ("deletionTimestamp", "deletionTimestamp"),
    ("deletionGracePeriodSeconds", "deletionGracePeriodSeconds"),
    ("ownerReferences", "ownerReferences"),
    ("finalizers", "finalizers"),
    ("managedFields", "managedFields"),
];

/// The metadata of a template of objects: labels and annotations alone (ValidateTemplateObjectMeta).
pub(in crate::kinds) fn template_metadata(at: At<'_>, errors: &mut FieldErrors) {
    annotations(at.get("annotations"), errors);
    labels(at.get("labels"), errors);
    for (field, shown) in OTHER_METADATA {
        let value = at.get(field);
        let zero = match value.value() {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            // A number that is there although it is zero is Go's pointer to one.
            Value::Number(number) => number.as_i64() == Some(0) && field == "generation",
            _ => false,
        };
        if !zero {
            at.get(shown).forbidden(errors, "cannot be set");
        }
    }
}

/// Facts that stand under a name in the schema's data, for a validation that calls them at its own place.
pub(in crate::kinds) struct Facts(LazyLock<Named>);

impl Facts {
    /// `find` is a call of [`facts`] with the names of a type and of its set.
    pub(in crate::kinds) const fn new(find: fn() -> Named) -> Self {
        Self(LazyLock::new(find))
    }

    /// Looks the set up, which ends the test where it is not there.
    #[cfg(test)]
    pub(in crate::kinds) fn touch(&self) {
        LazyLock::force(&self.0);
    }

    /// Checks the value, where one is set.
    pub(in crate::kinds) fn check(&self, at: At<'_>, errors: &mut FieldErrors) {
        if at.is_set() {
            self.0.check(Schema::builtin(), at.value(), &at.path(), errors);
        }
    }
}

/// The set of facts of a type by its name. The data is compiled in: a name that is not there stops the first use.
pub(in crate::kinds) fn facts(type_name: &str, set: &str) -> Named {
    Named::find(Schema::builtin(), type_name, set).unwrap_or_else(|| panic!("no facts {type_name}#{set}"))
}

static SELECTOR: Facts = Facts::new(|| facts("meta/v1.LabelSelector", "selector"));

/// A `metav1.LabelSelector`, where one is set.
pub(in crate::kinds) fn label_selector(at: At<'_>, errors: &mut FieldErrors) {
    SELECTOR.check(at, errors);
}

static CONDITION: Facts = Facts::new(|| facts("meta/v1.Condition", "checked"));

/// A list of `metav1.Condition`s: one of each type (ValidateConditions).
pub(in crate::kinds) fn conditions(list: At<'_>, errors: &mut FieldErrors) {
    let mut seen = HashSet::new();
    for condition in list.items() {
        let type_ = condition.get("type");
        if !seen.insert(type_.text().to_owned()) {
            type_.duplicate_as(errors, type_.text());
        }
        CONDITION.check(condition, errors);
    }
}

/// Whether a selector could be turned into a query: otherwise its owner calls it invalid as a whole.
pub(in crate::kinds) fn selector_is_usable(selector: &Value) -> bool {
    LabelSelector::from_v1(selector, &Path::root()).is_ok()
}

/// Whether labels are selected, for a usable selector.
pub(in crate::kinds) fn selects(selector: &Value, labels: &Value) -> bool {
    let label = |key: &str| labels.get(key).and_then(Value::as_str);
    LabelSelector::from_v1(selector, &Path::root()).is_ok_and(|selector| selector.matches(label))
}

/// A selector as Go encodes it: fields in the order of the struct.
pub(in crate::kinds) fn selector_as_go(selector: &Value) -> BadValue {
    ordered(selector, &["matchLabels", "matchExpressions", "key", "operator", "values"])
}

/// A value as JSON with the keys of its objects in this order, those that are not named last.
pub(in crate::kinds) fn ordered(value: &Value, order: &[&str]) -> BadValue {
    BadValue::Raw(in_order(value, order))
}

/// The same as a text.
pub(in crate::kinds) fn in_order(value: &Value, order: &[&str]) -> String {
    let mut text = String::new();
    write_ordered(value, order, &mut text);
    text
}

fn write_ordered(value: &Value, order: &[&str], text: &mut String) {
    let rank = |key: &str| order.iter().position(|name| *name == key).unwrap_or(order.len());
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_by_key(|key| rank(key));
            text.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                // Writing to a String cannot fail.
                write!(text, "{comma}{}:", Value::from(key.as_str())).unwrap_or_default();
                write_ordered(&map[key], order, text);
            }
            text.push('}');
        }
        Value::Array(list) => {
            text.push('[');
            for (index, item) in list.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_ordered(item, order, text);
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

/// An address as old fields take it: leading zeros are let pass.
pub(in crate::kinds) fn parse_ip(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    let parts: Vec<&str> = text.split('.').collect();
    let decimal = |part: &str| match part.trim_start_matches('0') {
        _ if part.is_empty() || part.len() > 8 || !part.bytes().all(|b| b.is_ascii_digit()) => None,
        "" => Some(0),
        digits => digits.parse::<u8>().ok(),
    };
    match parts.iter().map(|part| decimal(part)).collect::<Option<Vec<u8>>>()?.as_slice() {
        [a, b, c, d] => Some(IpAddr::from([*a, *b, *c, *d])),
        _ => None,
    }
}

/// An address range: the network (host bits cleared) and the length of its prefix.
pub(in crate::kinds) fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, bits) = text.split_once('/')?;
    let (ip, bits) = (parse_ip(ip)?, bits.parse::<u8>().ok().filter(|_| bits.bytes().all(|b| b.is_ascii_digit()))?);
    (bits <= if ip.is_ipv4() { 32 } else { 128 }).then(|| (network(ip, bits), bits))
}

/// The address with all but its first `bits` bits cleared.
pub(in crate::kinds) fn network(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            IpAddr::from((u32::from(ip) & u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)).to_be_bytes())
        }
        IpAddr::V6(ip) => {
            IpAddr::from((u128::from(ip) & u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)).to_be_bytes())
        }
    }
}

/// Addresses that name nothing outside their own machine or link.
pub(in crate::kinds) fn routable_ip(at: At<'_>, errors: &mut FieldErrors) {
    let Some(ip) = parse_ip(at.text()) else { return at.invalid_as(errors, at.text(), "must be a valid IP address") };
    // As Go has it, which takes an IPv4-mapped address for the IPv4 one.
    let ip = ip.to_canonical();
    let (link_local, link_local_multicast) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.segments()[0] & 0xffc0 == 0xfe80, ip.segments()[0] & 0xff0f == 0xff02),
    };
    let problems = [
        (ip.is_unspecified(), "may not be unspecified (0.0.0.0 or ::)"),
        (ip.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (link_local_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ];
    for (_, message) in problems.into_iter().filter(|(wrong, _)| *wrong) {
        at.invalid_as(errors, at.text(), message);
    }
}

/// As [`routable_ip`], of an address at which something of a Service is reached: the cluster's own may be loopback ones.
pub(in crate::kinds) fn endpoint_ip(at: At<'_>, own: OwnAddresses, errors: &mut FieldErrors) {
    if !parse_ip(at.text()).is_some_and(|ip| own.contains(ip)) {
        routable_ip(at, errors);
    }
}

/// A number or a percentage, not negative.
pub(in crate::kinds) fn number_or_percent(at: At<'_>, errors: &mut FieldErrors) {
    match at.value() {
        Value::String(text) if percent(text).is_none() => at.invalid(
            errors,
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
        ),
        Value::Number(_) => not_negative(at, errors),
        _ => {}
    }
}

pub(in crate::kinds) fn at_most_all(at: At<'_>, errors: &mut FieldErrors) {
    if at.value().as_str().and_then(percent).is_some_and(|percent| percent > 100) {
        at.invalid(errors, "must not be greater than 100%");
    }
}

/// The number before the sign, where the text is a percentage.
pub(in crate::kinds) fn percent(text: &str) -> Option<i64> {
    let digits = text.strip_suffix('%')?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) { None } else { digits.parse().ok() }
}

/// A field that must be as it was.
pub(in crate::kinds) fn immutable(at: At<'_>, old: At<'_>, errors: &mut FieldErrors) {
    if at.value() != old.value() {
        at.invalid(errors, IMMUTABLE);
    }
}

/// `..` as a part of a path.
pub(in crate::kinds) fn no_backsteps(at: At<'_>, value: &str, errors: &mut FieldErrors) {
    if value.split('/').any(|part| part == "..") {
        at.invalid_as(errors, value, "must not contain '..'");
    }
}

/// A path below something. `at` is where the error is reported, which is not always where the value stands.
pub(in crate::kinds) fn descending_path(at: At<'_>, value: &str, errors: &mut FieldErrors) {
    if value.starts_with('/') {
        at.invalid_as(errors, value, "must be a relative path");
    }
    no_backsteps(at, value, errors);
}

/// A path as above, without names that begin with two dots, which mark a volume's own files.
pub(in crate::kinds) fn unreserved_path(at: At<'_>, value: &str, errors: &mut FieldErrors) {
    descending_path(at, value, errors);
    if value.starts_with("..") && !value.starts_with("../") {
        at.invalid_as(errors, value, "must not start with '..'");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses_and_ranges() {
        assert_eq!(parse_ip("010.1.2.3"), Some(IpAddr::from([10, 1, 2, 3])));
        assert_eq!(parse_ip("10.1.2"), None);
        assert_eq!(parse_ip("10.1.2.256"), None);
        assert_eq!(parse_cidr("10.9.8.7/8"), Some((IpAddr::from([10, 0, 0, 0]), 8)));
        assert_eq!(parse_cidr("0.0.0.0/0"), Some((IpAddr::from([0, 0, 0, 0]), 0)));
        assert_eq!(parse_cidr("10.0.0.0/33"), None);
    }

    #[test]
    fn values_keep_the_order_of_go() {
        let selector =
            json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["x"]}], "matchLabels": {"b": "c"}});
        let text = r#"{"matchLabels":{"b":"c"},"matchExpressions":[{"key":"a","operator":"In","values":["x"]}]}"#;
        assert_eq!(selector_as_go(&selector), BadValue::Raw(text.to_owned()));
    }
}
