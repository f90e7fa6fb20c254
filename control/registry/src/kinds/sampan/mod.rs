//! `scheduling.sampan.dev` and `history.sampan.dev`: our own groups.

mod change;
mod decision;
mod scheduling_policy;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![change::row(), decision::batch_row(), decision::row(), scheduling_policy::row()]
}
