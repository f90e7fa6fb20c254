//! The CPU limit of a container: a bucket of thread CPU time, filled each period, with debt. An empty bucket parks the
//! container's futures (`metered`) in its queue, first come, first served.

use crate::clock::nanos;
use crate::fair::{LaneName, Share};
use crate::limits::{BEST_EFFORT_CPU_MILLIS, CPU_PERIOD};
use crate::slices::Slices;
use parking_lot::Mutex;
use sampan_env::Env;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;
use tokio::time::Instant;

/// A random moment of the period that is under way: buckets that were all filled at the same edge would let all of their
/// containers run at once, and then none.
fn phased(env: &Env) -> Instant {
    let now = env.instant();
    let phase = Duration::from_nanos(env.random_u64() % nanos(CPU_PERIOD));
    now.checked_sub(phase).unwrap_or(now)
}

/// The bucket of one container, and what it used.
#[derive(Debug)]
pub(crate) struct PodCpu {
    /// Nanoseconds that each period adds; also the most that the bucket holds. None: no limit.
    quota: Option<i64>,
    /// The time that its periods are counted from.
    origin: Instant,
    env: Env,
    bucket: Mutex<Bucket>,
    used_nanos: AtomicU64,
    throttled_nanos: AtomicU64,
    pub(crate) slices: Slices,
    /// By [`LaneName`]: what waits for its slice in the one is nothing that others wait for in the other.
    shares: [Arc<Share>; 2],
}

#[derive(Debug, Default)]
struct Bucket {
    balance: i64,
    /// The period that was filled in last.
    period: u64,
    next_ticket: u64,
    queue: VecDeque<(u64, Waker)>,
}

/// What the bucket says.
pub(crate) enum Admitted {
    Yes,
    /// Wait for one's turn; the head of the queue also waits for this instant.
    No(Option<Instant>),
}

impl PodCpu {
    /// `limit_millis`: thousandths of a core; `request_millis`: the weight under contention.
    pub(crate) fn new(env: Env, limit_millis: Option<u64>, request_millis: u64) -> Self {
        let quota = limit_millis.map(|millis| {
            let per_period =
                u64::try_from(CPU_PERIOD.as_nanos()).unwrap_or(u64::MAX).saturating_mul(millis.max(1)) / 1000;
            i64::try_from(per_period).unwrap_or(i64::MAX)
        });
        let share = Share::new(request_millis.max(BEST_EFFORT_CPU_MILLIS));
        Self {
            quota,
            origin: phased(&env),
            slices: Slices::new(env.clone()),
            env,
            bucket: Mutex::new(Bucket { balance: quota.unwrap_or(0), ..Bucket::default() }),
            used_nanos: AtomicU64::new(0),
            throttled_nanos: AtomicU64::new(0),
            shares: [Arc::new(share.beside()), Arc::new(share)],
        }
    }

    /// Its use of this lane beside that of others.
    pub(crate) fn share(&self, of: LaneName) -> &Arc<Share> {
        &self.shares[of as usize]
    }

    pub(crate) fn used_nanos(&self) -> u64 {
        self.used_nanos.load(Ordering::Relaxed)
    }

    pub(crate) fn throttled_nanos(&self) -> u64 {
        self.throttled_nanos.load(Ordering::Relaxed)
    }

