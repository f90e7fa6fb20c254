//! `sampan:lifecycle/termination`: a pollable that becomes ready when the workload is asked to end.

use crate::memory::StoreMem;
use crate::paid::{PaidView, Payer, buy};
use crate::prices::Kind;
use sampan_env::CancellationToken;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

mod bindings {
    wasmtime::component::bindgen!({
        path: "../plugins/wit/lifecycle",
        world: "sampan:lifecycle/graceful",
        imports: { default: trappable },
        require_store_data_send: true,
        with: {
            "wasi:io/poll": wasmtime_wasi_io::bindings::wasi::io::poll,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        },
    });
}

use bindings::sampan::lifecycle::termination;

/// Cancelled when the workload is to end.
pub(crate) type Termination = CancellationToken;

/// Names [`LifecycleView`] to the linker.
pub(crate) struct Lifecycle;

/// A store's view of its end.
pub(crate) struct LifecycleView<'a> {
    pub(crate) paid: PaidView<'a>,
    pub(crate) termination: &'a Termination,
}

impl Payer for LifecycleView<'_> {
    fn mem(&mut self) -> &mut StoreMem {
        self.paid.mem
    }
}

impl HasData for Lifecycle {
    type Data<'a> = LifecycleView<'a>;
}

/// `sampan:lifecycle/termination`.
pub(crate) fn add_to_linker<T: Send + 'static>(
    l: &mut Linker<T>,
    view: fn(&mut T) -> LifecycleView<'_>,
) -> wasmtime::Result<()> {
    termination::add_to_linker::<T, Lifecycle>(l, view)
}

struct Asked(Termination);

#[wasmtime_wasi::async_trait]
impl Pollable for Asked {
    async fn ready(&mut self) {
        self.0.cancelled().await;
    }
}

impl termination::Host for LifecycleView<'_> {
    fn subscribe(&mut self) -> wasmtime::Result<Resource<DynPollable>> {
        buy(self, Kind::Pollable, |view| {
            let asked = view.paid.table.push(Asked(view.termination.clone()))?;
            subscribe(view.paid.table, asked)
        })
    }
}
