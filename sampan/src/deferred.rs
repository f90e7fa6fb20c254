//! Authorization that is complete only after the server that it guards can be read.

use futures::future::{BoxFuture, FutureExt};
use sampan_api::user::{Attributes, Authorizer, Decision, GROUP_MASTERS};
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
