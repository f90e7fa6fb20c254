//! Leases: a holder and the times of its renewals.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::{At, FieldErrors};
use crate::resource::{HistoryClass, Resource};
use sampan_api::names;

pub(super) fn row() -> Resource {
    Resource::new("coordination.k8s.io", "v1", "leases", "Lease")
        .history(HistoryClass::Scant)
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    finalizers_without_domain: true,
    validate: Some(|_, object| {
        let mut errors = FieldErrors::default();
        spec(At::object(object).get("spec"), &mut errors);
        errors
    }),
    create_on_update: true,
    unconditional_update: false,
    ..Rules::NONE
};

const STRATEGIES: [&str; 1] = ["OldestEmulationVersion"];

fn spec(at: At<'_>, errors: &mut FieldErrors) {
    let strategy = at.get("strategy");
    if strategy.is_set() && !strategy.text().contains('/') && !STRATEGIES.contains(&strategy.text()) {
        strategy.get("strategy").not_supported_as(errors, strategy.text(), &STRATEGIES);
    } else if strategy.text().contains('/') {
        strategy.get("strategy").invalid_each_as(errors, strategy.text(), names::qualified_name(strategy.text()));
    }
    if !at.get("preferredHolder").is_empty() && strategy.is_empty() {
        at.get("preferredHolder").forbidden(errors, "may only be specified if `strategy` is defined");
    }
}
