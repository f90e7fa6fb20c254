//! `scheduling.sampan.dev`: our own group.

mod decision;
mod scheduling_policy;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![decision::batch_row(), decision::row(), scheduling_policy::row()]
}
