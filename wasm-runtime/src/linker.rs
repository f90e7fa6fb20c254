//! The interfaces that guests may import. Each interface is added by itself: a linker prefers the latest version of a
//! name, so an interface of ours beside a whole built-in set would lose to it. What is not added here fails to link.

use crate::guest::GuestState;
use crate::net::PodSockets;
use crate::paid::{Paid, PaidHttp, PaidState};
use crate::wasi::{Files, NoPoll, NoPollView, add_lifecycle_to_linker};
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random, sockets};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};
use wasmtime_wasi_io::bindings::wasi::io::poll;

/// The interfaces that a policy may import. `wasi:io/poll` traps.
pub(crate) fn add_inert_to_linker<T: PaidState>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    poll::add_to_linker::<T, NoPoll>(l, |s| NoPollView(s.paid()))?;
    // No directory is opened for a policy, so that none of these makes a descriptor.
    filesystem::types::add_to_linker::<T, WasiFilesystem>(l, T::filesystem)?;
    filesystem::preopens::add_to_linker::<T, WasiFilesystem>(l, T::filesystem)?;
    add_common_to_linker(l)
}

/// The interfaces that commands and services may import.
pub(crate) fn add_workload_to_linker(l: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    use wasmtime_wasi_io::bindings::wasi::io;
    io::poll::add_to_linker::<GuestState, Paid>(l, GuestState::paid)?;
    filesystem::types::add_to_linker::<GuestState, Files>(l, GuestState::files)?;
    filesystem::preopens::add_to_linker::<GuestState, Files>(l, GuestState::files)?;
    add_common_to_linker(l)?;
    let network = sockets::network::LinkOptions::default();
    sockets::instance_network::add_to_linker::<GuestState, PodSockets>(l, GuestState::pod_sockets)?;
    sockets::network::add_to_linker::<GuestState, PodSockets>(l, &network, GuestState::pod_sockets)?;
    sockets::tcp_create_socket::add_to_linker::<GuestState, PodSockets>(l, GuestState::pod_sockets)?;
    sockets::tcp::add_to_linker::<GuestState, PodSockets>(l, GuestState::pod_sockets)?;
    // Not built yet: the context allows neither, so each call answers access-denied and makes no resource.
    sockets::udp_create_socket::add_to_linker::<GuestState, WasiSockets>(l, GuestState::sockets)?;
    sockets::udp::add_to_linker::<GuestState, WasiSockets>(l, GuestState::sockets)?;
    sockets::ip_name_lookup::add_to_linker::<GuestState, WasiSockets>(l, GuestState::sockets)?;

    use wasmtime_wasi_http::p2::bindings::http;
    let http_types = wasmtime_wasi_http::p2::bindings::LinkOptions::default();
    http::outgoing_handler::add_to_linker::<GuestState, PaidHttp>(l, GuestState::paid_http)?;
    http::types::add_to_linker::<GuestState, PaidHttp>(l, &(&http_types).into(), GuestState::paid_http)?;
    add_lifecycle_to_linker(l, GuestState::lifecycle)
}

/// The interfaces that every guest may import, a policy too. `wasi:io/poll` is not in it, for policies have one that traps,
/// nor is `wasi:filesystem`, for policies have no files.
fn add_common_to_linker<T: PaidState>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    use wasmtime_wasi_io::bindings::wasi::io;
    io::error::add_to_linker::<T, Paid>(l, T::paid)?;
    io::streams::add_to_linker::<T, Paid>(l, T::paid)?;
    clocks::wall_clock::add_to_linker::<T, WasiClocks>(l, T::clocks)?;
    clocks::monotonic_clock::add_to_linker::<T, Paid>(l, T::paid)?;
    random::random::add_to_linker::<T, WasiRandom>(l, |s| s.ctx().ctx.random())?;
    random::insecure::add_to_linker::<T, WasiRandom>(l, |s| s.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<T, WasiRandom>(l, |s| s.ctx().ctx.random())?;
    cli::exit::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::environment::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::stdin::add_to_linker::<T, Paid>(l, T::paid)?;
    cli::stdout::add_to_linker::<T, Paid>(l, T::paid)?;
    cli::stderr::add_to_linker::<T, Paid>(l, T::paid)?;
    cli::terminal_input::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_output::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_stdin::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_stdout::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_stderr::add_to_linker::<T, WasiCli>(l, T::cli)
}
