//! Readings of an object's metadata for controllers: its names, its controller, and whether a selector selects it.

use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::{LabelSelector as V1Selector, ObjectMeta, OwnerReference};
use sampan_api::k8s::{Metadata, Resource};
use sampan_api::{LabelSelector, Path, Record, RecordKey};

/// `metadata.name`, empty where there is none.
pub fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

/// `metadata.namespace`, empty of a cluster-scoped object.
pub fn namespace(meta: &ObjectMeta) -> &str {
    meta.namespace.as_deref().unwrap_or_default()
}

/// `metadata.uid`, empty before the object was stored.
pub fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

/// Whether `metadata.deletionTimestamp` is set.
pub fn is_being_deleted(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some()
}

/// The reference to the controller, if there is one.
pub fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// Whether `owner` is the controller, by UID.
pub fn is_controlled_by(meta: &ObjectMeta, owner: &ObjectMeta) -> bool {
    controller(meta).is_some_and(|reference| reference.uid == uid(owner))
}

/// The reference that makes `owner` the controller.
pub fn reference<K: Resource + Metadata<Ty = ObjectMeta>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::API_VERSION.into(),
        kind: K::KIND.into(),
        name: name(owner.metadata()).into(),
        uid: uid(owner.metadata()).into(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The parsed selector; `None` for one that is absent, empty or invalid: it would select everything.
pub fn selector(selector: &V1Selector) -> Option<LabelSelector> {
    let value = serde_json::to_value(selector).ok()?;
    if value.as_object().is_none_or(serde_json::Map::is_empty) {
        return None;
    }
    LabelSelector::from_v1(&value, &Path::new("spec").child("selector")).ok()
}

/// Whether the selector selects the labels of `meta`.
pub fn matches(selector: &LabelSelector, meta: &ObjectMeta) -> bool {
    selector.matches(|key| meta.labels.as_ref()?.get(key).map(String::as_str))
}

/// As [`matches`], of a record.
pub fn matches_record(selector: &LabelSelector, record: &Record) -> bool {
    selector.matches(|key| record.labels.get(key).map(String::as_str))
}

/// The key of the controller of kind `kind` in the record's own namespace, if it has one.
pub fn controller_key(record: &Record, kind: &str) -> Option<RecordKey> {
    let owner = record.owners.iter().find(|owner| owner.controller && owner.kind == kind)?;
    Some(RecordKey::new(record.key.namespace.clone(), owner.name.as_str()))
}

/// Whether the object of this record has a controller.
pub fn has_controller(record: &Record) -> bool {
    record.owners.iter().any(|owner| owner.controller)
}
