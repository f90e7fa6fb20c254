//! State that all requests share.

use crate::Build;
use crate::aggregation::Aggregation;
use crate::compute::Compute;
use crate::line::Ledgers;
use crate::metrics::Metrics;
use crate::nodes::NodeConnector;
use sampan_api::admission::Admission;
use sampan_api::{Authorizer, UserInfo};
use sampan_env::{CancellationToken, Env, Tasks};
use sampan_registry::Registry;
use serde_json::Value;
use std::sync::Arc;

/// Lists what an identity may do in a namespace, for SelfSubjectRulesReview.
pub trait RuleResolver: Send + Sync + 'static {
    /// A `SubjectRulesReviewStatus` of bounded size. It may compute for some milliseconds: no thread that serves calls it.
    fn rules(&self, user: &UserInfo, namespace: &str) -> Value;
}

/// The server's parts, shared by all requests.
pub(crate) struct Core {
    /// Clock and randomness.
    pub env: Env,
    /// Own what outlives its request.
    pub tasks: Tasks,
    /// The end has begun: see [`crate::ApiServer::stopping`].
    pub stopping: CancellationToken,
    /// This process's own callers are ended too.
    pub ended: CancellationToken,
    /// Reads and writes all kinds.
    pub registry: Registry,
    /// Decides what a caller may do.
    pub authorizer: Arc<dyn Authorizer>,
    /// Changes and refuses what is written.
    pub admission: Arc<dyn Admission>,
    /// Reaches the nodes.
    pub nodes: Arc<dyn NodeConnector>,
    /// Group versions that other servers have.
    pub aggregation: Arc<Aggregation>,
    /// Lists what a caller may do.
    pub rules: Option<Arc<dyn RuleResolver>>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// As `/version` says it.
    pub version: String,
    /// The build, as `/version` says it.
    pub build: Build,
    /// Does what takes long.
    pub compute: Compute,
    /// The accounts of what is held for clients.
    pub ledgers: Ledgers,
}
