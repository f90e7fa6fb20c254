//! Field paths and field errors, worded as `k8s.io/apimachinery/pkg/util/validation/field` words them.

use crate::limits::{FIELD_ERRORS_BYTES_MAX, FIELD_ERRORS_MAX};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::{self, Write as _};

/// The path to a field: `spec.containers[0].image`, `metadata.labels[a/b]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// A field of the object itself.
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The object itself: its children are written without a dot before them.
    pub fn root() -> Self {
        Self(String::new())
    }

    /// A field of what this path leads to.
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// An element of the list that this path leads to.
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// An entry of the map that this path leads to.
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    /// A path that was rendered elsewhere.
    pub fn from_rendered(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// The path as it is written; empty for the object itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The value that an error shows.
#[derive(Clone, Debug, PartialEq)]
pub enum BadValue {
    /// Shown as JSON, strings as Go's `%q`.
    Json(Value),
    /// JSON in its own order: where Go prints a struct in an order that a sorted map has lost.
    Raw(String),
}

impl From<Value> for BadValue {
    fn from(value: Value) -> Self {
        Self::Json(value)
    }
}
impl From<&Value> for BadValue {
    fn from(value: &Value) -> Self {
        Self::Json(value.clone())
    }
}
impl From<&str> for BadValue {
    fn from(value: &str) -> Self {
        Self::Json(value.into())
    }
}
impl From<String> for BadValue {
    fn from(value: String) -> Self {
        Self::Json(value.into())
    }
}
impl From<&String> for BadValue {
    fn from(value: &String) -> Self {
        Self::Json(value.as_str().into())
    }
}
macro_rules! bad_value_from {
    ($($number:ty),*) => {$(
        impl From<$number> for BadValue {
            fn from(value: $number) -> Self {
                Self::Json(value.into())
            }
        }
    )*};
}
bad_value_from!(bool, i32, i64, u32, u64, usize, f64);

/// Go's field.Path prints the nil path as `<nil>`; ours is only ever empty for whole objects.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

/// The kind of an error of a field: apimachinery's `field.ErrorType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldErrorKind {
    /// The object that the value refers to does not exist.
    NotFound,
    /// The value is missing.
    Required,
    /// The value stands twice where it may stand once.
    Duplicate,
    /// The value breaks a rule of its field.
    Invalid,
    /// The value is none of those that are listed.
    NotSupported,
    /// The field may not be set, or not be changed, here.
    Forbidden,
    /// The text is longer than it may be, in bytes.
    TooLong,
    /// The list or map has more entries than it may have.
    TooMany,
    /// The check itself failed.
    Internal,
    /// The value is of another type than its field.
    TypeInvalid,
}

impl FieldErrorKind {
    /// The words before the value.
    fn title(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }

    /// The machine-readable reason of a Status cause.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn shows_value(self) -> bool {
        !matches!(self, Self::Required | Self::Forbidden | Self::TooLong | Self::Internal)
    }
}

/// One thing that is wrong with one field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// The kind of the error.
    pub kind: FieldErrorKind,
    /// The field's path, as it is written.
    pub field: String,
    /// The value at fault; `None` where Kubernetes leaves it out.
    pub value: Option<BadValue>,
    /// Text of the message after the kind and the value; may be empty.
    pub detail: String,
}

impl FieldError {
    fn make(kind: FieldErrorKind, path: &Path, value: Option<BadValue>, detail: impl Into<String>) -> Self {
        Self { kind, field: path.to_string(), value, detail: detail.into() }
    }

