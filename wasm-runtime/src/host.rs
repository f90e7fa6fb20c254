//! State that all guests of a runtime share: engines, threads, and resources that are divided among them.

use crate::connections::Connections;
use crate::engine::EngineSet;
use crate::error::Error;
use crate::fair::{FairQueue, LaneName};
use crate::memory::AddressSpace;
use crate::metrics::Counters;
use crate::net::{EgressRules, GuestSockets};
use crate::seats::Seats;
use crate::starts::Starts;
use crate::ticker::Ticker;
use arc_swap::ArcSwap;
use sampan_env::{Env, Tasks};
use std::future::Future;
use std::sync::Arc;

/// State that all guests of a runtime share.
pub(crate) struct Host {
    pub(crate) env: Env,
    pub(crate) engines: Arc<EngineSet>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) commands: Lane,
    pub(crate) services: Lane,
    pub(crate) egress: Arc<ArcSwap<EgressRules>>,
    pub(crate) sockets: GuestSockets,
    pub(crate) connections: Connections,
    pub(crate) address_space: Arc<AddressSpace>,
    pub(crate) seats: Arc<Seats>,
    pub(crate) starts: Arc<Starts>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) tasks: Tasks,
}

/// Threads that run one kind of guest. Commands and services have threads of their own: a request waits for the kernel to
/// wake a thread that slept, not for the slices of commands that never rest.
pub(crate) struct Lane {
    pub(crate) name: LaneName,
    pub(crate) handle: tokio::runtime::Handle,
    pub(crate) fair: Arc<FairQueue>,
}

impl Host {
    /// Runs `future` on the commands' threads, whatever runtime the caller is on.
    pub(crate) fn spawn<F>(&self, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let _entered = self.commands.handle.enter();
        self.tasks.spawn(future)
    }

    /// Runs what blocks (hashing, files, mapping machine code) on a thread that no one waits on.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        match sampan_env::blocking_on(&self.commands.handle, work).await {
            Ok(done) => Ok(done),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Error::ShuttingDown),
        }
    }
}
