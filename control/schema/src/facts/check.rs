//! The checks of single values, and the errors that they make.

use std::collections::HashSet;

use sampan_api::field::{BadValue, FieldError, FieldErrors, Path};
use sampan_api::names;
use sampan_api::quantity::Quantity;
use serde_json::{Map, Value};

use super::way::Way;
use crate::plan::{Each, Format, Otherwise, Told, Whole};

impl Told {
    /// The error for a value.
    pub fn error(&self, path: &Path, value: impl Into<BadValue>) -> FieldError {
        match self {
            Told::Invalid(text) => FieldError::invalid(path, value, text),
            Told::Forbidden(text) => FieldError::forbidden(path, text),
            Told::Required(text) => FieldError::required(path, text),
        }
    }
}

const fn format(name: &'static str, rule: fn(&str) -> Vec<String>) -> Format {
    Format { name, rule, lower: false, separator: None }
}

static FORMATS: &[Format] = &[
    format("dns-label", names::dns1123_label),
    format("dns-subdomain", names::dns1123_subdomain),
    format("csi-driver-name", |name| names::dns1123_subdomain(&name.to_lowercase())),
    format("dns1035-label", names::dns1035_label),
    format("path-segment", names::path_segment),
    format("qualified-name", names::qualified_name),
    Format { name: "lower-qualified-name", rule: names::qualified_name, lower: true, separator: None },
    Format { name: "dns-subdomains-by-slash", rule: names::dns1123_subdomain, lower: false, separator: Some('/') },
    format("label-value", names::label_value),
    format("port-name", names::port_name),
    format("config-map-key", names::config_map_key),
    format("condition-reason", condition_reason),
    format("iscsi-name", iscsi_name),
    format("iscsi-name-in-short", |name| {
        iscsi_name(name).first().map(|_| "must be valid format".to_owned()).into_iter().collect()
    }),
    format("not-empty-key", |key| if key.is_empty() { vec!["field can not be empty.".to_owned()] } else { Vec::new() }),
    format("not-empty", |text| if text.is_empty() { vec!["must not be empty".to_owned()] } else { Vec::new() }),
];

/// The reason of a condition of meta/v1.
fn condition_reason(reason: &str) -> Vec<String> {
    let mut bytes = reason.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic());
    let last = bytes.next_back().is_none_or(|b| b.is_ascii_alphanumeric() || b == b'_');
    if first && last && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b',' | b':')) {
        return Vec::new();
    }
    vec![
        "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric \
         characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or \
         'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is \
         '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')"
            .to_owned(),
    ]
}

/// The name of an iSCSI target or initiator: a date and a domain reversed, or one of two numbers in hexadecimal digits.
fn iscsi_name(name: &str) -> Vec<String> {
    let hexadecimal = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let sound = match name.split_at_checked(3) {
        Some(("iqn", rest)) => {
            rest.strip_prefix('.').and_then(|rest| rest.split_once('.')).is_some_and(|(date, rest)| {
                let date = date.split_once('-').is_some_and(|(year, month)| digits(year, 4) && digits(month, 2));
                let domain = rest.split(':').next().unwrap_or("");
                let part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
                date && !domain.is_empty() && domain.bytes().all(part) && !rest.contains(char::is_whitespace)
            })
        }
        Some(("eui", rest)) => rest.strip_prefix('.').is_some_and(|id| id.len() == 16 && hexadecimal(id)),
        Some(("naa", rest)) => rest.strip_prefix('.').is_some_and(|id| matches!(id.len(), 16 | 32) && hexadecimal(id)),
        _ => return vec!["must be valid format starting with iqn, eui, or naa".to_owned()],
    };
    if sound { Vec::new() } else { vec!["must be valid format".to_owned()] }
}

