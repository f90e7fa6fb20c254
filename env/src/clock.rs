use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A source of wall time and of monotonic time.
pub trait Clock: Send + Sync {
    fn now(&self) -> SystemTime;
    fn instant(&self) -> Instant;
}

/// The machine's clocks.
#[derive(Default)]
pub struct SystemClock(());

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads it")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads it")]
    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// Wall time that moves exactly as tokio's clock does: with `tokio::time::pause`, only when the test advances it.
pub struct SimulatedClock {
    start: SystemTime,
    origin: std::sync::OnceLock<Instant>,
}

impl SimulatedClock {
    /// Wall time begins at `start`.
    pub fn new(start: SystemTime) -> Self {
        Self { start, origin: std::sync::OnceLock::new() }
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> SystemTime {
        let elapsed: Duration = self.instant().duration_since(*self.origin.get_or_init(|| self.instant()));
        self.start + elapsed
    }
    #[allow(clippy::disallowed_methods, reason = "tokio's clock is the simulated one when paused")]
    fn instant(&self) -> Instant {
        Instant::now()
    }
}
