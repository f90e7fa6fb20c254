//! `apps`: the workloads.

mod controller_revision;
mod daemon_set;
mod deployment;
mod replica_set;
mod stateful_set;

use crate::resource::Resource;

pub(super) fn rows() -> Vec<Resource> {
    vec![controller_revision::row(), daemon_set::row(), deployment::row(), replica_set::row(), stateful_set::row()]
}