pub(super) fn format_named(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

impl Format {
    fn check(&self, text: &str, way: &Way<'_>, errors: &mut FieldErrors) {
        let lowered = if self.lower { text.to_lowercase() } else { String::new() };
        let text = if self.lower { &lowered } else { text };
        let mut check = |part: &str| {
            for message in (self.rule)(part) {
                errors.push(FieldError::invalid(&way.path(), part, message));
            }
        };
        match self.separator {
            None => check(text),
            Some(separator) => text.split(separator).for_each(check),
        }
    }
}

impl Each {
    /// Checks one value. `key` is its key where it is an entry of a map; `told` is where errors are told.
    pub fn check(&self, value: &Value, key: Option<&str>, field: &Way<'_>, told: &Way<'_>, errors: &mut FieldErrors) {
        match self {
            Each::Among(allowed, _) if allowed.contains(value) => {}
            Each::Among(_, Otherwise::Invalid(text)) => errors.push(FieldError::invalid(&told.path(), value, text)),
            Each::Among(allowed, otherwise) => {
                let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let supported: Vec<String> = allowed.iter().map(text).collect();
                let shown = match otherwise {
                    Otherwise::UnsupportedIn(name) => {
                        BadValue::Raw(format!("{{{}:{value}}}", Value::from(name.as_str())))
                    }
                    _ => value.into(),
                };
                errors.push(FieldError::not_supported(&told.path(), shown, &supported));
            }
            Each::Format(format) => format.check(value.as_str().unwrap_or(""), told, errors),
            Each::Keys(format) => {
                if let Some(key) = key {
                    format.check(key, field, errors);
                }
            }
            Each::Bounds { least, most, text } => {
                // Above int64 is no integer of the API's: what is decoded fits.
                if value.as_i64().is_some_and(|number| !(*least..=*most).contains(&number)) {
                    errors.push(FieldError::invalid(&told.path(), value, text));
                }
            }
            Each::MaxBytes { most, .. } if value.as_str().is_none_or(|text| text.len() <= *most) => {}
            Each::MaxBytes { text: Some(text), .. } => errors.push(FieldError::invalid(&told.path(), value, text)),
            Each::MaxBytes { shown, .. } => errors.push(FieldError::too_long(&told.path(), *shown)),
            Each::StartsWith(start, example) => {
                if !value.as_str().unwrap_or("").starts_with(start.as_str()) {
                    errors.push(FieldError::not_supported(&told.path(), value, &[example]));
                }
            }
            Each::Object if value.is_object() => {}
            Each::Object => {
                errors.push(FieldError::invalid(&told.path(), "<value omitted>", "must be a valid JSON object"));
            }
            Each::NonEmpty(text) => {
                if value.as_str() == Some("") {
                    errors.push(FieldError::required(&told.path(), text));
                }
            }
            Each::NotNegative => {
                let text = value.as_str().unwrap_or("0");
                if text.parse::<Quantity>().is_ok_and(|amount| amount.is_negative()) {
                    errors.push(FieldError::invalid(&told.path(), value, "must be greater than or equal to 0"));
                }
            }
        }
    }
}

impl Whole {
    /// Checks a field that has this value, or none; false: nothing more is asked of it.
    pub fn check(&self, set: Option<&Value>, way: &Way<'_>, errors: &mut FieldErrors) -> bool {
        let error = match (self, set) {
            (Whole::Required(text), None) => FieldError::required(&way.path(), text),
            (Whole::Forbidden(text), Some(_)) => FieldError::forbidden(&way.path(), text),
            (Whole::MaxItems(most), Some(value)) if entries(value) > *most => {
                FieldError::too_many(&way.path(), entries(value), *most)
            }
            (Whole::MaxEntries(most), Some(value)) if entries(value) > *most => {
                FieldError::too_long(&way.path(), *most)
            }
            (Whole::MaxTotalBytes(most), Some(value)) => {
                let entry = |(key, value): (&String, &Value)| key.len() + value.as_str().map_or(0, str::len);
                if value.as_object().into_iter().flatten().map(entry).sum::<usize>() > *most {
                    errors.push(FieldError::too_long(&way.path(), *most));
                }
                return true;
            }
            _ => return true,
        };
        errors.push(error);
        false
    }
}

/// Elements of a list, or entries of a map.
fn entries(value: &Value) -> usize {
    match value {
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    }
}

/// The values of a list that stood before: each may stand once. By a member where the elements are objects.
pub(super) struct Seen<'v> {
    member: &'v str,
    texts: HashSet<&'v str>,
    others: HashSet<String>,
}

impl<'v> Seen<'v> {
    /// Nothing was seen yet.
    pub fn by(member: &'v str) -> Self {
        Self { member, texts: HashSet::new(), others: HashSet::new() }
    }

    /// Notes an element, and tells one that was there already. Whether it is new.
    pub fn note(&mut self, value: &'v Value, told: &Way<'_>, errors: &mut FieldErrors) -> bool {
        static UNSET: Value = Value::Null;
        let one = if self.member.is_empty() { value } else { value.get(self.member).unwrap_or(&UNSET) };
        let new = match one {
            Value::String(text) => self.texts.insert(text),
            Value::Null => self.texts.insert(""),
            other => self.others.insert(other.to_string()),
        };
        if !new {
            let place = Way::Field(told, self.member);
            let place = if self.member.is_empty() { told } else { &place };
            let shown = if one.is_null() { Value::from("") } else { one.clone() };
            errors.push(FieldError::duplicate(&place.path(), shown));
        }
        new
    }
}

/// Whether two values are the same to Kubernetes, to which an empty list or map is none.
pub(super) fn same(one: Option<&Value>, other: Option<&Value>) -> bool {
    let is_none = |value: Option<&Value>| match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        Some(_) => false,
    };
    match (is_none(one), is_none(other)) {
        (true, true) => true,
        (false, false) => one == other,
        _ => false,
    }
}

/// How many of the fields are set.
pub(super) fn set_among(fields: &[Box<str>], object: &Map<String, Value>) -> usize {
    let is_set = |name: &&str| match object.get(*name) {
        None | Some(Value::Null) => false,
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(_) | Value::Bool(_) | Value::Number(_) | Value::String(_)) => true,
    };
    fields.iter().map(AsRef::as_ref).filter(is_set).count()
}
