//! A guest's future under its accounts: the container's bucket (`cpu`), its share of a lane (`fair`) and how long its
//! slices are (`slices`).
//!
//! The thread's CPU clock is read around each poll: wall time would bill a guest for its neighbours.

use crate::clock::thread_cpu_nanos;
use crate::cpu::{Admitted, PodCpu};
use crate::fair::{FairQueue, Place, Share};
use crate::slices::Slice;
use crate::starts::StartTurn;
use crate::ticker::Ticker;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

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
    /// CPU time since it last waited for something but its slice.
    at_a_stretch: Duration,
    /// Held until the first poll of what is inside has ended.
    start: Option<StartTurn>,
    /// Its next slice is the first one of a request.
    begins: bool,
}

impl<T> Metered<T> {
    pub(crate) fn new(meter: Meter, inner: impl Future<Output = T> + Send + 'static) -> Self {
        Self::of(meter, Box::pin(inner))
    }

    fn of(meter: Meter, inner: Pin<Box<dyn Future<Output = T> + Send>>) -> Self {
        Self {
            inner,
            meter,
            ticket: None,
            parked_at: None,
            sleep: None,
            hungry: false,
            cut: false,
            steps_back: 0,
            place: Place::None,
            at_a_stretch: Duration::ZERO,
            start: None,
            begins: false,
        }
    }

    /// The whole of a request: its first slice tells how those of its container begin. `start` is held until it has ended.
    pub(crate) fn of_request(mut self, start: Option<StartTurn>) -> Self {
        self.begins = true;
        self.start = start;
        self
    }

    /// Whether it was cut off and wants its next slice.
    pub(crate) fn was_cut(&self) -> bool {
        self.cut
    }

    /// It goes on as another one, under `to`, a meter of the same container in another lane; this one never ends.
    pub(crate) fn take(&mut self, to: Meter) -> Self
    where
        T: 'static,
    {
        let inner = std::mem::replace(&mut self.inner, Box::pin(std::future::pending()));
        let mut taken = Self::of(Meter { cut_off: self.meter.cut_off.clone(), ..to }, inner);
        (taken.cut, taken.at_a_stretch) = (self.cut, self.at_a_stretch);
        (taken.ticket, taken.parked_at) = (self.ticket.take(), self.parked_at.take());
        if self.hungry {
            // A newcomer there, with no claim on the time that the others used meanwhile.
            taken.hungry = true;
            taken.meter.fair.enter(&taken.meter.share, true);
        }
        taken
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
                    this.parked_at.get_or_insert_with(|| cpu.now());
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
            cpu.was_parked(since);
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
        let cut = this.meter.cut_off.swap(false, Ordering::Relaxed) && polled.is_pending();
        if cut {
            this.set_hungry(true);
            this.meter.fair.step_behind(&this.meter.share, &mut this.place);
        } else {
            this.leave_line();
        }
        let slice = Duration::from_nanos(slice);
        this.at_a_stretch = if cut { this.at_a_stretch.saturating_add(slice) } else { Duration::ZERO };
        cpu.slices.note(Slice {
            cpu: slice,
            at_a_stretch: this.at_a_stretch,
            waiting: if cut { this.meter.share.waiting() } else { 0 },
            begins: std::mem::take(&mut this.begins),
        });
        // After that: whoever is next begins as this one did.
        this.start = None;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fair::LaneName;
    use crate::ticker::Tick;
    use sampan_env::Env;
    use std::task::Waker;

    #[tokio::test]
    async fn what_is_taken_to_another_lane_is_a_newcomer_there_and_leaves_nothing_behind() {
        let cpu = Arc::new(PodCpu::new(Env::system(), None, 100));
        let ticker = Arc::new(Ticker::new(Vec::new(), Tick::Never).expect("no thread is needed"));
        let (services, commands) = (Arc::new(FairQueue::new(1)), Arc::new(FairQueue::new(1)));
        let meter = |of: LaneName, fair: &Arc<FairQueue>| Meter {
            cpu: cpu.clone(),
            ticker: ticker.clone(),
            fair: fair.clone(),
            share: cpu.share(of).clone(),
            cut_off: Arc::default(),
        };
        let (here, there) = (meter(LaneName::Services, &services), meter(LaneName::Commands, &commands));
        let cut_off = here.cut_off.clone();
        let mut polls = 0;
        let mut guest = Metered::new(
            here,
            std::future::poll_fn(move |_| {
                polls += 1;
                cut_off.store(polls == 1, Ordering::Relaxed);
                if polls == 1 { Poll::Pending } else { Poll::Ready(polls) }
            }),
        );
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut guest).poll(&mut cx).is_pending() && guest.was_cut() && cpu.is_hungry());
        // One that computes there without end has used much.
        let long = PodCpu::new(Env::system(), None, 100).share(LaneName::Commands).clone();
        long.charge(1 << 40);
        commands.enter(&long, true);
        let mut taken = guest.take(there);
        drop(guest);
        let stranger = PodCpu::new(Env::system(), None, 100).share(LaneName::Services).clone();
        stranger.charge(1 << 50);
        assert!(!services.steps_back(&stranger, 0), "nothing waits there any more");
        assert!(taken.was_cut() && cpu.is_hungry(), "it waits for its slice");
        assert!(!commands.steps_back(&long, 0), "the other has no lead over a newcomer");
        assert_eq!(Pin::new(&mut taken).poll(&mut cx), Poll::Ready(2));
        assert!(!cpu.is_hungry());
    }
}
