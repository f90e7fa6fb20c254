//! WASI for policies: toolchains import it whether it is used or not, so it is there, and does nothing. The clocks stand
//! still, randomness is a function of a seed, there are no files, and waiting is a fault.

use super::{GuestLog, LogAccount, LogSink};
use crate::limits::RANDOM_BYTES_MAX;
use crate::paid::PaidView;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder};
use wasmtime_wasi_io::bindings::wasi::io::poll;

struct FixedClock(Duration);

impl HostWallClock for FixedClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }
    fn now(&self) -> Duration {
        self.0
    }
}

impl HostMonotonicClock for FixedClock {
    fn resolution(&self) -> u64 {
        1
    }
    fn now(&self) -> u64 {
        0
    }
}

/// A context whose wall clock stands at `wall` (since 1970), whose randomness is a function of `seed`, whose stdin is at
/// its end, and whose output goes to `log`.
pub(crate) fn inert(seed: u64, wall: Duration, log: Arc<dyn LogSink>) -> WasiCtx {
    let bytes = || Deterministic::new(seed_bytes(seed));
    let out = GuestLog::new(log, LogAccount::unlimited());
    WasiCtxBuilder::new()
        .wall_clock(FixedClock(wall))
        .monotonic_clock(FixedClock(wall))
        .secure_random(bytes())
        .insecure_random(bytes())
        .insecure_random_seed(u128::from(seed))
        .max_random_size(RANDOM_BYTES_MAX)
        .stdout(out.clone())
        .stderr(out)
        .build()
}

/// SplitMix64, long enough that a hash map's keys do not repeat soon.
fn seed_bytes(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut out = Vec::with_capacity(2048);
    for _ in 0..256 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        out.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    out
}

/// Names [`NoPollView`] to the linker.
pub(crate) struct NoPoll;

/// A policy's `wasi:io/poll`, which traps.
pub(crate) struct NoPollView<'a>(pub(crate) PaidView<'a>);

impl HasData for NoPoll {
    type Data<'a> = NoPollView<'a>;
}

fn would_wait<T>() -> wasmtime::Result<T> {
    Err(wasmtime::format_err!("a policy may not wait: wasi:io/poll was called"))
}

impl poll::Host for NoPollView<'_> {
    async fn poll(&mut self, _pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        would_wait()
    }
}

impl poll::HostPollable for NoPollView<'_> {
    async fn block(&mut self, _pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        would_wait()
    }
    async fn ready(&mut self, _pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        would_wait()
    }
    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        // As the built-in one does: a pollable may own what it waits for.
        poll::HostPollable::drop(&mut self.0, pollable)
    }
}
