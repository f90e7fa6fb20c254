//! A guest's view of its host beside network and HTTP: clocks, standard streams, their end.

mod files;
mod inert;
mod lifecycle;
mod stdio;

pub(crate) use files::{Files, FilesView};
pub use files::{Mount, Volume};
pub(crate) use inert::{NoPoll, NoPollView, inert};
pub(crate) use lifecycle::{LifecycleView, Termination, add_to_linker as add_lifecycle_to_linker};
pub use stdio::LogSink;
pub(crate) use stdio::{GuestLog, LogAccount};

use crate::limits::CLOCK_RESOLUTION;
use sampan_env::Env;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// Time out of the injected clock, in steps of [`CLOCK_RESOLUTION`]: a finer clock tells one guest what another does.
pub(crate) struct GuestClock {
    env: Env,
    start: Instant,
}

impl GuestClock {
    /// Monotonic time counts from now on.
    pub(crate) fn new(env: &Env) -> Self {
        Self { env: env.clone(), start: env.instant() }
    }
}

/// The last step at or before `time`.
fn coarse(time: Duration) -> Duration {
    let step = CLOCK_RESOLUTION.as_nanos();
    let nanos = time.as_nanos() / step * step;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl HostWallClock for GuestClock {
    fn resolution(&self) -> Duration {
        CLOCK_RESOLUTION
    }
    fn now(&self) -> Duration {
        coarse(self.env.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
    }
}

impl HostMonotonicClock for GuestClock {
    fn resolution(&self) -> u64 {
        u64::try_from(CLOCK_RESOLUTION.as_nanos()).unwrap_or(u64::MAX)
    }
    fn now(&self) -> u64 {
        u64::try_from(coarse(self.env.instant().duration_since(self.start)).as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_see_time_in_coarse_steps() {
        let step = CLOCK_RESOLUTION;
        for (time, seen) in [
            (Duration::ZERO, Duration::ZERO),
            (step - Duration::from_nanos(1), Duration::ZERO),
            (step * 3 + Duration::from_nanos(1), step * 3),
        ] {
            assert_eq!(coarse(time), seen);
        }
        let clock = GuestClock::new(&Env::system());
        for _ in 0..100 {
            assert_eq!(u128::from(HostMonotonicClock::now(&clock)) % step.as_nanos(), 0);
            assert_eq!(HostWallClock::now(&clock).as_nanos() % step.as_nanos(), 0);
        }
    }
}
