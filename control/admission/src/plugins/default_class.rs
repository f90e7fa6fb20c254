//! Default classes: an Ingress or a claim that names no class gets the one that an annotation says is the default.

use crate::chain::Plugin;
use async_trait::async_trait;
use sampan_api::admission::{Attributes, Mutated, Operation};
use sampan_api::k8s::Metadata;
use sampan_api::k8s::api::networking::v1::IngressClass;
use sampan_api::k8s::api::storage::v1::StorageClass;
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan_api::{Object, Status};
use sampan_client::Informer;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::cmp::Reverse;

/// The older annotation by which claims name their class.
pub(super) const CLAIM_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const STORAGE_DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const INGRESS_DEFAULT: [&str; 1] = ["ingressclass.kubernetes.io/is-default-class"];
const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";

/// The name of the default: of several the newest, then the first by name.
fn default_class<K>(classes: &Informer, annotations: &[&str]) -> Option<String>
where
    K: Metadata<Ty = ObjectMeta> + DeserializeOwned + Send + Sync + 'static,
{
    let all = classes.lister::<K>().list();
    let defaults = all.iter().map(|class| class.metadata()).filter(|metadata| {
        let own = metadata.annotations.as_ref();
        annotations.iter().any(|one| own.and_then(|own| own.get(*one)).is_some_and(|value| value == "true"))
    });
    let newest = defaults.min_by_key(|metadata| {
        (Reverse(metadata.creation_timestamp.as_ref().map(|time| time.0)), metadata.name.clone())
    });
    newest.and_then(|metadata| metadata.name.clone())
}

fn names_one(object: &Object, field: &[&str], annotation: &str) -> bool {
    object.get(field).is_some_and(|class| !class.is_null()) || object.annotation(annotation).is_some()
}

/// Gives claims the default StorageClass (plugin/pkg/admission/storage/storageclass/setdefault).
pub struct DefaultStorageClass(Informer);

impl DefaultStorageClass {
    /// `classes` are the StorageClasses.
    pub fn new(classes: Informer) -> Self {
        Self(classes)
    }
}

#[async_trait]
impl Plugin for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.is("", "persistentvolumeclaims") && attributes.operation == Operation::Create
    }

    async fn mutate(&self, _: &Attributes<'_>, claim: &mut Object) -> Result<Mutated, Status> {
        let field = ["spec", "storageClassName"];
        if names_one(claim, &field, CLAIM_CLASS) {
            return Ok(Mutated::No);
        }
        let Some(class) = default_class::<StorageClass>(&self.0, &STORAGE_DEFAULT) else { return Ok(Mutated::No) };
        claim.set(&field, Value::from(class));
        Ok(Mutated::Yes)
    }
}

/// Gives Ingresses the default IngressClass (plugin/pkg/admission/network/defaultingressclass).
pub struct DefaultIngressClass(Informer);

impl DefaultIngressClass {
    /// `classes` are the IngressClasses.
    pub fn new(classes: Informer) -> Self {
        Self(classes)
    }
}

#[async_trait]
impl Plugin for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.is("networking.k8s.io", "ingresses") && attributes.operation == Operation::Create
    }

    async fn mutate(&self, _: &Attributes<'_>, ingress: &mut Object) -> Result<Mutated, Status> {
        let field = ["spec", "ingressClassName"];
        if names_one(ingress, &field, INGRESS_CLASS) {
            return Ok(Mutated::No);
        }
        let Some(class) = default_class::<IngressClass>(&self.0, &INGRESS_DEFAULT) else { return Ok(Mutated::No) };
        ingress.set(&field, Value::from(class));
        Ok(Mutated::Yes)
    }
}
