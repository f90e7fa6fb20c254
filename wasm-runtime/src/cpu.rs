//! The CPU limit of a container: a bucket of thread CPU time, filled each period, with debt.
//!
//! The thread's CPU clock is read around each poll of a guest's future: wall time would bill a guest for its neighbours.
//! An empty bucket parks the future in the container's queue, first come, first served.

use crate::fair::{FairQueue, LaneName, Place, Share};
use crate::limits::{
    BEST_EFFORT_CPU_MILLIS, CPU_PERIOD, LONG_AGAIN, LONG_REQUESTS_WAITING, LONG_SLICE, LONG_SLICE_MEMORY, LONG_STRETCH,
};
use crate::starts::{Begins, StartTurn};
use crate::ticker::Ticker;
use parking_lot::Mutex;
use sampan_env::Env;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// CPU time of this thread so far, in nanoseconds.
pub(crate) fn thread_cpu_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

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
    /// The last time that its slices or its requests were long again ([`PodCpu::note`]), in nanoseconds since `origin`; 0:
    /// never.
    long_at: AtomicU64,
    /// The last time that one of them was, likewise.
    suspected_at: AtomicU64,
    /// No slice was long since a request began with a brief one.
    begins_briefly: AtomicBool,
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

enum Admitted {
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
            env,
            bucket: Mutex::new(Bucket { balance: quota.unwrap_or(0), ..Bucket::default() }),
            used_nanos: AtomicU64::new(0),
            throttled_nanos: AtomicU64::new(0),
            long_at: AtomicU64::new(0),
            suspected_at: AtomicU64::new(0),
            begins_briefly: AtomicBool::new(false),
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

    fn admit(&self, ticket: &mut Option<u64>, waker: &Waker) -> Admitted {
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

    fn charge(&self, nanos: u64) {
        self.used_nanos.fetch_add(nanos, Ordering::Relaxed);
        if self.quota.is_some() {
            let mut bucket = self.bucket.lock();
            bucket.balance = bucket.balance.saturating_sub(i64::try_from(nanos).unwrap_or(i64::MAX));
        }
    }

    /// One poll took `slice`, at the end of `stretch`, and so many of its container's futures `wait` for their slices. The tick
    /// cannot cut what the engine or the kernel does at a stretch: filling or freeing much memory. One long slice, or one
    /// stretch, says nothing yet: the kernel may have done something for somebody else meanwhile. Two do, also of one request.
    fn note(&self, slice: u64, stretch: u64, waiting: usize) {
        let most = nanos(LONG_STRETCH);
        let stretched = stretch > most && stretch.saturating_sub(slice) <= most;
        if slice > nanos(LONG_SLICE) || stretched || waiting >= LONG_REQUESTS_WAITING {
            let now = self.elapsed().max(1);
            let before = self.suspected_at.swap(now, Ordering::Relaxed);
            // From the end of the one to the beginning of the other.
            if before != 0 && now.saturating_sub(before).saturating_sub(slice) < nanos(LONG_AGAIN) {
                self.long_at.store(now, Ordering::Relaxed);
            }
        }
    }

    fn elapsed(&self) -> u64 {
        nanos(self.env.instant().duration_since(self.origin))
    }

    /// A slice was long, or a request has begun with one that was brief.
    pub(crate) fn began(&self, brief: bool) {
        self.begins_briefly.store(brief, Ordering::Relaxed);
    }

    /// Whether its slices, or its requests, were long lately: others must not wait for them on one thread.
    pub(crate) fn runs_long(&self) -> bool {
        let last = self.long_at.load(Ordering::Relaxed);
        last != 0 && self.elapsed().saturating_sub(last) < nanos(LONG_SLICE_MEMORY)
    }

    /// Gives up a place in the queue; the next one may be first now.
    fn leave(&self, ticket: u64) {
        let mut bucket = self.bucket.lock();
        bucket.queue.retain(|(id, _)| *id != ticket);
        if let Some((_, next)) = bucket.queue.front() {
            next.wake_by_ref();
        }
    }
}

impl Begins for PodCpu {
    fn is_unknown(&self) -> bool {
        !self.begins_briefly.load(Ordering::Relaxed) && !self.runs_long()
    }

