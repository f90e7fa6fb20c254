//! Removes what floors made unreadable: in slices, between the writer's batches.

use super::{Command, Shared};
use crate::error::Error;
use crate::limits::{COMPACT_DELETE_ROWS, COMPACT_SCAN_ROWS};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// Floors whose rows are still to be removed.
pub(super) struct Sweeps {
    queue: Mutex<VecDeque<(String, u64)>>,
    queued: Notify,
    /// Sweeps that are queued or under way.
    pub left: watch::Sender<usize>,
}

impl Sweeps {
    pub(super) fn new(queue: VecDeque<(String, u64)>) -> Self {
        let left = watch::Sender::new(queue.len());
        Self { queue: Mutex::new(queue), queued: Notify::new(), left }
    }

    pub(super) fn push(&self, prefix: String, revision: u64) {
        self.left.send_modify(|left| *left += 1);
        self.queue.lock().push_back((prefix, revision));
        self.queued.notify_one();
    }
}

/// Sweeps until the writer is gone.
pub(super) async fn run(shared: Arc<Shared>, commands: mpsc::WeakSender<Command>) {
    loop {
        let queued = shared.sweeps.queued.notified();
        let next = shared.sweeps.queue.lock().pop_front();
        let Some((prefix, revision)) = next else {
            queued.await;
            continue;
        };
        match sweep(&shared, &commands, &prefix, revision).await {
            Ok(()) => {}
            Err(Error::Closed) => return,
            // The floor stays marked as not swept: the next opening, or the prefix's next floor, sweeps again.
            Err(error) => tracing::warn!(%error, prefix, revision, "compaction could not remove rows"),
        }
        shared.sweeps.left.send_modify(|left| *left -= 1);
    }
}

async fn sweep(
    shared: &Shared,
    commands: &mpsc::WeakSender<Command>,
    prefix: &str,
    revision: u64,
) -> Result<(), Error> {
    let (mut key, mut id) = (prefix.to_owned(), 0);
    loop {
        let rows = shared.readers.scan(&key, id, prefix, revision, COMPACT_SCAN_ROWS).await?;
        let whole = rows.len() < COMPACT_SCAN_ROWS;
        let mut superseded = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            match rows.get(place + 1) {
                Some(next) if next.key == row.key => superseded.push(row.id),
                // The last row of a page is judged in the next one, with what follows it.
                None if !whole => {}
                _ if row.deletion => superseded.push(row.id),
                _ => {}
            }
        }
        for ids in superseded.chunks(COMPACT_DELETE_ROWS) {
            ask(commands, |reply| Command::Remove { ids: ids.to_vec(), reply }).await?;
        }
        match rows.last() {
            Some(last) if !whole => (key, id) = (last.key.clone(), last.id - 1),
            _ => break,
        }
    }
    ask(commands, |reply| Command::Swept { prefix: prefix.to_owned(), revision, reply }).await
}

async fn ask<T>(
    commands: &mpsc::WeakSender<Command>,
    command: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Command,
) -> Result<T, Error> {
    let (reply, answer) = oneshot::channel();
    let sender = commands.upgrade().ok_or(Error::Closed)?;
    sender.send(command(reply)).await.map_err(|_| Error::Closed)?;
    drop(sender);
    answer.await.map_err(|_| Error::Closed)?
}