    /// [`FieldErrorKind::Required`].
    pub fn required(path: &Path, detail: impl Into<String>) -> Self {
        Self::make(FieldErrorKind::Required, path, None, detail)
    }
    /// [`FieldErrorKind::Invalid`]; `detail` says which rule is broken.
    pub fn invalid(path: &Path, value: impl Into<BadValue>, detail: impl Into<String>) -> Self {
        Self::make(FieldErrorKind::Invalid, path, Some(value.into()), detail)
    }
    /// [`FieldErrorKind::Invalid`] that does not show the value (Go's `OmitValueType`).
    pub fn invalid_unshown(path: &Path, detail: impl Into<String>) -> Self {
        Self::make(FieldErrorKind::Invalid, path, None, detail)
    }
    /// [`FieldErrorKind::TypeInvalid`].
    pub fn type_invalid(path: &Path, value: impl Into<BadValue>, detail: impl Into<String>) -> Self {
        Self::make(FieldErrorKind::TypeInvalid, path, Some(value.into()), detail)
    }
    /// [`FieldErrorKind::Duplicate`].
    pub fn duplicate(path: &Path, value: impl Into<BadValue>) -> Self {
        Self::make(FieldErrorKind::Duplicate, path, Some(value.into()), "")
    }
    /// [`FieldErrorKind::NotFound`].
    pub fn not_found(path: &Path, value: impl Into<BadValue>) -> Self {
        Self::make(FieldErrorKind::NotFound, path, Some(value.into()), "")
    }
    /// [`FieldErrorKind::Forbidden`]; `detail` says why.
    pub fn forbidden(path: &Path, detail: impl Into<String>) -> Self {
        Self::make(FieldErrorKind::Forbidden, path, None, detail)
    }
    /// [`FieldErrorKind::Internal`].
    pub fn internal(path: &Path, detail: impl Into<String>) -> Self {
        Self::make(FieldErrorKind::Internal, path, None, detail)
    }
    /// `supported`: in the order in which they are to be listed.
    pub fn not_supported<S: AsRef<str>>(path: &Path, value: impl Into<BadValue>, supported: &[S]) -> Self {
        let detail = if supported.is_empty() {
            String::new()
        } else {
            let quoted: Vec<String> = supported.iter().map(|one| go_quote(one.as_ref())).collect();
            format!("supported values: {}", quoted.join(", "))
        };
        Self::make(FieldErrorKind::NotSupported, path, Some(value.into()), detail)
    }
    /// [`FieldErrorKind::TooLong`]: more than `max` bytes.
    pub fn too_long(path: &Path, max: usize) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        Self::make(FieldErrorKind::TooLong, path, None, format!("may not be more than {max} {unit}"))
    }
    /// [`FieldErrorKind::TooMany`]: `actual` entries where `max` may be.
    pub fn too_many(path: &Path, actual: usize, max: usize) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        Self::make(FieldErrorKind::TooMany, path, Some(actual.into()), format!("must have at most {max} {unit}"))
    }

    /// About how many bytes its text has.
    fn size(&self) -> usize {
        const WORDS: usize = 32;
        let value = match &self.value {
            None => 0,
            Some(BadValue::Raw(text)) => text.len(),
            Some(BadValue::Json(value)) => json_size(value),
        };
        WORDS + self.field.len() + self.detail.len() + value
    }

    /// The error without its field: the message of a Status cause.
    pub fn body(&self) -> String {
        let mut out = self.kind.title().to_owned();
        if let (true, Some(value)) = (self.kind.shows_value(), &self.value) {
            out.push_str(": ");
            match value {
                BadValue::Json(Value::String(text)) => out.push_str(&go_quote(text)),
                BadValue::Json(Value::Number(number)) => match number.as_f64().filter(|_| !number.is_i64()) {
                    Some(float) => out.push_str(&go_float(float)),
                    None => out.push_str(&number.to_string()),
                },
                BadValue::Json(other) => out.push_str(&go_json(&other.to_string())),
                BadValue::Raw(text) => out.push_str(&go_json(text)),
            }
        }
        if !self.detail.is_empty() {
            out.push_str(": ");
            out.push_str(&self.detail);
        }
        out
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// All that is wrong with an object, up to [`FIELD_ERRORS_MAX`] and, the first error aside, [`FIELD_ERRORS_BYTES_MAX`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldErrors {
    list: Vec<FieldError>,
    /// Sum of [`FieldError::size`] over all of them.
    bytes: usize,
}