    fn is_hungry(&self) -> bool {
        self.shares.iter().any(|share| share.is_hungry())
    }
}

/// The accounts that a guest's future runs under besides its container's bucket.
#[derive(Clone)]
pub(crate) struct Meter {
    pub(crate) cpu: Arc<PodCpu>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) fair: Arc<FairQueue>,
    /// Of its container in `fair`.
    pub(crate) share: Arc<Share>,
    /// Set by the epoch callback: the guest was cut off and wants to go on.
    pub(crate) cut_off: Arc<AtomicBool>,
}

/// A guest's future (instantiation and call), metered around each poll.
pub(crate) struct Metered<T> {
    inner: Pin<Box<dyn Future<Output = T> + Send>>,
    meter: Meter,
    ticket: Option<u64>,
    parked_at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
    hungry: bool,
    /// The last poll ended by being cut off.
    cut: bool,
    steps_back: u8,
    place: Place,
    /// CPU time since it last waited for something but its slice, nanoseconds.
    at_a_stretch: u64,
    /// Held until the first poll of what is inside has ended.
    start: Option<StartTurn>,
    /// Its next slice is the first one of a request.
    begins: bool,
}

impl<T> Metered<T> {
    pub(crate) fn new(meter: Meter, inner: impl Future<Output = T> + Send + 'static) -> Self {
        Self {
            inner: Box::pin(inner),
            meter,
            ticket: None,
            parked_at: None,
            sleep: None,
            hungry: false,
            cut: false,
            steps_back: 0,
            place: Place::None,
            at_a_stretch: 0,
            start: None,
            begins: false,
        }
    }

    /// Its first slice tells how the requests of its container begin.
    pub(crate) fn of_request(mut self) -> Self {
        self.begins = true;
        self
    }

    /// It begins in its turn of those that do.
    pub(crate) fn starting(mut self, start: StartTurn) -> Self {
        self.start = Some(start);
        self
    }

    fn leave_line(&mut self) {
        self.meter.fair.leave_line(&self.meter.share, &mut self.place);
    }

    fn set_hungry(&mut self, hungry: bool) {
        if hungry == self.hungry {
            return;
        }
        self.hungry = hungry;
        let (fair, share) = (&self.meter.fair, &self.meter.share);
        if hungry {
            fair.enter(share, !self.cut);
        } else {
            fair.leave(share);
        }
    }
}

impl<T> Future for Metered<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        let cpu = this.meter.cpu.clone();
        loop {
            match cpu.admit(&mut this.ticket, cx.waker()) {
                Admitted::Yes => break,
                Admitted::No(until) => {
                    this.set_hungry(false);
                    // Others do not wait for its quota.
                    this.start = None;
                    this.leave_line();
                    this.parked_at.get_or_insert_with(|| cpu.env.instant());
                    let Some(until) = until else { return Poll::Pending };
                    let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                    if sleep.deadline() != until {
                        sleep.as_mut().reset(until);
                    }
                    if sleep.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    // The timer's clock has reached the edge of the period; the bucket may be asked again.
                }
            }
        }
        if let Some(since) = this.parked_at.take() {
            let parked = cpu.env.instant().duration_since(since);
            cpu.throttled_nanos.fetch_add(nanos(parked), Ordering::Relaxed);
        }
        if this.meter.fair.steps_back(&this.meter.share, this.steps_back) {
            this.steps_back += 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.steps_back = 0;
        if this.cut && !this.meter.fair.may_run(&this.meter.share, &mut this.place, cx.waker()) {
            return Poll::Pending;
        }
        this.set_hungry(false);

        let in_poll = this.meter.ticker.enter();
        let before = thread_cpu_nanos();
        let polled = this.inner.as_mut().poll(cx);
        let slice = thread_cpu_nanos().saturating_sub(before);
        cpu.charge(slice);
        this.meter.share.charge(slice);
        drop(in_poll);
        let (long, begins) = (slice > nanos(LONG_SLICE), std::mem::take(&mut this.begins));
        if long || begins {
            cpu.began(!long);
        }
        // After that: whoever is next begins as this one did.
        this.start = None;
        let cut = this.meter.cut_off.swap(false, Ordering::Relaxed) && polled.is_pending();
        if cut {
            this.set_hungry(true);
            this.meter.fair.step_behind(&this.meter.share, &mut this.place);
            this.at_a_stretch = this.at_a_stretch.saturating_add(slice);
            cpu.note(slice, this.at_a_stretch, this.meter.share.waiting());
        } else {
            this.leave_line();
            this.at_a_stretch = 0;
            cpu.note(slice, 0, 0);
        }
        this.cut = cut;
        polled
    }
}

