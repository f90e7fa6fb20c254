//! The core group.

mod binding;
mod cluster_ips;
mod component_status;
mod config_map;
mod endpoints;
pub(super) mod event;
mod limit_range;
mod namespace;
mod node;
pub(super) mod persistent_volume;
mod persistent_volume_claim;
mod pod;
mod pod_template;
mod replication_controller;
mod resource_quota;
mod secret;
pub(super) mod service;
mod service_account;
mod service_allocator;
mod service_fields;

use crate::allocate::Pool;
use crate::resource::Resource;
use sampan_api::meta::GroupVersionKind;
use sampan_api::object::Object;
use serde_json::Value;

pub use service_allocator::{CLUSTER_IPS, NODE_PORTS, ServiceAllocator};

/// The pools of this group's kinds.
pub(super) const POOLS: [(&str, Pool); 2] = service_allocator::POOLS;

pub(super) fn rows() -> Vec<Resource> {
    vec![
        binding::row(),
        component_status::row(),
        config_map::row(),
        endpoints::row(),
        event::row(),
        limit_range::row(),
        namespace::row(),
        node::row(),
        persistent_volume_claim::row(),
        persistent_volume::row(),
        pod::row(),
        pod_template::row(),
        replication_controller::row(),
        resource_quota::row(),
        secret::row(),
        service_account::row(),
        service::row(),
    ]
}

/// The kind of a stream's options, as discovery names it.
fn connect_options(kind: &str) -> Option<GroupVersionKind> {
    Some(GroupVersionKind::new("", "v1", kind))
}

/// Whether the first condition of that type has that status.
pub(super) fn condition_is(object: &Object, type_: &str, status: &str) -> bool {
    condition(object, type_).and_then(|condition| condition.get("status")).and_then(Value::as_str) == Some(status)
}

/// The first condition of that type.
pub(super) fn condition<'a>(object: &'a Object, type_: &str) -> Option<&'a Value> {
    let conditions = object.get(&["status", "conditions"])?.as_array()?;
    conditions.iter().find(|condition| condition.get("type").and_then(Value::as_str) == Some(type_))
}

/// `helper.GetAccessModesAsString`: the short forms, in this order.
fn access_modes(modes: Option<&Value>) -> String {
    const SHORT: [(&str, &str); 4] =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = |mode: &str| modes.and_then(Value::as_array).is_some_and(|modes| modes.iter().any(|m| m == mode));
    SHORT.into_iter().filter(|(mode, _)| has(mode)).map(|(_, short)| short).collect::<Vec<_>>().join(",")
}

/// The storage class of a volume or claim: the old annotation wins over the field.
fn storage_class(object: &Object) -> String {
    let annotation = object.annotation("volume.beta.kubernetes.io/storage-class");
    annotation.or_else(|| object.get_str(&["spec", "storageClassName"])).unwrap_or("").to_owned()
}

/// The phase of a volume or claim, as tables show it.
fn phase(object: &Object) -> String {
    let phase = object.get_str(&["status", "phase"]).unwrap_or("");
    if object.deletion_timestamp().is_some() { "Terminating".to_owned() } else { phase.to_owned() }
}
