use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

/// A source of random bytes.
pub trait Random: Send + Sync {
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's generator. Small amounts (ids, suffixes of names) come out of a block that each thread draws
/// ahead: one system call for many.
pub struct SystemRandom;

/// Bytes that a thread draws ahead.
const BLOCK_BYTES: usize = 512;
/// Larger amounts are drawn by themselves.
const SMALL_BYTES: usize = 16;

struct Block {
    bytes: [u8; BLOCK_BYTES],
    used: usize,
}

thread_local! {
    static BLOCK: RefCell<Block> = const { RefCell::new(Block { bytes: [0; BLOCK_BYTES], used: BLOCK_BYTES }) };
}

impl Block {
    fn fill(&mut self, bytes: &mut [u8]) {
        if BLOCK_BYTES - self.used < bytes.len() {
            draw(&mut self.bytes);
            self.used = 0;
        }
        let drawn = &mut self.bytes[self.used..self.used + bytes.len()];
        bytes.copy_from_slice(drawn);
        // What has been handed out is found nowhere else.
        drawn.fill(0);
        self.used += bytes.len();
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the one place that draws it")]
fn draw(bytes: &mut [u8]) {
    // Without randomness no key, token or UID may be made: there is nothing to go on with.
    getrandom::fill(bytes).expect("the operating system gives randomness");
}

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() > SMALL_BYTES || BLOCK.try_with(|block| block.borrow_mut().fill(bytes)).is_err() {
            draw(bytes);
        }
    }
}

/// SplitMix64 from a seed: repeatable, and worth nothing as a secret.
pub struct SeededRandom {
    state: AtomicU64,
}

impl SeededRandom {
    /// Random bytes that are a function of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }

    fn next(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.state.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_the_system_gives_is_given_once() {
        let drawn = |bytes: usize, times: usize| {
            let all: BTreeSet<Vec<u8>> = (0..times)
                .map(|_| {
                    let mut one = vec![0; bytes];
                    SystemRandom.fill(&mut one);
                    one
                })
                .collect();
            assert_eq!(all.len(), times, "{bytes} bytes");
            assert!(!all.contains(&vec![0; bytes]));
        };
        for bytes in [8, 16, 31, SMALL_BYTES, SMALL_BYTES + 1, BLOCK_BYTES + 1] {
            drawn(bytes, 3 * BLOCK_BYTES / bytes + 3);
        }
    }

    #[test]
    fn threads_draw_their_own() {
        let one = || {
            let mut bytes = [0; 16];
            SystemRandom.fill(&mut bytes);
            bytes
        };
        let other = crate::thread("draws", None, one).expect("a thread").join().expect("drawn");
        assert_ne!(other, one());
    }
}
