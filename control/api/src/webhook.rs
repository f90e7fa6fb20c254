//! The seam to webhooks: who needs one to be called is given a caller, and does no HTTP itself.

use crate::status::Status;
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

/// Calls webhooks.
#[async_trait]
pub trait WebhookCaller: Send + Sync {
    /// Posts `body` to the webhook of a `clientConfig` (`url` or `service`, and `caBundle`), and gives its answer.
    ///
    /// # Errors
    /// What kept it from answering with success in time.
    async fn call(&self, config: &Value, body: Bytes, timeout: Duration) -> Result<Bytes, CallError>;

    /// Waits for a webhook, or for a turn with it, without holding what other requests wait for.
    ///
    /// # Errors
    /// The refusal of the request that waited and cannot go on.
    async fn aside<'a>(&'a self, wait: Pin<Box<dyn Future<Output = ()> + Send + 'a>>) -> Result<(), Box<Status>> {
        wait.await;
        Ok(())
    }
}

/// The reason why a webhook gave no answer, in the reference's words where it can be told.
#[derive(Clone, Debug)]
pub struct CallError(pub String);

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
