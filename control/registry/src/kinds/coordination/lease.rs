//! Leases: a holder and the times of its renewals.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use super::super::validation::{At, FieldErrors};
use crate::resource::{HistoryClass, Resource};
use crate::strategy::MetadataOfUpdate;

pub(super) fn row() -> Resource {
    Resource::new("coordination.k8s.io", "v1", "leases", "Lease")
        .history(HistoryClass::Scant)
        .strategy(RULES)
        .table(&[])
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Change),
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

fn spec(at: At<'_>, errors: &mut FieldErrors) {
    let strategy = at.get("strategy");
    if strategy.is_set() {
        super::strategy(strategy, errors);
    }
    if !at.get("preferredHolder").is_empty() && strategy.is_empty() {
        at.get("preferredHolder").forbidden(errors, "may only be specified if `strategy` is defined");
    }
}
