//! The data of one store, and how a store is made: every limit of a guest is set here.

use crate::container::Container;
use crate::engine::Role;
use crate::host::Host;
use crate::limits;
use crate::memory::{OutOfMemory, StoreMem};
use crate::metered::Meter;
use crate::net::{OutgoingHttp, PodNet, PodSocketsView, SocketBudget, SocketPermit};
use crate::paid::{HttpAccount, PaidHttpView, PaidState, PaidView};
use crate::prices;
use crate::wasi::{FilesView, GuestClock, GuestLog, LifecycleView, LogSink, Mount, Termination};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtxView};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::WasiHttpCtx;

/// The environment of a guest: the same for a command and for each instance of a service.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) working_dir: Option<String>,
    pub(crate) stdout: Arc<dyn LogSink>,
    pub(crate) stderr: Arc<dyn LogSink>,
    pub(crate) pod_ip: Ipv4Addr,
}

impl Surroundings {
    /// Bytes of it that each store holds: a copy, and another one while the guest asks for it.
    fn bytes(&self) -> u64 {
        /// A string beside its text.
        const STRING: usize = 48;
        let args: usize = self.args.iter().map(|arg| arg.len() + STRING).sum();
        let env: usize = self.env.iter().map(|(name, value)| name.len() + value.len() + 2 * STRING).sum();
        2 * (args + env + self.working_dir.as_ref().map_or(0, String::len)) as u64
    }
}

/// The data of a command's store, or of one request's.
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
    mounts: Arc<[Mount]>,
    http_account: HttpAccount,
    pub(crate) mem: StoreMem,
    /// Set when the tick cuts the guest off; the meter reads it.
    cut_off: Arc<AtomicBool>,
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl PaidState for GuestState {
    fn paid(&mut self) -> PaidView<'_> {
        PaidView { ctx: &mut self.wasi, table: &mut self.table, mem: &mut self.mem }
    }
}

impl GuestState {
    pub(crate) fn pod_sockets(&mut self) -> PodSocketsView<'_> {
        // Field by field: the view of the sockets and the network are borrowed together.
        let inner = WasiSocketsCtxView { ctx: self.wasi.sockets(), table: &mut self.table };
        PodSocketsView { inner, net: &self.net, budget: &self.budget, held: &mut self.sockets, mem: &mut self.mem }
    }

    pub(crate) fn paid_http(&mut self) -> PaidHttpView<'_> {
        PaidHttpView {
            outgoing: &mut self.outgoing,
            table: &mut self.table,
            ctx: &mut self.http,
            mem: &mut self.mem,
            account: &mut self.http_account,
        }
    }

    pub(crate) fn files(&mut self) -> FilesView<'_> {
        let paid = PaidView { ctx: &mut self.wasi, table: &mut self.table, mem: &mut self.mem };
        FilesView { paid, mounts: &self.mounts }
    }

    pub(crate) fn lifecycle(&mut self) -> LifecycleView<'_> {
        let paid = PaidView { ctx: &mut self.wasi, table: &mut self.table, mem: &mut self.mem };
        LifecycleView { paid, termination: &self.termination }
    }
}

/// A store over `state` with every limit that an engine's store has. `hostcall_bytes` is what the arguments of one host
/// call, or the answer of one call into the guest, may take of host memory.
pub(crate) fn limited<T: 'static>(
    engine: &Engine,
    state: T,
    hostcall_bytes: usize,
    mem: fn(&mut T) -> &mut StoreMem,
) -> Store<T> {
    let mut store = Store::new(engine, state);
    store.limiter(move |state| mem(state));
    store.set_hostcall_fuel(hostcall_bytes);
    store.set_max_component_handles(limits::COMPONENT_HANDLES_MAX);
    store
}

/// The host resources of one store.
pub(crate) fn resource_table() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(limits::HOST_RESOURCES_MAX);
    table
}

/// A store for one instance, with its share of the container's limits. Its calls run under `meter`. An error where the
/// container's memory has no room for it.
pub(crate) fn store(
    host: &Host,
    container: &Container,
    role: Role,
    surroundings: &Surroundings,
    termination: Termination,
    meter: &Meter,
) -> Result<Store<GuestState>, OutOfMemory> {
    let mut mem = StoreMem::new(container.mem.clone());
    mem.charge(prices::STORE + surroundings.bytes() + container.files_bytes())?;
    let net = PodNet::new(surroundings.pod_ip, host.egress.clone());
    let mut http = WasiHttpCtx::new();
    http.set_field_size_limit(limits::HTTP_FIELDS_BYTES_MAX);
    let state = GuestState {
        wasi: context(host, container, surroundings, &net),
        http,
        table: resource_table(),
        outgoing: OutgoingHttp {
            net: net.clone(),
            budget: container.sockets.clone(),
            meter: Meter { cut_off: Arc::default(), ..meter.clone() },
            connection: None,
        },
        net,
        budget: container.sockets.clone(),
        sockets: Vec::new(),
        termination,
        mounts: container.mounts.clone(),
        http_account: HttpAccount::default(),
        mem,
        cut_off: meter.cut_off.clone(),
    };
    let mut store = limited(host.engines.get(role), state, limits::HOSTCALL_BYTES_MAX, |state| &mut state.mem);
    // Before the instantiation: the deadline of a new store is already past.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|context| {
        context.data().cut_off.store(true, Ordering::Relaxed);
        Ok(UpdateDeadline::Yield(1))
    });
    Ok(store)
}

fn context(host: &Host, container: &Container, around: &Surroundings, net: &PodNet) -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    builder
        .args(&around.args)
        .envs(&around.env)
        .stdout(GuestLog::new(around.stdout.clone(), container.log.clone()))
        .stderr(GuestLog::new(around.stderr.clone(), container.log.clone()))
        .wall_clock(GuestClock::new(&host.env))
        .monotonic_clock(GuestClock::new(&host.env))
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
