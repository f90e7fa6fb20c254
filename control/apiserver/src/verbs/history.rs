//! The right to history, which a read of an old revision may need: see `sampan_registry::history`.

use crate::ask::Ask;
use crate::chain::{attributes, forbidden};
use crate::core::Core;
use async_trait::async_trait;
use sampan_api::{Attributes, Status};
use sampan_registry::{HistoryRight, OfferedRight, Past};
use std::sync::Arc;

/// The group in which each resource stands for its own past: `get` on its `configmaps` reads what ConfigMaps were.
const GROUP: &str = "history.sampan.dev";
const VERSION: &str = "v1alpha1";

/// The caller's right to the history of what it reads, where the request names a revision.
pub(super) fn right(ask: &Ask, names_revision: bool) -> OfferedRight {
    names_revision.then(|| asked(ask, attributes(&ask.exchange, &ask.user, ask.parts.uri.query())))
}

/// The caller's right to the history of what the attributes name.
pub(super) fn right_to(ask: &Ask, attributes: Attributes) -> OfferedRight {
    Some(asked(ask, attributes))
}

fn asked(ask: &Ask, attributes: Attributes) -> Arc<dyn HistoryRight> {
    let attributes = Attributes { group: GROUP.to_owned(), version: VERSION.to_owned(), ..attributes };
    Arc::new(Asked { core: ask.core.clone(), attributes })
}

struct Asked {
    core: Arc<Core>,
    attributes: Attributes,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("attributes", &self.attributes).finish_non_exhaustive()
    }
}

#[async_trait]
impl HistoryRight for Asked {
    async fn check(&self, past: Past) -> Result<(), Status> {
        let mut attributes = self.attributes.clone();
        if past == Past::OfAnother {
            attributes.namespace.clear();
        }
        let decision = self.core.authorizer.authorize(&attributes).await;
        if decision.allowed() { Ok(()) } else { Err(forbidden(&attributes, &decision)) }
    }
}
