//! The outside world, injected: time, randomness, ids, the right to run a task or a thread, and files of one's own.
//!
//! Every other crate is handed an [`Env`]; tests hand out a simulated one, so that a run is a function of its seed.
//!
//! Allowed dependencies: std, tokio's time, `tokio-util`, `getrandom`, `rustix`, `tracing`. None of ours.
//!
//! Invariant: no other crate reads a clock, draws randomness, spawns a task or starts a thread
//! (clippy's `disallowed-methods`, and `xtask tidy`).

mod blocking;
mod clock;
pub mod files;
mod memory;
mod random;
mod tasks;

pub use blocking::{blocking, blocking_on, on_thread, thread};
pub use clock::{Clock, SimulatedClock, SystemClock};
pub use memory::FreedMemory;
pub use random::{Random, SeededRandom, SystemRandom};
pub use tasks::{DrainError, Tasks};
pub use tokio_util::sync::CancellationToken;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The clock, the randomness and the memory of one process (or of one simulated world). A clone counts one reference.
#[derive(Clone)]
pub struct Env(Arc<World>);

struct World {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    memory: Arc<FreedMemory>,
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Env")
    }
}

impl Env {
    /// The machine's own clock and randomness.
    pub fn system() -> Self {
        Self::new(Arc::new(SystemClock::default()), Arc::new(SystemRandom))
    }

    /// A world of its own: randomness out of `seed`, wall time starting at `start` and moving with tokio's (pausable) clock.
    pub fn simulated(seed: u64, start: SystemTime) -> Self {
        Self::new(Arc::new(SimulatedClock::new(start)), Arc::new(SeededRandom::new(seed)))
    }

    /// Of a clock and a source of randomness.
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self(Arc::new(World { clock, random, memory: FreedMemory::new(|| {}) }))
    }

    /// With the return of memory that threads call when they rest; without it they keep what their allocator keeps.
    #[must_use]
    pub fn with_memory(self, memory: Arc<FreedMemory>) -> Self {
        Self(Arc::new(World { clock: self.0.clock.clone(), random: self.0.random.clone(), memory }))
    }

    /// The return of freed memory.
    pub fn memory(&self) -> &Arc<FreedMemory> {
        &self.0.memory
    }

    /// Wall time: for timestamps that people and other machines read, never for measuring how long something took.
    pub fn now(&self) -> SystemTime {
        self.0.clock.now()
    }

    /// Monotonic time, paused and advanced together with tokio's timers.
    pub fn instant(&self) -> tokio::time::Instant {
        self.0.clock.instant()
    }

    /// Waits for the duration; any length will do.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Fills `bytes` with randomness fit for keys and tokens (a simulated env: fit for nothing but repeatability).
    pub fn fill(&self, bytes: &mut [u8]) {
        self.0.random.fill(bytes);
    }

    /// Any number, each as likely as another.
    pub fn random_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A version 4 UUID in its usual lower-case form.
    pub fn uuid(&self) -> String {
        let mut b = [0u8; 16];
        self.fill(&mut b);
        b[6] = (b[6] & 0x0f) | 0x40;
        b[8] = (b[8] & 0x3f) | 0x80;
        let mut out = String::with_capacity(36);
        for (i, byte) in b.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                out.push('-');
            }
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        }
        out
    }

    /// `len` letters of the alphabet that Kubernetes uses for generated names: no vowels and nothing that reads as
    /// another letter (k8s.io/apimachinery/pkg/util/rand).
    pub fn name_suffix(&self, len: usize) -> String {
        let mut bytes = vec![0u8; len];
        self.fill(&mut bytes);
        bytes.iter().map(|b| char::from(NAME_ALPHABET[usize::from(*b) % NAME_ALPHABET.len()])).collect()
    }
}

const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
const NAME_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_env_repeats_itself() {
        let make = || Env::simulated(7, SystemTime::UNIX_EPOCH);
        let (a, b) = (make(), make());
        assert_eq!(a.uuid(), b.uuid());
        assert_eq!(a.name_suffix(5), b.name_suffix(5));
        assert_ne!(a.uuid(), a.uuid());
    }

    #[test]
    fn uuids_have_their_version_and_variant() {
        let id = Env::system().uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
    }
}
