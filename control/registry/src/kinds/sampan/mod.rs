//! `scheduling.sampan.dev` and `history.sampan.dev`: our own groups.

mod change;
mod decision;
mod scheduling_policy;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    let rows = [change::row(), decision::batch_row(), decision::row(), scheduling_policy::row()];
    rows.into_iter().map(Resource::by_default).collect()
}
