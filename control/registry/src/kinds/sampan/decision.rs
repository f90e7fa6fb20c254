//! Decisions of the scheduler, and the call that stores many of them in one transaction.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::{HistoryClass, Resource, Verbs};
use sampan_api::scheduling::{GROUP, VERSION};

pub(super) fn row() -> Resource {
    Resource::new(GROUP, VERSION, "decisions", "Decision")
        .verbs(Verbs::ALL.without(Verbs::UPDATE).without(Verbs::PATCH))
        .selectable("pod.name")
        .history(HistoryClass::Scant)
        .strategy(RULES)
        .table(&[])
}

pub(super) fn batch_row() -> Resource {
    Resource::new(GROUP, VERSION, "decisionbatches", "DecisionBatch").cluster_scoped().action("decisionbatch")
}

const RULES: Rules = Rules { ..Rules::NONE };
