//! The published revision, the sinks, and the waiters for it.

use crate::entry::Event;
use crate::error::Error;
use crate::store::Sink;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::watch;

#[derive(Clone, Copy)]
struct Seen {
    revision: u64,
    closed: bool,
}

pub(crate) struct Publisher {
    inner: Mutex<Inner>,
    seen: watch::Sender<Seen>,
}

struct Inner {
    sinks: Arc<[Arc<dyn Sink>]>,
    /// Revision up to which events have been, or are being, handed out.
    handed_out: u64,
}

impl Publisher {
    pub(crate) fn new(revision: u64) -> Self {
        Self {
            inner: Mutex::new(Inner { sinks: Arc::new([]), handed_out: revision }),
            seen: watch::Sender::new(Seen { revision, closed: false }),
        }
    }

    pub(crate) fn subscribe(&self, sink: Arc<dyn Sink>) -> u64 {
        let mut inner = self.inner.lock();
        inner.sinks = inner.sinks.iter().cloned().chain([sink]).collect();
        inner.handed_out
    }

    /// Hands out the events, then lets those go who wait for `revision`. Called by the one writer only.
    pub(crate) fn publish(&self, events: &[Event], revision: u64) {
        let sinks = {
            let mut inner = self.inner.lock();
            inner.handed_out = revision;
            inner.sinks.clone()
        };
        for sink in sinks.iter() {
            sink.committed(events);
        }
        self.seen.send_modify(|seen| seen.revision = revision);
    }

    pub(crate) fn revision(&self) -> u64 {
        self.seen.borrow().revision
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.seen.borrow().closed
    }

    pub(crate) fn close(&self) {
        self.seen.send_modify(|seen| seen.closed = true);
    }

    pub(crate) async fn wait_for(&self, revision: u64) -> Result<(), Error> {
        let mut seen = self.seen.subscribe();
        let state = seen
            .wait_for(|seen| seen.revision >= revision || seen.closed)
            .await
            .map(|seen| *seen)
            .map_err(|_| Error::Closed)?;
        if state.revision >= revision { Ok(()) } else { Err(Error::Closed) }
    }
}
