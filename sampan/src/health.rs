//! The checks of `/readyz` and `/livez`.

use futures::future::{BoxFuture, FutureExt};
use sampan_apiserver::Check;
use sampan_store::Store;
use sampan_store::sqlite::SqliteStore;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Fails until the start is over.
#[derive(Clone, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Check for Ready {
    fn name(&self) -> &str {
        "poststarthook/start"
    }
    fn check(&self) -> BoxFuture<'_, Result<(), String>> {
        let ready = self.0.load(Ordering::Acquire);
        std::future::ready(if ready { Ok(()) } else { Err("the server is starting".into()) }).boxed()
    }
}

/// The log takes writes. A full disk is no reason to restart, and reads go on: it shows in readiness only.
pub struct StoreCheck(pub Arc<SqliteStore>);

impl Check for StoreCheck {
    fn name(&self) -> &str {
        "etcd"
    }
    fn check(&self) -> BoxFuture<'_, Result<(), String>> {
        let statistics = self.0.statistics();
        let state = if statistics.closed {
            Err("the store is closed".into())
        } else if statistics.disk_full {
            Err("the disk is full: writes are refused".into())
        } else {
            Ok(())
        };
        std::future::ready(state).boxed()
    }
}
