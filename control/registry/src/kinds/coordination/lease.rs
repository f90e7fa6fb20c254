//! Who holds what, and since when.

use super::super::columns::Tabled;
use super::super::rules::Rules;
use crate::resource::{HistoryClass, Resource};

pub(super) fn row() -> Resource {
    Resource::new("coordination.k8s.io", "v1", "leases", "Lease").history(HistoryClass::Scant).strategy(RULES).table(&[])
}

const RULES: Rules = Rules { create_on_update: true, unconditional_update: false, ..Rules::NONE };
