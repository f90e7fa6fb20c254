//! Joins the registry's admission seam to the admission chain: neither room knows the other.

use async_trait::async_trait;
use sampan_admission::{Chain, Operation, Request};
use sampan_api::user::USER_APISERVER;
use sampan_api::{Object, Status};
use sampan_registry::admission as seam;
use std::sync::{Arc, OnceLock};

/// The chain, set once the informers that its plugins read are there. Until then only the server's own first objects
/// pass.
#[derive(Clone, Default)]
pub struct ChainAdmission {
    chain: Arc<OnceLock<Chain>>,
}

impl ChainAdmission {
    /// Puts the chain in force; a second one is ignored.
    pub fn set(&self, chain: Chain) {
        self.chain.get_or_init(|| chain);
    }

    fn chain(&self, attributes: &seam::Attributes<'_>) -> Result<Option<&Chain>, Status> {
        match self.chain.get() {
            Some(chain) => Ok(Some(chain)),
            None if attributes.user.name == USER_APISERVER => Ok(None),
            None => Err(Status::service_unavailable("the server is starting: admission is not ready")),
        }
    }
}

fn operation(operation: seam::Operation) -> Operation {
    match operation {
        seam::Operation::Create => Operation::Create,
        seam::Operation::Update => Operation::Update,
        seam::Operation::Delete => Operation::Delete,
        seam::Operation::Connect => Operation::Connect,
    }
}

#[async_trait]
impl seam::Admission for ChainAdmission {
    async fn mutate(&self, attributes: &seam::Attributes<'_>, object: &mut Object) -> Result<seam::Mutated, Status> {
        let Some(chain) = self.chain(attributes)? else { return Ok(seam::Mutated::No) };
        let resource = attributes.resource.gvr();
        let changed = chain.mutate(&request(attributes, &resource), object).await?;
        Ok(if changed { seam::Mutated::Yes } else { seam::Mutated::No })
    }

    async fn validate(&self, attributes: &seam::Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        let Some(chain) = self.chain(attributes)? else { return Ok(()) };
        let resource = attributes.resource.gvr();
        chain.validate(&request(attributes, &resource), object).await
    }
}

fn request<'a>(attributes: &seam::Attributes<'a>, resource: &'a sampan_api::GroupVersionResource) -> Request<'a> {
    Request {
        operation: operation(attributes.operation),
        resource,
        subresource: attributes.subresource,
        namespace: attributes.namespace,
        name: attributes.name,
        user: attributes.user,
        dry_run: attributes.dry_run,
        old: attributes.old,
    }
}
