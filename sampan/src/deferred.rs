//! Authorization and admission that are complete only after the server that they guard can be read.

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt};
use sampan_admission::Chain;
use sampan_api::admission::{self, Admission, Charges, Mutated};
use sampan_api::user::{Attributes, Authorizer, Decision, GROUP_MASTERS, USER_APISERVER};
use sampan_api::{Object, Status};
use std::sync::{Arc, OnceLock};

/// Until the authorizers are set, only `system:masters` may do anything (the control plane's own identity is one).
#[derive(Clone, Default)]
pub struct DeferredAuthorizer {
    inner: Arc<OnceLock<Arc<dyn Authorizer>>>,
}

impl DeferredAuthorizer {
    /// Puts the authorizer in force; a second one is ignored.
    pub fn set(&self, authorizer: Arc<dyn Authorizer>) {
        self.inner.get_or_init(|| authorizer);
    }
}

impl Authorizer for DeferredAuthorizer {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        match self.inner.get() {
            Some(authorizer) => authorizer.authorize(attributes),
            None if attributes.user.in_group(GROUP_MASTERS) => std::future::ready(Decision::allow("")).boxed(),
            None => std::future::ready(Decision::no_opinion("the server is starting")).boxed(),
        }
    }
}

/// Until the chain is set, only the server's own first objects pass.
#[derive(Clone, Default)]
pub struct DeferredAdmission {
    inner: Arc<OnceLock<Chain>>,
}

impl DeferredAdmission {
    /// Puts the chain in force; a second one is ignored.
    pub fn set(&self, chain: Chain) {
        self.inner.get_or_init(|| chain);
    }

    fn chain(&self, attributes: &admission::Attributes<'_>) -> Result<Option<&Chain>, Status> {
        match self.inner.get() {
            Some(chain) => Ok(Some(chain)),
            None if attributes.user.name == USER_APISERVER => Ok(None),
            None => Err(Status::service_unavailable("the server is starting: admission is not ready")),
        }
    }
}

#[async_trait]
impl Admission for DeferredAdmission {
    async fn mutate(
        &self,
        attributes: &admission::Attributes<'_>,
        object: Option<&mut Object>,
    ) -> Result<Mutated, Status> {
        match self.chain(attributes)? {
            Some(chain) => chain.mutate(attributes, object).await,
            None => Ok(Mutated::No),
        }
    }

    async fn validate(&self, attributes: &admission::Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        match self.chain(attributes)? {
            Some(chain) => chain.validate(attributes, object).await,
            None => Ok(()),
        }
    }

    async fn charge(&self, attributes: &admission::Attributes<'_>, object: &Object) -> Result<Charges, Status> {
        match self.chain(attributes)? {
            Some(chain) => chain.charge(attributes, object).await,
            None => Ok(Charges::default()),
        }
    }
}
