//! The resources that the server serves, as a controller last asked for them.

use crate::{Error, limits};
use parking_lot::Mutex;
use sampan_client::{Client, Discovery};
use std::sync::Arc;
use tokio::time::Instant;

/// Asks again once what it knows is older than [`limits::DISCOVERY_MAX_AGE`].
pub(crate) struct Served {
    client: Client,
    known: Mutex<Option<(Instant, Arc<Discovery>)>>,
}

impl Served {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, known: Mutex::new(None) }
    }

    /// # Errors
    /// The server could not be asked.
    pub(crate) async fn get(&self) -> Result<Arc<Discovery>, Error> {
        let now = self.client.env().instant();
        if let Some((at, served)) = &*self.known.lock()
            && now.duration_since(*at) < limits::DISCOVERY_MAX_AGE
        {
            return Ok(served.clone());
        }
        let served = Arc::new(self.client.discover().await?);
        *self.known.lock() = Some((now, served.clone()));
        Ok(served)
    }
}
