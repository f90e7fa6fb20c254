//! stdout and stderr that never make a guest wait.

use crate::limits::LOG_CHUNK_BYTES;
use crate::memory::{Charge, PodMem};
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// A receiver of a container's stdout or stderr.
pub trait LogSink: Send + Sync + 'static {
    /// Takes bytes as the guest wrote them: no line is whole. Must not block. False means that they were dropped; the
    /// runtime counts them in [`crate::Usage::log_bytes_dropped`].
    fn write(&self, bytes: &[u8]) -> bool;

    /// Bytes of memory that the sink keeps for the container now, of all streams that end in the same place together:
    /// they are charged to the container's memory limit.
    fn held(&self) -> u64 {
        0
    }
}

/// The cost of a container's log, and the number of dropped lines.
#[derive(Debug)]
pub(crate) struct LogAccount {
    charge: Mutex<Charge>,
    dropped: AtomicU64,
}

impl LogAccount {
    /// Charged to `mem`.
    pub(crate) fn new(mem: &Arc<PodMem>) -> Arc<Self> {
        Arc::new(Self { charge: Mutex::new(Charge::none(mem)), dropped: AtomicU64::new(0) })
    }

    /// Of a guest whose log keeps nothing.
    pub(crate) fn unlimited() -> Arc<Self> {
        Self::new(&Arc::new(PodMem::new(None)))
    }

    /// Bytes that were written and not kept.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// One stream of one store, onto a sink.
#[derive(Clone)]
pub(crate) struct GuestLog {
    sink: Arc<dyn LogSink>,
    account: Arc<LogAccount>,
}

impl GuestLog {
    pub(crate) fn new(sink: Arc<dyn LogSink>, account: Arc<LogAccount>) -> Self {
        Self { sink, account }
    }
}

impl IsTerminal for GuestLog {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestLog {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this form, and no linker of ours has it.
        Box::new(tokio::io::sink())
    }
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for GuestLog {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for GuestLog {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > LOG_CHUNK_BYTES {
            return Err(StreamError::trap("a write larger than check-write allowed"));
        }
        if !self.sink.write(&bytes) {
            self.account.dropped.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        let charge = self.account.charge.lock();
        charge.set(self.sink.held()).map_err(|error| StreamError::Trap(error.into()))
    }
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }
    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(LOG_CHUNK_BYTES)
    }
}
