//! The rows of all built-in kinds. What is hand-written about a kind stands in `<group>/<kind>.rs`: its row, strategy
//! and validation; how it looks as a Table in `control/schema/data/columns`. Rules that several kinds share are in
//! `validation/`.
//!
//! Invariant: everything here is pure and knows no storage.

mod admissionregistration;
mod apiextensions;
mod apiregistration;
mod apiserverinternal;
mod apps;
mod authentication;
mod authorization;
mod autoscaling;
mod batch;
mod certificates;
mod columns;
mod coordination;
mod core;
mod discovery;
mod events;
mod flowcontrol;
mod networking;
mod node;
mod policy;
mod rbac;
mod resource;
mod rules;
mod sampan;
mod scheduling;
mod storage;
mod storagemigration;
mod validation;

pub use columns::age;

use crate::allocate::Pools;
use crate::resource::Resource;
use sampan_api::meta::GroupVersionKind;

/// Every built-in row, in the order of discovery: groups as Kubernetes lists them and ours last, versions by priority,
/// resources by name.
pub fn all() -> Vec<Resource> {
    let groups = [
        core::rows,
        apiregistration::rows,
        apps::rows,
        events::rows,
        authentication::rows,
        authorization::rows,
        autoscaling::rows,
        batch::rows,
        certificates::rows,
        networking::rows,
        policy::rows,
        rbac::rows,
        storage::rows,
        admissionregistration::rows,
        apiextensions::rows,
        scheduling::rows,
        coordination::rows,
        node::rows,
        discovery::rows,
        resource::rows,
        flowcontrol::rows,
        apiserverinternal::rows,
        storagemigration::rows,
        sampan::rows,
    ];
    groups.into_iter().flat_map(|rows| rows()).collect()
}

/// The pools that the built-in kinds' allocators draw from, with Kubernetes' own ranges.
pub fn pools() -> Pools {
    core::POOLS.into_iter().collect()
}

pub use core::{CLUSTER_IPS, NODE_PORTS, ServiceAllocator};

/// Group, version and resource of namespaces.
pub(crate) const NAMESPACES: (&str, &str, &str) = ("", "v1", "namespaces");

/// The body of every scale.
fn scale_kind() -> GroupVersionKind {
    GroupVersionKind::new("autoscaling", "v1", "Scale")
}

#[cfg(test)]
mod tests;
