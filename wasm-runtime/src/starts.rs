//! The order in which requests get their instances made. To make one takes long beside what most requests do in it, and
//! threads take up what is ready first come, first served: a burst of one service would stand before everybody else's
//! next request. So only a few are made at once, and the containers that wait take turns. A container whose requests were
//! cut off and wait for their next slice makes one at a time: it has work enough for everybody else to wait for.
//!
//! The first slice of a request may be one that the tick does not cut, and that keeps everybody waiting: nobody looks at
//! the sockets meanwhile where the other threads rest. Until a container's is known to be brief it makes one at a time on
//! the threads of commands, and takes no turn from others.

use crate::cpu::PodCpu;
use crate::slices::Pace;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;

/// All instances of services that are being made.
#[derive(Debug)]
pub(crate) struct Starts {
    max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// But for probes.
    under_way: usize,
    /// Probes too, of each container that has any.
    of: HashMap<u64, usize>,
    /// The containers that wait, each once, the next one first.
    ring: VecDeque<u64>,
    /// Their requests. None is empty.
    waiting: HashMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    of: Arc<PodCpu>,
    /// The oldest first.
    requests: VecDeque<oneshot::Sender<StartTurn>>,
}

/// The right to make one instance; the next one's turn comes when it is dropped.
#[derive(Debug)]
pub(crate) struct StartTurn {
    /// None: it went to nobody.
    all: Option<Arc<Starts>>,
    container: u64,
    /// Nothing is known of its container.
    probe: bool,
}

impl Starts {
    /// `max` at once.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: max.max(1), state: Mutex::default() })
    }

    /// Waits for a turn of the container, of which `of` tells.
    pub(crate) async fn turn(self: &Arc<Self>, container: u64, of: &Arc<PodCpu>) -> StartTurn {
        let told = {
            let mut state = self.state.lock();
            let nobody_waits = !state.waiting.contains_key(&container);
            if let Some(probe) = state.may_begin(self.max, container, of).filter(|_| nobody_waits) {
                state.begin(container, probe);
                return StartTurn { all: Some(self.clone()), container, probe };
            }
            let (tell, told) = oneshot::channel();
            let own = state.waiting.entry(container);
            let own = own.or_insert_with(|| Waiting { of: of.clone(), requests: VecDeque::new() });
            own.requests.push_back(tell);
            if own.requests.len() == 1 {
                state.ring.push_back(container);
            }
            told
        };
        match told.await {
            Ok(turn) => turn,
            // A sender is only dropped with the turns themselves, which `self` keeps.
            Err(_) => std::future::pending().await,
        }
    }

    /// A turn of `container` has ended: whoever may be next has theirs.
    fn pass_on(self: &Arc<Self>, container: u64, probe: bool) {
        let mut ended = Some((container, probe));
        loop {
            let (container, probe, told) = {
                let mut state = self.state.lock();
                if let Some((container, probe)) = ended.take() {
                    state.end(container, probe);
                }
                let Some(next) = state.next(self.max) else { return };
                state.begin(next.0, next.1);
                next
            };
            // It may have given up: its turn goes on here, and not from a drop within a drop.
            if let Err(mut turn) = told.send(StartTurn { all: Some(self.clone()), container, probe }) {
                turn.all = None;
                ended = Some((container, probe));
            }
        }
    }
}

impl State {
    /// Whether what it may begin now is a probe; None where it may not. Whoever has one under way and may not begin another is
    /// asked again when that one ends.
    fn may_begin(&self, max: usize, container: u64, of: &PodCpu) -> Option<bool> {
        let probe = of.slices.pace() == Pace::Unknown;
        let alone = probe || of.is_hungry();
        ((probe || self.under_way < max) && !(alone && self.of.contains_key(&container))).then_some(probe)
    }

    fn begin(&mut self, container: u64, probe: bool) {
        self.under_way += usize::from(!probe);
        *self.of.entry(container).or_default() += 1;
    }

