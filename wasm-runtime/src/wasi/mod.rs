//! The WASI that guests see. Each interface is added by itself: a linker prefers the latest version of a name, so an
//! interface of ours beside a whole built-in set would lose to it. What is not added here fails to link.

mod inert;
mod lifecycle;
mod stdio;

pub(crate) use inert::{add_inert_to_linker, inert};
pub(crate) use lifecycle::Termination;
pub(crate) use stdio::GuestLog;
pub use stdio::LogSink;

use crate::guest::GuestState;
use crate::net::PodSockets;
use sampan_env::Env;
use std::time::{Duration, SystemTime};
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random, sockets};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};
use wasmtime_wasi::{HostWallClock, WasiView};
use wasmtime_wasi_http::{WasiHttp, WasiHttpView};

/// The host's resources, as the `wasi:io` interfaces want them.
pub(crate) struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

/// What commands and services may import.
pub(crate) fn add_workload_to_linker(l: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    use wasmtime_wasi_io::bindings::wasi::io;
    io::poll::add_to_linker::<GuestState, Io>(l, |s| s.ctx().table)?;
    add_common_to_linker(l)?;
    let network = sockets::network::LinkOptions::default();
    sockets::instance_network::add_to_linker::<GuestState, WasiSockets>(l, GuestState::sockets)?;
    sockets::network::add_to_linker::<GuestState, WasiSockets>(l, &network, GuestState::sockets)?;
    sockets::tcp_create_socket::add_to_linker::<GuestState, PodSockets>(l, GuestState::pod_sockets)?;
    sockets::tcp::add_to_linker::<GuestState, PodSockets>(l, GuestState::pod_sockets)?;
    // Not built yet: the context allows neither, so each call answers access-denied.
    sockets::udp_create_socket::add_to_linker::<GuestState, WasiSockets>(l, GuestState::sockets)?;
    sockets::udp::add_to_linker::<GuestState, WasiSockets>(l, GuestState::sockets)?;
    sockets::ip_name_lookup::add_to_linker::<GuestState, WasiSockets>(l, GuestState::sockets)?;

    use wasmtime_wasi_http::p2::bindings::http;
    let http_types = wasmtime_wasi_http::p2::bindings::LinkOptions::default();
    http::outgoing_handler::add_to_linker::<GuestState, WasiHttp>(l, GuestState::http)?;
    http::types::add_to_linker::<GuestState, WasiHttp>(l, &(&http_types).into(), GuestState::http)?;
    lifecycle::add_to_linker(l)
}

/// What every guest may import, a policy too. `wasi:io/poll` is not in it: policies have one that traps.
fn add_common_to_linker<T: WasiView + 'static>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    use wasmtime_wasi_io::bindings::wasi::io;
    io::error::add_to_linker::<T, Io>(l, |s| s.ctx().table)?;
    io::streams::add_to_linker::<T, Io>(l, |s| s.ctx().table)?;
    clocks::wall_clock::add_to_linker::<T, WasiClocks>(l, T::clocks)?;
    clocks::monotonic_clock::add_to_linker::<T, WasiClocks>(l, T::clocks)?;
    random::random::add_to_linker::<T, WasiRandom>(l, |s| s.ctx().ctx.random())?;
    random::insecure::add_to_linker::<T, WasiRandom>(l, |s| s.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<T, WasiRandom>(l, |s| s.ctx().ctx.random())?;
    filesystem::types::add_to_linker::<T, WasiFilesystem>(l, T::filesystem)?;
    filesystem::preopens::add_to_linker::<T, WasiFilesystem>(l, T::filesystem)?;
    cli::exit::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::environment::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::stdin::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::stdout::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::stderr::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_input::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_output::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_stdin::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_stdout::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_stderr::add_to_linker::<T, WasiCli>(l, T::cli)
}

/// Wall time out of the injected clock.
pub(crate) struct EnvClock(pub(crate) Env);

impl HostWallClock for EnvClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }
    fn now(&self) -> Duration {
        self.0.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}
