//! The request that a task works on, for those deep below who wait for somebody outside: its seat is given back meanwhile.

use crate::exchange::Exchange;
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use sampan_api::Status;
use sampan_api::webhook::{CallError, WebhookCaller};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

tokio::task_local! {
    static EXCHANGE: Arc<Exchange>;
}

/// Does the work of a request.
pub(crate) async fn working_on<T>(exchange: Arc<Exchange>, work: impl Future<Output = T>) -> T {
    EXCHANGE.scope(exchange, work).await
}

/// Calls webhooks, and gives back the seat of the request that waits for them.
pub(crate) struct Aside(pub Arc<dyn WebhookCaller>);

#[async_trait]
impl WebhookCaller for Aside {
    async fn call(&self, config: &Value, body: Bytes, timeout: Duration) -> Result<Bytes, CallError> {
        self.0.call(config, body, timeout).await
    }

    async fn aside<'a>(&'a self, wait: BoxFuture<'a, ()>) -> Result<(), Box<Status>> {
        match EXCHANGE.try_with(Arc::clone) {
            Ok(exchange) => exchange.aside(wait).await.map_err(Box::new),
            // A stream has no seat.
            Err(_) => self.0.aside(wait).await,
        }
    }
}
