//! Turns of connections: a peer that always has something to say, or always takes what it is sent, keeps its thread no
//! longer than a small amount of it takes; then the others on that thread have theirs.

use crate::limits::{TURN_READ_BYTES, TURN_WRITE_BYTES};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;

/// Operations that tokio lets a task do before it has to let others go on.
const OPERATIONS_PER_TURN: usize = 128;

/// A transport whose bytes are operations of its task: after [`TURN_READ_BYTES`] or [`TURN_WRITE_BYTES`] the turn is over.
/// tokio by itself counts calls, and one may move a hundred kilobytes, or a thousand frames.
pub(super) struct Paced<S> {
    inner: S,
}

impl<S> Paced<S> {
    /// The same transport, with turns.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

/// Uses up a turn's part for so many bytes of `most`.
fn spend(bytes: usize, most: usize, cx: &mut Context<'_>) {
    for _ in 0..bytes.div_ceil(most / OPERATIONS_PER_TURN) {
        match coop::poll_proceed(cx) {
            Poll::Ready(operation) => operation.made_progress(),
            // The turn is over, and the task will have another.
            Poll::Pending => return,
        }
    }
}

fn written(outcome: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    if let Poll::Ready(Ok(bytes)) = &outcome {
        spend(*bytes, TURN_WRITE_BYTES, cx);
    }
    outcome
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(cx, buf);
        spend(buf.filled().len() - before, TURN_READ_BYTES, cx);
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, buf);
        written(outcome, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        written(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{Future, poll_fn};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// How many turns a future needs.
    async fn turns(future: impl Future<Output = ()>) -> usize {
        let mut future = std::pin::pin!(future);
        let mut turns = 0;
        poll_fn(|cx| {
            turns += 1;
            future.as_mut().poll(cx)
        })
        .await;
        turns
    }

    #[tokio::test]
    async fn a_turn_is_short() {
        const TURNS: usize = 10;
        let mut bytes = vec![0; TURNS * TURN_READ_BYTES];
        let mut endless = Paced::new(tokio::io::repeat(7));
        let read = turns(async {
            for chunk in bytes.chunks_mut(TURN_READ_BYTES / 2) {
                endless.read_exact(chunk).await.expect("more");
            }
        });
        let read = read.await;
        assert!((TURNS..=TURNS + 1).contains(&read), "{read} turns to read");

        let bytes = vec![0; TURNS * TURN_WRITE_BYTES];
        let mut sink = Paced::new(tokio::io::sink());
        let written = turns(async {
            for chunk in bytes.chunks(TURN_WRITE_BYTES / 2) {
                sink.write_all(chunk).await.expect("taken");
            }
        });
        let written = written.await;
        assert!((TURNS..=TURNS + 1).contains(&written), "{written} turns to write");
    }
}