impl<T> Drop for Metered<T> {
    fn drop(&mut self) {
        self.set_hungry(false);
        self.leave_line();
        if let Some(ticket) = self.ticket.take() {
            self.meter.cpu.leave(ticket);
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_is_remembered_for_a_while() {
        let check = async |slice: Duration, stretch: Duration, waiting: usize| {
            let cpu = cpu(100);
            cpu.note(nanos(LONG_SLICE), nanos(LONG_STRETCH), LONG_REQUESTS_WAITING - 1);
            assert!(!cpu.runs_long(), "no more than may be");
            cpu.note(nanos(slice), nanos(stretch), waiting);
            assert!(!cpu.runs_long(), "once");
            tokio::time::advance(LONG_AGAIN + slice + Duration::from_millis(1)).await;
            cpu.note(nanos(slice), nanos(stretch), waiting);
            assert!(!cpu.runs_long(), "long after the first time");
            tokio::time::advance(LONG_AGAIN / 2).await;
            cpu.note(nanos(slice), nanos(stretch), waiting);
            assert!(cpu.runs_long(), "{slice:?} {stretch:?} {waiting}");
            tokio::time::advance(LONG_SLICE_MEMORY + Duration::from_millis(1)).await;
            assert!(!cpu.runs_long());
        };
        check(LONG_SLICE + Duration::from_nanos(1), Duration::ZERO, 0).await;
        check(Duration::from_nanos(1), LONG_STRETCH + Duration::from_nanos(1), 0).await;
        check(Duration::ZERO, Duration::ZERO, LONG_REQUESTS_WAITING).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_stretch_of_many_slices_counts_once() {
        let cpu = cpu(100);
        let slice = Duration::from_millis(1);
        let stretch = || (1..=20).for_each(|n| cpu.note(nanos(slice), nanos(slice * n), 0));
        stretch();
        assert!(!cpu.runs_long(), "one request");
        stretch();
        assert!(cpu.runs_long(), "another one");
    }

    #[tokio::test]
    async fn only_a_brief_first_slice_shows_that_requests_begin_briefly() {
        let cpu = Arc::new(PodCpu::new(Env::system(), None, 0));
        let meter = Meter {
            cpu: cpu.clone(),
            ticker: Arc::new(Ticker::new(Vec::new(), crate::ticker::Tick::Never).expect("no thread is needed")),
            fair: Arc::new(FairQueue::new(1)),
            share: cpu.share(LaneName::Services).clone(),
            cut_off: Arc::default(),
        };
        let metered = |computes: Duration| {
            Metered::new(meter.clone(), async move {
                let before = thread_cpu_nanos();
                while thread_cpu_nanos() - before < nanos(computes) {}
            })
        };
        assert!(cpu.is_unknown(), "nothing is known of it");
        metered(Duration::ZERO).await;
        assert!(cpu.is_unknown(), "that was no request");
        metered(Duration::ZERO).of_request().await;
        assert!(!cpu.is_unknown());
        metered(LONG_SLICE + Duration::from_millis(1)).of_request().await;
        assert!(cpu.is_unknown());
        metered(Duration::ZERO).of_request().await;
        assert!(!cpu.is_unknown());
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
