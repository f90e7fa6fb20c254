//! The checks of `/readyz` and `/livez`.

use crate::config::Config;
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
pub struct StoreCheck {
    /// `etcd` among the checks of readiness, `etcd-0` among the components.
    pub name: &'static str,
    /// The log.
    pub store: Arc<SqliteStore>,
}

impl Check for StoreCheck {
    fn name(&self) -> &str {
        self.name
    }
    fn check(&self) -> BoxFuture<'_, Result<(), String>> {
        let statistics = self.store.statistics();
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

/// A part of the control plane beside the API server. One that is started runs as long as the process.
pub struct Part {
    /// As Kubernetes names the component.
    pub name: &'static str,
    /// Whether the configuration has it started.
    pub is_started: bool,
}

impl Check for Part {
    fn name(&self) -> &str {
        self.name
    }
    fn check(&self) -> BoxFuture<'_, Result<(), String>> {
        let state = if self.is_started { Ok(()) } else { Err("it is not among this server's components".into()) };
        std::future::ready(state).boxed()
    }
}

/// What the ComponentStatuses of a cluster are about.
pub fn components(config: &Config, store: &Arc<SqliteStore>) -> Vec<Arc<dyn Check>> {
    let parts = config.components;
    vec![
        Arc::new(Part { name: "scheduler", is_started: parts.scheduler }),
        Arc::new(Part { name: "controller-manager", is_started: parts.controllers }),
        Arc::new(StoreCheck { name: "etcd-0", store: store.clone() }),
    ]
}
