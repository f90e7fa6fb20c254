//! Controller references: whose an object is, and taking or leaving it (client-go's ControllerRefManager).

use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::{LabelSelector as V1Selector, ObjectMeta, OwnerReference};
use sampan_api::k8s::{Metadata, Resource};
use sampan_api::{LabelSelector, Path};
use sampan_client::Patch;
use serde_json::json;

pub(crate) fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

pub(crate) fn namespace(meta: &ObjectMeta) -> &str {
    meta.namespace.as_deref().unwrap_or_default()
}

pub(crate) fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

pub(crate) fn is_being_deleted(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some()
}

pub(crate) fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

pub(crate) fn is_controlled_by(meta: &ObjectMeta, owner: &ObjectMeta) -> bool {
    controller(meta).is_some_and(|reference| reference.uid == uid(owner))
}

/// The reference that makes `owner` the controller.
pub(crate) fn reference<K: Resource + Metadata<Ty = ObjectMeta>>(owner: &K) -> OwnerReference {
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
pub(crate) fn selector(selector: &V1Selector) -> Option<LabelSelector> {
    let value = serde_json::to_value(selector).ok()?;
    if value.as_object().is_none_or(serde_json::Map::is_empty) {
        return None;
    }
    LabelSelector::from_v1(&value, &Path::new("spec").child("selector")).ok()
}

pub(crate) fn matches(selector: &LabelSelector, meta: &ObjectMeta) -> bool {
    selector.matches(|key| meta.labels.as_ref()?.get(key).map(String::as_str))
}

/// As [`matches`], of a record.
pub(crate) fn matches_record(selector: &LabelSelector, record: &sampan_api::Record) -> bool {
    selector.matches(|key| record.labels.get(key).map(String::as_str))
}

/// What to do with an object of the kind that an owner controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Mine,
    Adopt,
    Release,
    NotMine,
}

pub(crate) fn claim(owner: &ObjectMeta, selector: &LabelSelector, object: &ObjectMeta) -> Claim {
    let matches = matches(selector, object);
    match controller(object) {
        Some(reference) if reference.uid != uid(owner) => Claim::NotMine,
        Some(_) if matches => Claim::Mine,
        // An owner that is going leaves its objects to the garbage collector.
        Some(_) if is_being_deleted(owner) => Claim::NotMine,
        Some(_) => Claim::Release,
        None if matches && !is_being_deleted(owner) && !is_being_deleted(object) => Claim::Adopt,
        None => Claim::NotMine,
    }
}

/// Makes `owner` the controller; the UID in the patch refuses a successor of the object's name.
pub(crate) fn adopt<K: Resource + Metadata<Ty = ObjectMeta>>(owner: &K, object: &ObjectMeta) -> Patch {
    Patch::Strategic(json!({"metadata": {"ownerReferences": [reference(owner)], "uid": uid(object)}}))
}

pub(crate) fn release(owner: &ObjectMeta, object: &ObjectMeta) -> Patch {
    Patch::Strategic(json!({
        "metadata": {"ownerReferences": [{"$patch": "delete", "uid": uid(owner)}], "uid": uid(object)}
    }))
}