impl FieldErrors {
    /// No errors.
    pub fn new() -> Self {
        Self::default()
    }
    /// Adds an error; drops it where the list is full.
    pub fn push(&mut self, error: FieldError) {
        let bytes = error.size();
        if self.is_full() || (!self.list.is_empty() && self.bytes + bytes > FIELD_ERRORS_BYTES_MAX) {
            // Nothing comes after an error that was left out, or the list would have a hole.
            self.bytes = FIELD_ERRORS_BYTES_MAX;
            return;
        }
        self.bytes += bytes;
        self.list.push(error);
    }
    /// Adds errors in order, as far as there is room.
    pub fn extend(&mut self, errors: impl IntoIterator<Item = FieldError>) {
        for error in errors {
            if self.is_full() {
                return;
            }
            self.push(error);
        }
    }
    /// Whether further errors are dropped: then they need not be made.
    pub fn is_full(&self) -> bool {
        self.list.len() >= FIELD_ERRORS_MAX || self.bytes >= FIELD_ERRORS_BYTES_MAX
    }
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
    /// The number of errors that are kept.
    pub fn len(&self) -> usize {
        self.list.len()
    }
    /// The errors in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, FieldError> {
        self.list.iter()
    }
}

impl IntoIterator for FieldErrors {
    type Item = FieldError;
    type IntoIter = std::vec::IntoIter<FieldError>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl FromIterator<FieldError> for FieldErrors {
    fn from_iter<I: IntoIterator<Item = FieldError>>(errors: I) -> Self {
        let mut all = Self::default();
        all.extend(errors);
        all
    }
}

/// About how many bytes a value has as JSON.
fn json_size(value: &Value) -> usize {
    const SCALAR: usize = 8;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => SCALAR,
        Value::String(text) => text.len() + 2,
        Value::Array(list) => list.iter().map(|item| json_size(item) + 1).sum::<usize>() + 2,
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + json_size(value) + 4).sum::<usize>() + 2,
    }
}

/// As Go's aggregate prints itself: one alone, several in brackets, each text once.
impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut seen: HashSet<String> = HashSet::with_capacity(self.list.len());
        let texts = self.list.iter().map(ToString::to_string);
        let once: Vec<String> = texts.filter(|text| seen.insert(text.clone())).collect();
        match once.as_slice() {
            [one] => f.write_str(one),
            many => write!(f, "[{}]", many.join(", ")),
        }
    }
}

/// JSON as Go's encoder writes it: letters that mean something to HTML or JavaScript are escaped.
pub fn go_json(json: &str) -> Cow<'_, str> {
    const ESCAPED: [char; 5] = ['<', '>', '&', '\u{2028}', '\u{2029}'];
    if !json.contains(ESCAPED) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        if ESCAPED.contains(&letter) {
            // Writing to a String cannot fail.
            write!(text, "\\u{:04x}", u32::from(letter)).unwrap_or_default();
        } else {
            text.push(letter);
        }
    }
    Cow::Owned(text)
}

/// A float as Go's `%v` prints it.
pub fn go_float(value: f64) -> String {
    go_shortest(&value.to_string(), &format!("{value:e}"))
}

/// `%g` in the shortest digits: with an exponent from 1e+06 and below 1e-04. Both texts are Rust's, whose digits are the
/// shortest too.
pub fn go_shortest(plain: &str, scientific: &str) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return plain.to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// A string as Go's `%q` prints it.
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if u32::from(c) < 0x20 || u32::from(c) == 0x7f => {
                // Writing to a String cannot fail.
                write!(out, "\\x{:02x}", u32::from(c)).unwrap_or_default();
            }
            c if is_printable(c) => out.push(c),
            c if u32::from(c) > 0xffff => write!(out, "\\U{:08x}", u32::from(c)).unwrap_or_default(),
            c => write!(out, "\\u{:04x}", u32::from(c)).unwrap_or_default(),
        }
    }
    out.push('"');
    out
}

