//! The node that runs in the same process: the API server's way to it, and its block of addresses.

use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use sampan_api::Status;
use sampan_api::k8s::api::core::v1::Node;
use sampan_apiserver::{ApiService, NodeConnector};
use sampan_client::{Client, Patch};
use sampan_node::address::Block;
use serde_json::json;
use std::sync::{Arc, OnceLock};

/// The kubelet API of this process's node, once it is there.
#[derive(Clone, Default)]
pub struct OwnNode {
    inner: Arc<OnceLock<(String, Mutex<ApiService>)>>,
}

impl OwnNode {
    pub fn set(&self, name: &str, service: ApiService) {
        self.inner.get_or_init(|| (name.to_owned(), Mutex::new(service)));
    }
}

impl NodeConnector for OwnNode {
    fn connect<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<ApiService, Status>> {
        let found = match self.inner.get() {
            Some((name, service)) if name == node => Ok(service.lock().clone()),
            _ => Err(Status::internal(&format!("node {node} cannot be reached from this server"))),
        };
        std::future::ready(found).boxed()
    }
}

/// Gives a Node its block of the pods' range, as Kubernetes' node IPAM does. One that has a block keeps it in its object: it
/// cannot be changed there, and pods get their addresses from the blocks that the process has taken.
pub async fn name_block(client: &Client, name: &str, block: Block) -> sampan_client::Result<()> {
    let nodes = client.all::<Node>();
    if let Some(patch) = block_patch(&nodes.get(name).await?, &block.to_string()) {
        nodes.patch(name, &patch).await?;
    }
    Ok(())
}

fn block_patch(known: &Node, block: &str) -> Option<Patch> {
    let spec = known.spec.as_ref();
    match spec.and_then(|spec| spec.pod_cidr.as_deref()).filter(|known| !known.is_empty()) {
        Some(known) if known != block => {
            tracing::info!(known, block, "the node's block of addresses is another than its object says");
            None
        }
        Some(_) => None,
        None => Some(Patch::Strategic(json!({"spec": {"podCIDR": block, "podCIDRs": [block]}}))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_gets_its_block_once() {
        let check = |known: Option<&str>, expected: bool| {
            let node: Node = serde_json::from_value(json!({"spec": {"podCIDR": known}})).expect("a node");
            let patch = block_patch(&node, "127.64.3.0/24").map(|patch| patch.body().clone());
            let named = json!({"spec": {"podCIDR": "127.64.3.0/24", "podCIDRs": ["127.64.3.0/24"]}});
            assert_eq!(patch, expected.then_some(named), "{known:?}");
        };
        check(None, true);
        check(Some(""), true);
        check(Some("127.64.3.0/24"), false);
        check(Some("127.64.9.0/24"), false);
    }
}
