//! `resource.k8s.io`: devices.

mod admin_access;
mod claim_status;
mod device_class;
mod device_taint_rule;
mod earlier;
mod requests;
mod resource_claim;
mod resource_claim_template;
mod resource_slice;
mod selectors;

use super::validation::{At, FieldErrors};
use crate::resource::Resource;
use sampan_api::names;

pub(super) fn rows() -> Vec<Resource> {
    let mut rows =
        vec![device_class::row(), resource_claim::row(), resource_claim_template::row(), resource_slice::row()];
    let second = rows.iter().map(|row| row.also_in("v1beta2")).collect::<Vec<_>>();
    let first = earlier::rows(&rows);
    rows.extend(second);
    rows.extend(first);
    rows.push(device_taint_rule::row());
    rows
}

/// Longest C identifier of an attribute or a capacity, bytes.
const IDENTIFIER_MAX: usize = 32;
/// Longest name of a driver, bytes.
const DRIVER_MAX: usize = 63;

fn identifier(at: At<'_>, text: &str, errors: &mut FieldErrors) {
    if text.len() > IDENTIFIER_MAX {
        at.too_long(errors, IDENTIFIER_MAX);
    }
    let sound = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if text.is_empty() || text.as_bytes()[0].is_ascii_digit() || !text.bytes().all(sound) {
        at.invalid_as(
            errors,
            text,
            "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric \
             characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is \
             '[A-Za-z_][A-Za-z0-9_]*')",
        );
    }
}

/// The name of an attribute or a capacity: a C identifier, with the domain of a driver before it or none.
fn qualified(at: At<'_>, text: &str, errors: &mut FieldErrors) {
    let parts: Vec<&str> = text.split('/').collect();
    match parts.as_slice() {
        [name] => identifier(at, name, errors),
        [domain, name] => {
            if domain.is_empty() {
                at.invalid_as(errors, "", "the domain must not be empty");
            } else {
                if domain.len() > DRIVER_MAX {
                    at.too_long(errors, DRIVER_MAX);
                }
                at.invalid_each_as(errors, domain, names::dns1123_subdomain(&domain.to_lowercase()));
            }
            match name.is_empty() {
                true => at.invalid_as(errors, "", "the name must not be empty"),
                false => identifier(at, name, errors),
            }
        }
        // Kubernetes lets longer ones pass.
        _ => {}
    }
}
