//! `sampan:lifecycle/termination`: a pollable that becomes ready when the workload is asked to end.

use crate::guest::GuestState;
use sampan_env::CancellationToken;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
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

struct Lifecycle;

struct LifecycleView<'a> {
    table: &'a mut ResourceTable,
    termination: &'a Termination,
}

impl HasData for Lifecycle {
    type Data<'a> = LifecycleView<'a>;
}

pub(super) fn add_to_linker(l: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    termination::add_to_linker::<GuestState, Lifecycle>(l, |s| {
        let (table, termination) = s.lifecycle();
        LifecycleView { table, termination }
    })
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
        let asked = self.table.push(Asked(self.termination.clone()))?;
        subscribe(self.table, asked)
    }
}
