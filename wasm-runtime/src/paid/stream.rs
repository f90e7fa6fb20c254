//! Bytes on their way out: charged from the guest's write until whoever takes them is done with them.

use crate::memory::{Charge, PodMem};
use crate::prices::CHUNK;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynOutputStream, OutputStream, Pollable, StreamResult};
use wasmtime_wasi_http::{Error, WasiBody};

/// `inner`, with each chunk charged to `pod` until it was sent or dropped.
pub(crate) fn charged_stream(inner: DynOutputStream, pod: &Arc<PodMem>) -> DynOutputStream {
    Box::new(ChargedStream { inner, pod: pod.clone() })
}

struct ChargedStream {
    inner: DynOutputStream,
    pod: Arc<PodMem>,
}

/// A chunk that gives its charge back when its last reader drops it.
struct Chunk {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[async_trait]
impl Pollable for ChargedStream {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

#[async_trait]
impl OutputStream for ChargedStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let charge = Charge::new(&self.pod, bytes.len() as u64 + CHUNK)
            .map_err(|error| wasmtime_wasi::p2::StreamError::Trap(error.into()))?;
        self.inner.write(Bytes::from_owner(Chunk { bytes, _charge: charge }))
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.inner.check_write()
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

/// A body that keeps a charge until it is dropped.
pub(crate) struct WithCharge {
    pub(crate) body: WasiBody,
    pub(crate) _charge: Arc<Charge>,
}

impl Body for WithCharge {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
