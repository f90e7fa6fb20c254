//! Plugins about namespaces that a configuration may turn on.

use crate::chain::Plugin;
use async_trait::async_trait;
use sampan_api::admission::{Attributes, Mutated, Operation};
use sampan_api::k8s::api::core::v1::Namespace;
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan_api::{GroupResource, Object, RecordKey, Status};
use sampan_client::{Client, Informer};

fn is_in_one(attributes: &Attributes<'_>) -> bool {
    let itself = attributes.resource.group.is_empty() && attributes.resource.resource == "namespaces";
    !attributes.namespace.is_empty() && !itself
}

/// Makes namespaces that are not there (plugin/pkg/admission/namespace/autoprovision).
pub struct NamespaceAutoProvision {
    namespaces: Informer,
    client: Client,
}

impl NamespaceAutoProvision {
    /// `client` makes what `namespaces` has not.
    pub fn new(namespaces: Informer, client: Client) -> Self {
        Self { namespaces, client }
    }
}

#[async_trait]
impl Plugin for NamespaceAutoProvision {
    fn name(&self) -> &'static str {
        "NamespaceAutoProvision"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation == Operation::Create && !attributes.dry_run && is_in_one(attributes)
    }

    async fn mutate(&self, attributes: &Attributes<'_>, _: &mut Object) -> Result<Mutated, Status> {
        if self.namespaces.store().get(&RecordKey::new("", attributes.namespace)).is_some() {
            return Ok(Mutated::No);
        }
        let metadata = ObjectMeta { name: Some(attributes.namespace.to_owned()), ..ObjectMeta::default() };
        match self.client.all::<Namespace>().create(&Namespace { metadata, ..Namespace::default() }).await {
            Err(error) if !error.is_already_exists() => Err(attributes.forbidden(&error.to_string())),
            _ => Ok(Mutated::No),
        }
    }
}

/// Refuses what is of a namespace that is not there (plugin/pkg/admission/namespace/exists).
pub struct NamespaceExists {
    namespaces: Informer,
    client: Client,
}

impl NamespaceExists {
    /// `namespaces` answers nearly always; `client` is asked where it has not heard of a namespace yet.
    pub fn new(namespaces: Informer, client: Client) -> Self {
        Self { namespaces, client }
    }
}

#[async_trait]
impl Plugin for NamespaceExists {
    fn name(&self) -> &'static str {
        "NamespaceExists"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation != Operation::Connect && is_in_one(attributes)
    }

    async fn validate(&self, attributes: &Attributes<'_>, _: Option<&Object>) -> Result<(), Status> {
        let name = attributes.namespace;
        if self.namespaces.store().get(&RecordKey::new("", name)).is_some() {
            return Ok(());
        }
        match self.client.all::<Namespace>().get_record(name).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Err(Status::not_found(&GroupResource::new("", "namespaces"), name)),
            Err(error) => Err(Status::internal(&error.to_string())),
        }
    }
}
