//! The data of one store, and how a store is made: every limit of a guest is set here.

use crate::container::Container;
use crate::cpu::Meter;
use crate::engine::Role;
use crate::limits;
use crate::memory::StoreMem;
use crate::net::{OutgoingHttp, PodNet, PodSocketsView, SocketBudget, SocketPermit};
use crate::runtime::Shared;
use crate::wasi::{EnvClock, GuestLog, LogSink, Termination};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtxView};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// What a guest finds: the same for a command and for each instance of a service.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) working_dir: Option<String>,
    pub(crate) stdout: Arc<dyn LogSink>,
    pub(crate) stderr: Arc<dyn LogSink>,
    pub(crate) pod_ip: Ipv4Addr,
}

pub(crate) struct GuestState {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    outgoing: OutgoingHttp,
    net: PodNet,
    budget: SocketBudget,
    /// One for each socket that is open.
    sockets: Vec<SocketPermit>,
    termination: Termination,
    pub(crate) mem: StoreMem,
    /// Set when the tick cuts the guest off; the meter reads it.
    cut_off: Arc<AtomicBool>,
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outgoing, table: &mut self.table, ctx: &mut self.http }
    }
}

impl GuestState {
    pub(crate) fn pod_sockets(&mut self) -> PodSocketsView<'_> {
        // Field by field: the view of the sockets and the network are borrowed together.
        let inner = WasiSocketsCtxView { ctx: self.wasi.sockets(), table: &mut self.table };
        PodSocketsView { inner, net: &self.net, budget: &self.budget, held: &mut self.sockets }
    }

    pub(crate) fn lifecycle(&mut self) -> (&mut ResourceTable, &Termination) {
        (&mut self.table, &self.termination)
    }
}

/// A store over `state` with every limit that an engine's store has.
pub(crate) fn limited<T: 'static>(engine: &Engine, state: T, mem: fn(&mut T) -> &mut StoreMem) -> Store<T> {
    let mut store = Store::new(engine, state);
    store.limiter(move |state| mem(state));
    store.set_hostcall_fuel(limits::HOSTCALL_BYTES_MAX);
    store.set_max_component_handles(limits::COMPONENT_HANDLES_MAX);
    store
}

/// The host resources of one store.
pub(crate) fn resource_table() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(limits::HOST_RESOURCES_MAX);
    table
}

/// A store for one instance, with its share of the container's limits. Its calls run under `meter`.
pub(crate) fn store(
    shared: &Shared,
    container: &Container,
    role: Role,
    surroundings: &Surroundings,
    termination: Termination,
    meter: &Meter,
) -> Store<GuestState> {
    let net = PodNet::new(surroundings.pod_ip, shared.egress.load_full());
    let mut http = WasiHttpCtx::new();
    http.set_field_size_limit(limits::HTTP_FIELDS_BYTES_MAX);
    let state = GuestState {
        wasi: context(shared, container, surroundings, &net),
        http,
        table: resource_table(),
        outgoing: OutgoingHttp {
            net: net.clone(),
            budget: container.sockets.clone(),
            meter: Meter { cut_off: Arc::default(), ..meter.clone() },
        },
        net,
        budget: container.sockets.clone(),
        sockets: Vec::new(),
        termination,
        mem: StoreMem::new(container.mem.clone()),
        cut_off: meter.cut_off.clone(),
    };
    let mut store = limited(shared.engines.get(role), state, |state| &mut state.mem);
    // Before the instantiation: the deadline of a new store is already past.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|context| {
        context.data().cut_off.store(true, Ordering::Relaxed);
        Ok(UpdateDeadline::Yield(1))
    });
    store
}

fn context(shared: &Shared, container: &Container, around: &Surroundings, net: &PodNet) -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    builder
        .args(&around.args)
        .envs(&around.env)
        .stdout(GuestLog::new(around.stdout.clone(), container.log_bytes_dropped.clone()))
        .stderr(GuestLog::new(around.stderr.clone(), container.log_bytes_dropped.clone()))
        .wall_clock(EnvClock(shared.env.clone()))
        .max_random_size(limits::RANDOM_BYTES_MAX)
        .allow_tcp(true);
    if let Some(dir) = &around.working_dir {
        builder.initial_cwd(dir);
    }
    // The second check, on the address that is really used; the first one maps it.
    let net = net.clone();
    builder.socket_addr_check(move |address, used| {
        let permitted = match used {
            SocketAddrUse::TcpBind => address.ip() == IpAddr::V4(net.ip),
            SocketAddrUse::TcpConnect => net.destination(address) == Some(address),
            SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => true,
            SocketAddrUse::UdpBind | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => false,
        };
        Box::pin(std::future::ready(permitted))
    });
    builder.build()
}
