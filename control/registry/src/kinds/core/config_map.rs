//! ConfigMaps: settings that pods read.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::{At, FieldErrors};
use crate::resource::{HistoryClass, Resource};
use crate::strategy::MetadataOfUpdate;
use sampan_api::field::{FieldError, Path};
use sampan_api::names;

pub(super) fn row() -> Resource {
    Resource::new("", "v1", "configmaps", "ConfigMap")
        .short_names(["cm"])
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Both),
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        data(At::object(object), &mut errors);
        errors
    }),
    validate_update: Some(|_, object, old| {
        let mut errors = FieldErrors::default();
        frozen(At::object(object), At::object(old), &["data", "binaryData"], &mut errors);
        data(At::object(object), &mut errors);
        errors
    }),
    ..Rules::NONE
};

/// Of all values together, as bytes.
pub(super) const DATA_BYTES_MAX: usize = 1024 * 1024;
const FROZEN: &str = "field is immutable when `immutable` is set";

fn data(at: At<'_>, errors: &mut FieldErrors) {
    let (data, binary) = (at.get("data"), at.get("binaryData"));
    let mut size = 0;
    for (key, value) in data.entries() {
        value.invalid_each_as(errors, key, names::config_map_key(key));
        if binary.key(key).is_set() {
            value.invalid_as(errors, key, "duplicate of key present in binaryData");
        }
        size += value.len();
    }
    for (key, value) in binary.entries() {
        value.invalid_each_as(errors, key, names::config_map_key(key));
        size += decoded_len(value.text());
    }
    if size > DATA_BYTES_MAX {
        // Kubernetes reports it at a path without a name.
        errors.push(FieldError::too_long(&Path::from_rendered("[]"), DATA_BYTES_MAX));
    }
}

/// Number of bytes that a base64 text encodes.
pub(super) fn decoded_len(text: &str) -> usize {
    text.trim_end_matches('=').len() * 3 / 4
}

/// An object that was made immutable stays so, and its data too.
pub(super) fn frozen(new: At<'_>, old: At<'_>, fields: &[&str], errors: &mut FieldErrors) {
    if !old.get("immutable").flag() {
        return;
    }
    if !new.get("immutable").flag() {
        new.get("immutable").forbidden(errors, FROZEN);
    }
    for field in fields {
        if new.get(field).value() != old.get(field).value() {
            new.get(field).forbidden(errors, FROZEN);
        }
    }
}
