//! Fair turns of those who install policies: each call or fixture of one waits behind those of all others, so that one
//! that takes long holds up none but its own.

use crate::limits;
use sampan_wasm_runtime::policy::Spent;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is handed out in units of one MiB.
const MIB: u64 = 1 << 20;

/// Turns to run a guest that is not live: in the order of asking, a few at a time, and within
/// [`limits::MEMORY_PASSING`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Turns {
    running: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        let memory = usize::try_from(limits::MEMORY_PASSING / MIB).unwrap_or(usize::MAX);
        Self { running: Arc::new(Semaphore::new(limits::TURNS)), memory: Arc::new(Semaphore::new(memory)) }
    }
}

/// Held while a guest runs; its instance must be dropped before.
#[derive(Debug)]
pub struct Turn {
    _running: Option<OwnedSemaphorePermit>,
    _memory: OwnedSemaphorePermit,
}

fn mib(bytes: u64) -> u32 {
    u32::try_from(bytes.min(limits::MEMORY_PASSING).div_ceil(MIB)).unwrap_or(u32::MAX)
}

impl Turns {
    /// Waits for a turn of an instance with so many bytes of memory. First come, first served: who wants much is not
    /// passed by those who want little. Who waits for memory holds no turn: those who need less, or give some back, run on.
    ///
    /// # Errors
    /// There was not so much memory within [`limits::MEMORY_WAIT`].
    pub async fn take(&self, memory: u64) -> Result<Turn, NoPassingMemory> {
        // Neither semaphore is ever closed, so no answer but a missing permit is an error.
        let running = Arc::clone(&self.running).acquire_owned().await.ok();
        if let Ok(memory) = Arc::clone(&self.memory).try_acquire_many_owned(mib(memory)) {
            return Ok(Turn { _running: running, _memory: memory });
        }
        drop(running);
        let waiting = Arc::clone(&self.memory).acquire_many_owned(mib(memory));
        let Ok(Ok(memory)) = tokio::time::timeout(limits::MEMORY_WAIT, waiting).await else {
            return Err(NoPassingMemory { wanted: memory });
        };
        // Whoever runs waits for no memory: this wait ends.
        let running = Arc::clone(&self.running).acquire_owned().await.ok();
        Ok(Turn { _running: running, _memory: memory })
    }

    /// Memory for an instance outside of the turns, if there is some now.
    pub fn try_memory(&self, memory: u64) -> Option<Turn> {
        let memory = Arc::clone(&self.memory).try_acquire_many_owned(mib(memory)).ok()?;
        Some(Turn { _running: None, _memory: memory })
    }
}

/// Instances that are there for a while took too much memory for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{wanted} bytes of memory were not to be had for {} s: checks, audits and explanations may take {} bytes together",
    limits::MEMORY_WAIT.as_secs(),
    limits::MEMORY_PASSING
)]
pub struct NoPassingMemory {
    /// Bytes that it would take.
    pub wanted: u64,
}

/// [`limits::INSTALL_CPU`] is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("starting it, its arguments and its fixtures took more than {} s of CPU time in all", limits::INSTALL_CPU.as_secs())]
pub struct OverTime;

/// CPU time that one installation has left.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    left: Duration,
}

impl Default for Work {
    fn default() -> Self {
        Self { left: limits::INSTALL_CPU }
    }
}

impl Work {
    /// Counts what a guest's calls took.
    ///
    /// # Errors
    /// Too much in all.
    pub fn spend(&mut self, spent: Spent) -> Result<(), OverTime> {
        self.left = self.left.checked_sub(spent.cpu).ok_or(OverTime)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    /// Runs installations of so many turns each; returns after how many turns of all of them each one ended.
    async fn check(turns_each: &[usize], memory: u64) -> Vec<usize> {
        let (turns, taken) = (Turns::default(), Cell::new(0));
        let ended = RefCell::new(vec![0; turns_each.len()]);
        let all = turns_each.iter().enumerate().map(async |(at, count)| {
            for _ in 0..*count {
                let turn = turns.take(memory).await.expect("others give it back");
                // The others come to wait for theirs.
                tokio::task::yield_now().await;
                taken.set(taken.get() + 1);
                drop(turn);
            }
            ended.borrow_mut()[at] = taken.get();
        });
        futures::future::join_all(all).await;
        ended.into_inner()
    }

    #[tokio::test]
    async fn a_short_installation_waits_for_a_turn_of_each_other_and_no_more() {
        let ended = check(&[256, 256, 256, 1], limits::MEMORY).await;
        assert!(ended[3] <= 4 + limits::TURNS, "the short one ended after {} turns", ended[3]);
        // Large ones take turns one at a time, and the short one is not passed for ever.
        let ended = check(&[64, 64, 64, 2], limits::MEMORY_MAX).await;
        assert!(ended[3] <= 2 * (4 + limits::TURNS), "the short one ended after {} turns", ended[3]);
    }

    #[tokio::test]
    async fn what_lives_for_a_while_is_bounded() {
        let turns = Turns::default();
        let held: Vec<_> = (0..).map_while(|_| turns.try_memory(limits::MEMORY)).collect();
        assert_eq!(held.len() as u64, limits::MEMORY_PASSING / limits::MEMORY);
        drop(held);
        assert!(turns.try_memory(limits::MEMORY_MAX).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_memory_holds_up_nobody_and_is_told() {
        let turns = Turns::default();
        let held = turns.try_memory(limits::MEMORY_PASSING - limits::MEMORY).expect("nobody has any");
        // More of them than may run at a time.
        let large: Vec<_> = (0..4 * limits::TURNS).map(|_| turns.take(limits::MEMORY_MAX)).collect();
        let all = futures::future::join_all(large);
        let others = async {
            // They all wait by now.
            tokio::task::yield_now().await;
            assert_eq!(turns.running.available_permits(), limits::TURNS, "a turn is held while memory is waited for");
        };
        let (refused, ()) = tokio::join!(all, others);
        let wanted = limits::MEMORY_MAX;
        assert!(refused.into_iter().all(|one| one.err() == Some(NoPassingMemory { wanted })));
        // Nothing of what they waited for is lost, and it is first come, first served again.
        drop(turns.take(limits::MEMORY).await.expect("there is so much"));
        let (later, ()) = tokio::join!(turns.take(limits::MEMORY_MAX), async { drop(held) });
        assert!(later.is_ok(), "it is given back in time");
    }

    #[test]
    fn an_installation_ends_when_its_time_is_used_up() {
        let spent = |millis| Spent { cpu: Duration::from_millis(millis), wall: Duration::ZERO };
        let mut work = Work::default();
        let calls = (0..256).take_while(|_| work.spend(spent(700)).is_ok()).count();
        assert_eq!(calls as u128, limits::INSTALL_CPU.as_millis() / 700);
    }
}
