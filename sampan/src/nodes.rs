//! The API server's way to the node that runs in the same process.

use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use sampan_api::Status;
use sampan_apiserver::{ApiService, NodeConnector};
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
