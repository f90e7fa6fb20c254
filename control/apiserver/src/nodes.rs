//! The ways to reach nodes: in this process, or through their tunnels.

use crate::ApiService;
use futures::future::BoxFuture;
use sampan_api::Status;

/// Reaches the kubelet API of a node: in this process, or through the node's tunnel.
pub trait NodeConnector: Send + Sync + 'static {
    /// The service of that node. `Err`: there is no such node, or it cannot be reached now.
    fn connect<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<ApiService, Status>>;
}

/// For servers that have no nodes: says so.
#[derive(Clone, Copy, Debug)]
pub struct NoNodes;

impl NodeConnector for NoNodes {
    fn connect<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<ApiService, Status>> {
        Box::pin(async move { Err(Status::internal(&format!("node {node} cannot be reached from this server"))) })
    }
}
