//! `networking.k8s.io`.

mod ingress;
mod ingress_class;
mod ip_address;
mod network_policy;
mod service_cidr;

use super::validation::checks::required_named;
use super::validation::{At, FieldErrors};
use crate::resource::Resource;
use sampan_api::names;

pub(super) fn rows() -> Vec<Resource> {
    let (address, range) = (ip_address::row(), service_cidr::row());
    let beta = [&address, &range].map(|row| row.also_in("v1beta1").deprecated_since(34, 37, None));
    let mut rows = vec![ingress_class::row(), ingress::row(), address, network_policy::row(), range];
    rows.extend(beta);
    rows
}

/// A reference to an object of any kind, where one is set.
fn typed_reference(at: At<'_>, errors: &mut FieldErrors) {
    if !at.is_set() {
        return;
    }
    let group = at.get("apiGroup");
    if group.is_set() {
        group.invalid_each(errors, names::dns1123_subdomain(group.text()));
    }
    required_named(at.get("kind"), errors, names::path_segment);
    required_named(at.get("name"), errors, names::path_segment);
}
