//! `coordination.k8s.io`.

mod lease;
mod lease_candidate;

use super::validation::{At, FieldErrors};
use crate::resource::Resource;
use sampan_api::names;

pub(super) fn rows() -> Vec<Resource> {
    let candidate = lease_candidate::row();
    let alpha = candidate.also_in("v1alpha2").deprecated_since(35, 38, None);
    vec![lease::row(), candidate, alpha]
}

const STRATEGIES: [&str; 1] = ["OldestEmulationVersion"];

/// The way in which a lease's holder is chosen: Kubernetes tells of it one step below.
fn strategy(strategy: At<'_>, errors: &mut FieldErrors) {
    if strategy.text().contains('/') {
        strategy.get("strategy").invalid_each_as(errors, strategy.text(), names::qualified_name(strategy.text()));
    } else if !STRATEGIES.contains(&strategy.text()) {
        strategy.get("strategy").not_supported_as(errors, strategy.text(), &STRATEGIES);
    }
}
