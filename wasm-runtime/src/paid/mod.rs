//! The engine's WASI under a container's memory ledger: each host trait is the engine's own, called by a view that
//! charges what the call makes and gives back what it drops. Prices stand in [`crate::prices`].

mod http;
mod io;
mod stream;
#[cfg(test)]
mod walk;

pub(crate) use http::{HttpAccount, Outgoing, PaidHttp, PaidHttpView, charge_writes};

use crate::memory::{OutOfMemory, StoreMem};
use crate::prices::Kind;
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::p2::{SocketError, StreamError};
use wasmtime_wasi::{WasiCtx, WasiView};
use wasmtime_wasi_http::p2::{HeaderError, HttpError};

/// Names [`PaidView`] to the linker.
pub(crate) struct Paid;

/// A store's WASI, and the ledger that its resources are charged to.
pub(crate) struct PaidView<'a> {
    pub(crate) ctx: &'a mut WasiCtx,
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) mem: &'a mut StoreMem,
}

impl HasData for Paid {
    type Data<'a> = PaidView<'a>;
}

/// A store's data whose host resources are charged.
pub(crate) trait PaidState: WasiView + 'static {
    /// The context, the table and the ledger at once.
    fn paid(&mut self) -> PaidView<'_>;
}

/// A view that can charge.
pub(crate) trait Payer {
    /// The store's part of the ledger.
    fn mem(&mut self) -> &mut StoreMem;
}

impl Payer for PaidView<'_> {
    fn mem(&mut self) -> &mut StoreMem {
        self.mem
    }
}

/// An error that ends the guest when its container is out of memory.
pub(crate) trait Refusal {
    /// As a trap, not as what the guest could handle.
    fn of(error: OutOfMemory) -> Self;
}

impl Refusal for wasmtime::Error {
    fn of(error: OutOfMemory) -> Self {
        error.into()
    }
}
impl Refusal for StreamError {
    fn of(error: OutOfMemory) -> Self {
        StreamError::Trap(error.into())
    }
}
impl Refusal for SocketError {
    fn of(error: OutOfMemory) -> Self {
        SocketError::trap(error)
    }
}
impl Refusal for HttpError {
    fn of(error: OutOfMemory) -> Self {
        HttpError::trap(error)
    }
}
impl Refusal for HeaderError {
    fn of(error: OutOfMemory) -> Self {
        HeaderError::trap(error)
    }
}

/// The answer of a host call, which may hold a new resource.
pub(crate) trait Made {
    /// Its place in the table.
    fn made(&self) -> Option<u32>;
}

impl<T> Made for Resource<T> {
    fn made(&self) -> Option<u32> {
        Some(self.rep())
    }
}
impl<M: Made> Made for Option<M> {
    fn made(&self) -> Option<u32> {
        self.as_ref().and_then(Made::made)
    }
}
impl<M: Made, E> Made for Result<M, E> {
    fn made(&self) -> Option<u32> {
        self.as_ref().ok().and_then(Made::made)
    }
}

/// Calls what makes a resource of `kind`, at its price.
pub(crate) fn buy<V: Payer, M: Made, E: Refusal>(
    view: &mut V,
    kind: Kind,
    make: impl FnOnce(&mut V) -> Result<M, E>,
) -> Result<M, E> {
    let price = view.mem().reserve(kind).map_err(E::of)?;
    let answer = make(view);
    match answer.made() {
        Some(rep) => view.mem().assign(rep, price),
        None => view.mem().refund(price),
    }
    answer
}