/// Go's `unicode.IsPrint`: letters, marks, digits, punctuation, symbols, and of the spaces ASCII's alone.
pub fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    // What Rust escapes when it prints a text for a programmer are the same characters, and a mark that has none to stand on.
    ['a', c].iter().collect::<String>().escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_what_go_prints() {
        let check = |c: char, printed: bool, quoted: &str| {
            assert_eq!((is_printable(c), go_quote(&c.to_string()).as_str()), (printed, quoted));
        };
        check('a', true, "\"a\"");
        check(' ', true, "\" \"");
        check('\u{fc}', true, "\"\u{fc}\"");
        check('\u{301}', true, "\"\u{301}\"");
        check('\u{1f600}', true, "\"\u{1f600}\"");
        check('\u{fffd}', true, "\"\u{fffd}\"");
        check('\t', false, "\"\\t\"");
        check('\u{1}', false, "\"\\x01\"");
        check('\u{a0}', false, "\"\\u00a0\"");
        check('\u{ad}', false, "\"\\u00ad\"");
        check('\u{200b}', false, "\"\\u200b\"");
        check('\u{2028}', false, "\"\\u2028\"");
        check('\u{e0001}', false, "\"\\U000e0001\"");
    }

    #[test]
    fn errors_read_as_kubernetes_words_them() {
        let path = Path::new("spec").child("containers").index(0).child("image");
        let check = |error: FieldError, text: &str| assert_eq!(error.to_string(), text);
        check(FieldError::required(&path, ""), "spec.containers[0].image: Required value");
        check(FieldError::invalid(&path, "A\n", "no"), r#"spec.containers[0].image: Invalid value: "A\n": no"#);
        check(FieldError::invalid(&path, -1, "no"), "spec.containers[0].image: Invalid value: -1: no");
        check(FieldError::invalid(&path, 1e10, "no"), "spec.containers[0].image: Invalid value: 1e+10: no");
        check(FieldError::duplicate(&path, "a"), r#"spec.containers[0].image: Duplicate value: "a""#);
        check(
            FieldError::not_supported(&path, "x", &["A", "B"]),
            r#"spec.containers[0].image: Unsupported value: "x": supported values: "A", "B""#,
        );
        check(FieldError::too_long(&path, 63), "spec.containers[0].image: Too long: may not be more than 63 bytes");
        check(FieldError::too_many(&path, 3, 1), "spec.containers[0].image: Too many: 3: must have at most 1 item");
        check(FieldError::forbidden(&Path::new("a").key("b/c"), "no"), "a[b/c]: Forbidden: no");
        // What is no `int64` is a `float64` of Go's.
        let large = FieldError::duplicate(&path, serde_json::json!(9_223_372_036_854_775_808_u64));
        check(large, "spec.containers[0].image: Duplicate value: 9.223372036854776e+18");
        // Texts alone are quoted, all else is Go's JSON.
        check(FieldError::duplicate(&path, "<&>"), r#"spec.containers[0].image: Duplicate value: "<&>""#);
        let escaped = r#"spec.containers[0].image: Duplicate value: {"a":"\u003c\u0026\u003e\u2028"}"#;
        check(FieldError::duplicate(&path, serde_json::json!({"a": "<&>\u{2028}"})), escaped);
        check(FieldError::duplicate(&path, BadValue::Raw("{\"a\":\"<&>\u{2028}\"}".to_owned())), escaped);
    }

    #[test]
    fn several_errors_stand_in_brackets_each_once() {
        let one = FieldError::required(&Path::new("a"), "");
        let two = FieldError::required(&Path::new("b"), "");
        let errors: FieldErrors = [one.clone(), two, one].into_iter().collect();
        assert_eq!(errors.to_string(), "[a: Required value, b: Required value]");
    }

    #[test]
    fn errors_are_kept_up_to_a_limit() {
        let error = || FieldError::required(&Path::new("a"), "");
        let mut errors: FieldErrors = std::iter::repeat_with(error).take(FIELD_ERRORS_MAX + 1).collect();
        assert_eq!(errors.len(), FIELD_ERRORS_MAX);
        errors.push(error());
        errors.extend([error()]);
        assert_eq!(errors.len(), FIELD_ERRORS_MAX);
    }

    #[test]
    fn errors_that_show_much_are_kept_up_to_a_size() {
        let much = "x".repeat(100 * 1024);
        let mut errors = FieldErrors::new();
        for _ in 0..100 {
            errors.push(FieldError::invalid(&Path::new("a"), much.as_str(), ""));
        }
        assert_eq!(errors.len(), FIELD_ERRORS_BYTES_MAX / much.len());
        assert!(errors.is_full());
        errors.push(FieldError::required(&Path::new("b"), ""));
        assert!(errors.iter().all(|error| error.field == "a"), "none is left out in between");
        // One alone is shown whatever its size.
        let one: FieldErrors =
            [FieldError::invalid(&Path::new("a"), "x".repeat(2 * FIELD_ERRORS_BYTES_MAX), "")].into_iter().collect();
        assert_eq!(one.len(), 1);
    }
}