    fn end(&mut self, container: u64, probe: bool) {
        self.under_way -= usize::from(!probe);
        if let Some(count) = self.of.get_mut(&container) {
            *count -= 1;
            if *count == 0 {
                self.of.remove(&container);
            }
        }
    }

    /// The next request of the first container that may begin one, and whether it is a probe; those that may not keep their
    /// places.
    fn next(&mut self, max: usize) -> Option<(u64, bool, oneshot::Sender<StartTurn>)> {
        let may = |(at, container): (usize, &u64)| {
            let probe = self.may_begin(max, *container, &self.waiting.get(container)?.of)?;
            Some((at, probe))
        };
        let (at, probe) = self.ring.iter().enumerate().find_map(may)?;
        let container = self.ring.remove(at)?;
        let own = self.waiting.get_mut(&container)?;
        let next = own.requests.pop_front()?;
        if own.requests.is_empty() {
            self.waiting.remove(&container);
        } else {
            self.ring.push_back(container);
        }
        Some((container, probe, next))
    }
}

impl StartTurn {
    /// Whether nothing is known of its container.
    pub(crate) fn is_probe(&self) -> bool {
        self.probe
    }
}

impl Drop for StartTurn {
    fn drop(&mut self) {
        if let Some(all) = self.all.take() {
            all.pass_on(self.container, self.probe);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fair::{FairQueue, LaneName};
    use crate::limits::LONG_SLICE;
    use crate::slices::Slice;
    use futures::FutureExt;
    use sampan_env::Env;
    use std::time::Duration;

    type Asked = std::pin::Pin<Box<dyn Future<Output = StartTurn>>>;

    fn unknown() -> Arc<PodCpu> {
        Arc::new(PodCpu::new(Env::system(), None, 100))
    }

    const MS: Duration = Duration::from_millis(1);

    fn began(cpu: &PodCpu, slice: Duration) {
        cpu.slices.note(Slice { cpu: slice, begins: true, ..Slice::default() });
    }

    /// Known to begin briefly.
    fn rested() -> Arc<PodCpu> {
        let cpu = unknown();
        began(&cpu, MS);
        cpu
    }

    #[test]
    fn a_burst_of_some_containers_makes_another_one_wait_for_one_of_each() {
        let starts = Starts::new(2);
        let mut under_way: VecDeque<StartTurn> =
            (0..2).map(|_| starts.turn(0, &rested()).now_or_never().expect("free")).collect();
        let burst = |container: u64| (0..100).map(move |_| container);
        let mut waiting: Vec<_> = (0..8)
            .flat_map(burst)
            .chain([99])
            .map(|container| {
                let starts = starts.clone();
                (container, Box::pin(async move { starts.turn(container, &rested()).await }))
            })
            .collect();
        for (_, one) in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        let mut order = Vec::new();
        while let Some(ended) = under_way.pop_front() {
            drop(ended);
            waiting.retain_mut(|(container, one)| match one.as_mut().now_or_never() {
                Some(turn) => {
                    order.push(*container);
                    under_way.push_back(turn);
                    false
                }
                None => true,
            });
            assert!(under_way.len() <= 2);
        }
        assert!(waiting.is_empty());
        assert_eq!(order[..9], [0, 1, 2, 3, 4, 5, 6, 7, 99]);
        assert_eq!(starts.state.lock().under_way, 0);
    }

    #[test]
    fn who_gives_up_waiting_loses_no_turn() {
        let (starts, rested) = (Starts::new(1), rested());
        let first = starts.turn(1, &rested).now_or_never().expect("free");
        let mut gone: Vec<_> = (0..3).map(|_| Box::pin(starts.turn(2, &rested))).collect();
        assert!(gone.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
        let mut stays = Box::pin(starts.turn(3, &rested));
        assert!(stays.as_mut().now_or_never().is_none());
        // One of them is told, and gives up without having looked.
        let told = gone.pop();
        drop(gone);
        drop(first);
        drop(told);
        assert!(stays.now_or_never().is_some());
        assert!(starts.turn(4, &rested).now_or_never().is_some());
        let state = starts.state.lock();
        assert!(state.ring.is_empty() && state.waiting.is_empty() && state.under_way == 0);
    }

    #[test]
    fn until_it_is_known_to_begin_briefly_a_container_probes_and_takes_nobodys_turn() {
        let (starts, unknown) = (Starts::new(1), unknown());
        let first = starts.turn(1, &unknown).now_or_never().expect("free");
        let mut others: Vec<Asked> = (0..3)
            .map(|_| {
                let (starts, unknown) = (starts.clone(), unknown.clone());
                Box::pin(async move { starts.turn(1, &unknown).await }) as Asked
            })
            .collect();
        assert!(others.iter_mut().all(|one| one.as_mut().now_or_never().is_none()), "they wait for the first");
        let other = starts.turn(2, &rested()).now_or_never().expect("the only turn");
        let mut granted = || {
            let mut turns = Vec::new();
            others.retain_mut(|one| one.as_mut().now_or_never().map(|turn| turns.push(turn)).is_none());
            turns
        };
        began(&unknown, LONG_SLICE + MS);
        drop(first);
        let second = granted();
        assert!(second.len() == 1 && second[0].is_probe(), "it took long");
        began(&unknown, MS);
        drop(second);
        assert!(granted().is_empty(), "now it takes a turn as the others do");
        drop(other);
        let third = granted();
        assert!(third.len() == 1 && !third[0].is_probe());
        drop(third);
        assert_eq!(granted().len(), 1);
        let state = starts.state.lock();
        assert!(state.ring.is_empty() && state.waiting.is_empty() && state.of.is_empty() && state.under_way == 0);
    }

    #[test]
    fn a_container_with_work_enough_begins_one_at_a_time() {
        let starts = Starts::new(4);
        let (queue, greedy, other) = (FairQueue::new(1), rested(), rested());
        let mut all = Vec::new();
        let mut ask = |container: u64, cpu: &Arc<PodCpu>| {
            let (starts, cpu) = (starts.clone(), cpu.clone());
            let mut one: Asked = Box::pin(async move { starts.turn(container, &cpu).await });
            let turn = one.as_mut().now_or_never();
            if turn.is_none() {
                all.push(one);
            }
            turn
        };
        queue.enter(greedy.share(LaneName::Services), true);
        let first = ask(1, &greedy).expect("the first");
        assert!((0..3).all(|_| ask(1, &greedy).is_none()), "they wait for the first");
        let mut others: Vec<_> = (0..3).map(|_| ask(2, &other).expect("the rest is for others")).collect();
        assert!(ask(2, &other).is_none(), "all are under way");
        let granted = |all: &mut Vec<Asked>| {
            let before = all.len();
            let mut turns = Vec::new();
            all.retain_mut(|one: &mut Asked| one.as_mut().now_or_never().map(|turn| turns.push(turn)).is_none());
            assert_eq!(turns.len(), before - all.len());
            turns
        };
        others.truncate(2);
        assert_eq!(granted(&mut all).iter().map(|turn| turn.container).collect::<Vec<_>>(), [2], "it came later");
        drop(first);
        let second = granted(&mut all);
        assert_eq!(second.iter().map(|turn| turn.container).collect::<Vec<_>>(), [1]);
        // Nothing of it waits for a slice any more.
        queue.leave(greedy.share(LaneName::Services));
        drop((second, others));
        assert_eq!(granted(&mut all).len(), 2, "all the others at once");
        assert!(all.is_empty());
        let state = starts.state.lock();
        assert!(state.ring.is_empty() && state.waiting.is_empty() && state.of.is_empty() && state.under_way == 0);
    }
}
