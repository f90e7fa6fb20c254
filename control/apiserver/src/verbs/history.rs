//! The right to history, which a read of an old revision may need: see `sampan_registry::history`.

use crate::ask::Ask;
use crate::chain::{attributes, forbidden};
use crate::core::Core;
use crate::exchange::Exchange;
use async_trait::async_trait;
use sampan_api::{Attributes, Status, UserInfo};
use sampan_registry::{HistoryRight, OfferedRight, Past};
use std::sync::Arc;

/// The group in which each resource stands for its own past: `get` on its `configmaps` reads what ConfigMaps were.
const GROUP: &str = "history.sampan.dev";
const VERSION: &str = "v1alpha1";

/// The caller's right to the history of what it reads, where the request names a revision.
pub(super) fn right(ask: &Ask, names_revision: bool) -> OfferedRight {
    names_revision.then(|| -> Arc<dyn HistoryRight> {
        Arc::new(Asked {
            core: ask.core.clone(),
            exchange: ask.exchange.clone(),
            user: ask.user.clone(),
            query: ask.parts.uri.query().map(str::to_owned),
        })
    })
}

struct Asked {
    core: Arc<Core>,
    exchange: Arc<Exchange>,
    user: Arc<UserInfo>,
    query: Option<String>,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("user", &self.user.name).field("path", &self.exchange.info.path()).finish()
    }
}

#[async_trait]
impl HistoryRight for Asked {
    async fn check(&self, past: Past) -> Result<(), Status> {
        let mut attributes = Attributes {
            group: GROUP.to_owned(),
            version: VERSION.to_owned(),
            ..attributes(&self.exchange, &self.user, self.query.as_deref())
        };
        if past == Past::OfAnother {
            attributes.namespace.clear();
        }
        let decision = self.core.authorizer.authorize(&attributes).await;
        if decision.allowed() { Ok(()) } else { Err(forbidden(&attributes, &decision)) }
    }
}
