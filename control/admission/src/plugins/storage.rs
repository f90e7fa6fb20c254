//! Claims and volumes: who may grow, and who is kept while it is in use.

use super::default_class::CLAIM_CLASS;
use crate::chain::Plugin;
use async_trait::async_trait;
use sampan_api::admission::{Attributes, Mutated, Operation};
use sampan_api::k8s::api::storage::v1::StorageClass;
use sampan_api::{Object, Quantity, Status};
use sampan_client::Informer;
use sampan_schema::gates::Gates;
use serde_json::Value;

/// Lets claims grow only where they are bound and their class allows it
/// (plugin/pkg/admission/storage/persistentvolume/resize).
pub struct PersistentVolumeClaimResize(Informer);

impl PersistentVolumeClaimResize {
    /// `classes` are the StorageClasses.
    pub fn new(classes: Informer) -> Self {
        Self(classes)
    }

    fn may_grow(&self, claim: &Object, old: &Object) -> bool {
        let class = class_of(claim);
        if class.is_empty() || class != class_of(old) {
            return false;
        }
        let class = self.0.lister::<StorageClass>().get("", class);
        class.is_some_and(|class| class.allow_volume_expansion == Some(true))
    }
}

fn class_of(claim: &Object) -> &str {
    let own = || claim.get_str(&["spec", "storageClassName"]);
    claim.annotation(CLAIM_CLASS).or_else(own).unwrap_or_default()
}

fn size(claim: &Object) -> Quantity {
    let size = claim.get_str(&["spec", "resources", "requests", "storage"]);
    size.and_then(|size| size.parse().ok()).unwrap_or(Quantity::ZERO)
}

#[async_trait]
impl Plugin for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.is("", "persistentvolumeclaims") && attributes.operation == Operation::Update
    }

    async fn validate(&self, attributes: &Attributes<'_>, claim: Option<&Object>) -> Result<(), Status> {
        let (Some(claim), Some(old)) = (claim, attributes.old) else { return Ok(()) };
        if size(claim) <= size(old) {
            return Ok(());
        }
        if old.get_str(&["status", "phase"]) != Some("Bound") {
            return Err(attributes.forbidden("Only bound persistent volume claims can be expanded"));
        }
        if !self.may_grow(claim, old) {
            return Err(attributes.forbidden(
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
            ));
        }
        Ok(())
    }
}

/// Gives volumes, claims and classes of volume attributes the finalizer that a controller takes away once nobody uses them
/// (plugin/pkg/admission/storage/storageobjectinuseprotection).
#[derive(Clone, Copy, Debug)]
pub struct StorageObjectInUseProtection {
    /// Whether there are classes of volume attributes (the feature VolumeAttributesClass).
    attributes_classes: bool,
}

/// What is kept while it is in use, and by which finalizer.
const PROTECTED: [(&str, &str, &str); 3] = [
    ("", "persistentvolumes", "kubernetes.io/pv-protection"),
    ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"),
];

impl StorageObjectInUseProtection {
    /// `gates`: the features that are on.
    pub fn new(gates: &Gates) -> Self {
        Self { attributes_classes: gates.enabled("VolumeAttributesClass") }
    }

    fn finalizer_of(self, attributes: &Attributes<'_>) -> Option<&'static str> {
        let there = if self.attributes_classes { &PROTECTED[..] } else { &PROTECTED[..2] };
        there.iter().find(|(group, resource, _)| attributes.is(group, resource)).map(|(.., finalizer)| *finalizer)
    }
}

#[async_trait]
impl Plugin for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation == Operation::Create && self.finalizer_of(attributes).is_some()
    }

    async fn mutate(&self, attributes: &Attributes<'_>, object: &mut Object) -> Result<Mutated, Status> {
        let Some(finalizer) = self.finalizer_of(attributes).filter(|own| object.finalizers().all(|one| one != *own))
        else {
            return Ok(Mutated::No);
        };
        let mut all: Vec<Value> =
            object.metadata().get("finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
        all.push(finalizer.into());
        object.set_meta("finalizers", all);
        Ok(Mutated::Yes)
    }
}
