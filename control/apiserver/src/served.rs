//! The server's work beside the verbs: actions and streams that rows name, and fixed routes.

use crate::actions::Action;
use crate::connect::Streams;
use crate::core::Core;
use axum::Router;
use std::collections::HashMap;
use std::sync::Arc;

/// The parts that the dispatch chooses from.
pub(crate) struct Served {
    /// State that all requests share.
    pub core: Arc<Core>,
    /// The actions, by the names that rows use.
    pub actions: HashMap<String, Arc<dyn Action>>,
    /// The streams, the same.
    pub streams: Streams,
    /// The fixed routes, for paths that name no resource.
    pub router: Router,
}