    /// A future had nothing to do but wait for the bucket since then.
    pub(crate) fn was_parked(&self, since: Instant) {
        self.throttled_nanos.fetch_add(nanos(self.now().duration_since(since)), Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Instant {
        self.env.instant()
    }

    /// Whether the future that holds `ticket`, or none yet, may run now; otherwise `waker` is told when to ask again.
    pub(crate) fn admit(&self, ticket: &mut Option<u64>, waker: &Waker) -> Admitted {
        let Some(quota) = self.quota else { return Admitted::Yes };
        let mut bucket = self.bucket.lock();
        // Under the lock, so that no thread brings an older time than the one before it.
        let elapsed = self.env.instant().duration_since(self.origin);
        let now = u64::try_from(elapsed.as_nanos() / CPU_PERIOD.as_nanos()).unwrap_or(u64::MAX);
        let period = now.max(bucket.period);
        let filled = i64::try_from(period - bucket.period).unwrap_or(i64::MAX);
        bucket.balance = bucket.balance.saturating_add(quota.saturating_mul(filled)).min(quota);
        bucket.period = period;
        let first = bucket.queue.front().is_none_or(|(head, _)| Some(*head) == *ticket);
        if bucket.balance > 0 && first {
            if ticket.take().is_some() {
                bucket.queue.pop_front();
            }
            if let Some((_, next)) = bucket.queue.front() {
                next.wake_by_ref();
            }
            return Admitted::Yes;
        }
        match *ticket {
            None => {
                let id = bucket.next_ticket;
                bucket.next_ticket += 1;
                bucket.queue.push_back((id, waker.clone()));
                *ticket = Some(id);
            }
            Some(id) => {
                if let Some(entry) = bucket.queue.iter_mut().find(|(other, _)| *other == id) {
                    entry.1.clone_from(waker);
                }
            }
        }
        if !first {
            return Admitted::No(None);
        }
        // The balance is at most zero: the first period whose filling makes it positive.
        let periods = u64::try_from(-bucket.balance / quota + 1).unwrap_or(1);
        let wait = CPU_PERIOD.saturating_mul(u32::try_from(period.saturating_add(periods)).unwrap_or(u32::MAX));
        Admitted::No(Some(self.origin + wait))
    }

    pub(crate) fn charge(&self, nanos: u64) {
        self.used_nanos.fetch_add(nanos, Ordering::Relaxed);
        if self.quota.is_some() {
            let mut bucket = self.bucket.lock();
            bucket.balance = bucket.balance.saturating_sub(i64::try_from(nanos).unwrap_or(i64::MAX));
        }
    }

    /// Whether any of its futures was cut off and waits for its next slice.
    pub(crate) fn is_hungry(&self) -> bool {
        self.shares.iter().any(|share| share.is_hungry())
    }

    /// Gives up a place in the queue; the next one may be first now.
    pub(crate) fn leave(&self, ticket: u64) {
        let mut bucket = self.bucket.lock();
        bucket.queue.retain(|(id, _)| *id != ticket);
        if let Some((_, next)) = bucket.queue.front() {
            next.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fair::FairQueue;
    use std::time::SystemTime;

    fn cpu(millis: u64) -> PodCpu {
        let mut cpu = PodCpu::new(Env::simulated(1, SystemTime::UNIX_EPOCH), Some(millis), 0);
        cpu.origin = cpu.env.instant();
        cpu
    }

    fn admitted(cpu: &PodCpu, ticket: &mut Option<u64>) -> bool {
        matches!(cpu.admit(ticket, Waker::noop()), Admitted::Yes)
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenth_of_a_core_runs_a_tenth_of_the_time() {
        let cpu = cpu(100);
        let slice = Duration::from_millis(1);
        let mut ran = Duration::ZERO;
        let mut ticket = None;
        for _ in 0..10_000 {
            if admitted(&cpu, &mut ticket) {
                cpu.charge(nanos(slice));
                ran += slice;
            }
            tokio::time::advance(slice).await;
        }
        assert!((990..=1010).contains(&ran.as_millis()), "{ran:?} of 10 s");
    }

    #[tokio::test(start_paused = true)]
    async fn debt_is_paid_back() {
        let cpu = cpu(100);
        let mut ticket = None;
        assert!(admitted(&cpu, &mut ticket));
        cpu.charge(nanos(Duration::from_millis(55)));
        let Admitted::No(Some(until)) = cpu.admit(&mut ticket, Waker::noop()) else { panic!("in debt, yet admitted") };
        // 45 ms of debt at 10 ms a period: positive at the fifth.
        assert_eq!(until.duration_since(cpu.origin), Duration::from_millis(500));
        tokio::time::advance(Duration::from_millis(499)).await;
        assert!(!admitted(&cpu, &mut ticket));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(admitted(&cpu, &mut ticket));
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_go_in_order() {
        let cpu = cpu(100);
        let (mut first, mut second) = (None, None);
        cpu.charge(nanos(Duration::from_millis(10)));
        assert!(!admitted(&cpu, &mut first) && !admitted(&cpu, &mut second));
        tokio::time::advance(Duration::from_millis(100)).await;
        assert!(!admitted(&cpu, &mut second), "the first is still before it");
        assert!(admitted(&cpu, &mut first));
        assert!(admitted(&cpu, &mut second));
    }

    #[tokio::test(start_paused = true)]
    async fn buckets_of_a_burst_are_not_filled_at_one_edge() {
        tokio::time::advance(Duration::from_secs(1)).await;
        let env = Env::simulated(1, SystemTime::UNIX_EPOCH);
        let mut tenths = [0; 10];
        for _ in 0..1000 {
            let phase = env.instant().duration_since(PodCpu::new(env.clone(), Some(100), 0).origin);
            assert!(phase < CPU_PERIOD, "{phase:?}");
            tenths[usize::try_from(phase.as_nanos() * 10 / CPU_PERIOD.as_nanos()).expect("below ten")] += 1;
        }
        assert!(tenths.iter().all(|n| (60..140).contains(n)), "{tenths:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_read_late_fills_nothing_and_takes_nothing() {
        let cpu = cpu(100);
        tokio::time::advance(CPU_PERIOD * 3).await;
        let mut ticket = None;
        assert!(admitted(&cpu, &mut ticket));
        cpu.charge(nanos(Duration::from_millis(5)));
        // Another thread was there with a later time.
        cpu.bucket.lock().period = 7;
        assert!(admitted(&cpu, &mut ticket));
        let bucket = cpu.bucket.lock();
        assert_eq!((bucket.period, bucket.balance), (7, 5_000_000));
    }

    #[test]
    fn what_waits_in_one_lane_is_not_taken_for_waiting_in_the_other() {
        let (cpu, services, commands) = (cpu(100), FairQueue::new(1), FairQueue::new(1));
        services.enter(cpu.share(LaneName::Services), true);
        commands.enter(cpu.share(LaneName::Commands), true);
        services.leave(cpu.share(LaneName::Services));
        commands.leave(cpu.share(LaneName::Commands));
        let other = Arc::new(Share::new(1));
        other.charge(1 << 30);
        assert!(!services.steps_back(&other, 0) && !commands.steps_back(&other, 0), "nobody waits any more");
    }

    #[test]
    fn no_limit_is_no_bucket() {
        let cpu = PodCpu::new(Env::simulated(1, SystemTime::UNIX_EPOCH), None, 100);
        cpu.charge(1 << 40);
        assert!(admitted(&cpu, &mut None));
    }
}
