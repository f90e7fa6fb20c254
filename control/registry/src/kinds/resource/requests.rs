//! The requests of a claim, by their names, and lists that refer to them.

use super::super::validation::{At, FieldErrors};
use sampan_api::names;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Most requests of a claim, and most devices that were allotted to it.
pub(super) const REQUESTS_MAX: usize = 32;
/// Most configurations of a claim, or of a class.
pub(super) const CONFIGURATIONS_MAX: usize = 32;
const UNKNOWN: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

/// Whether the list is short enough to be looked at.
pub(super) fn fits(list: At<'_>, max: usize, errors: &mut FieldErrors) -> bool {
    if list.len() > max {
        list.too_many(errors, max);
    }
    list.len() <= max
}

/// No two elements may be the same, or have the same text in a field: told once all of them were checked.
pub(super) fn once(list: At<'_>, field: &str, errors: &mut FieldErrors) {
    let mut seen = HashSet::new();
    for one in list.items() {
        let key = if field.is_empty() { one.text().to_owned() } else { one.get(field).text().to_owned() };
        if seen.contains(&key) {
            one.duplicate_as(errors, key);
        } else {
            seen.insert(key);
        }
    }
}

/// The names of a claim's requests, each with those of its alternatives.
pub(super) struct Requests<'a>(HashMap<&'a str, HashSet<&'a str>>);

impl<'a> Requests<'a> {
    pub(super) fn of(requests: &'a Value) -> Self {
        let name = |one: &'a Value| one.get("name").and_then(Value::as_str).unwrap_or("");
        let list = |value: Option<&'a Value>| value.and_then(Value::as_array).into_iter().flatten();
        let one = |request: &'a Value| (name(request), list(request.get("firstAvailable")).map(name).collect());
        Self(list(Some(requests)).map(one).collect())
    }

    fn has(&self, name: &str) -> bool {
        match name.split_once('/') {
            None => self.0.contains_key(name),
            Some((request, rest)) => self.0.get(request).is_some_and(|names| names.contains(rest)),
        }
    }

    /// References to them.
    pub(super) fn check(&self, list: At<'_>, errors: &mut FieldErrors) {
        if !fits(list, REQUESTS_MAX, errors) {
            return;
        }
        list.items().for_each(|reference| self.check_one(reference, errors));
        once(list, "", errors);
    }

    /// A reference to one of them.
    pub(super) fn check_one(&self, reference: At<'_>, errors: &mut FieldErrors) {
        let text = reference.text();
        if text.matches('/').count() > 1 {
            reference.invalid_as(errors, text, UNKNOWN);
            return;
        }
        for part in text.split('/') {
            reference.invalid_each_as(errors, part, names::dns1123_label(part));
        }
        if !self.has(text) {
            reference.invalid_as(errors, text, UNKNOWN);
        }
    }
}
