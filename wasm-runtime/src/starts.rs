//! The order in which requests get their instances made. To make one takes long beside what most requests do in it, and
//! threads take up what is ready first come, first served: a burst of one service would stand before everybody else's
//! next request. So only a few are made at once, and the containers that wait take turns. A container whose requests were
//! cut off and wait for their next slice makes one at a time: it has work enough for everybody else to wait for. So does one
//! whose first slice is not known to be brief: the tick does not cut all that a guest can do.

use crate::fair::Share;
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
    under_way: usize,
    /// Of each container that has any.
    of: HashMap<u64, usize>,
    /// The containers that wait, each once, the next one first.
    ring: VecDeque<u64>,
    /// Their requests. None is empty.
    waiting: HashMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    share: Arc<Share>,
    /// The oldest first.
    requests: VecDeque<oneshot::Sender<StartTurn>>,
}

/// The right to make one instance; the next one's turn comes when it is dropped.
#[derive(Debug)]
pub(crate) struct StartTurn {
    /// None: it went to nobody.
    all: Option<Arc<Starts>>,
    container: u64,
}

impl Starts {
    /// `max` at once.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: max.max(1), state: Mutex::default() })
    }

    /// Waits for a turn of the container, whose use is told by `share`.
    pub(crate) async fn turn(self: &Arc<Self>, container: u64, share: &Arc<Share>) -> StartTurn {
        let told = {
            let mut state = self.state.lock();
            if state.under_way < self.max && state.may_begin(container, share) {
                state.begin(container);
                return StartTurn { all: Some(self.clone()), container };
            }
            let (tell, told) = oneshot::channel();
            let own = state.waiting.entry(container);
            let own = own.or_insert_with(|| Waiting { share: share.clone(), requests: VecDeque::new() });
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
    fn pass_on(self: &Arc<Self>, container: u64) {
        let mut ended = Some(container);
        loop {
            let (container, told) = {
                let mut state = self.state.lock();
                if let Some(ended) = ended.take() {
                    state.end(ended);
                }
                if state.under_way >= self.max {
                    return;
                }
                let Some((container, told)) = state.next() else { return };
                state.begin(container);
                (container, told)
            };
            // It may have given up: its turn goes on here, and not from a drop within a drop.
            if let Err(mut turn) = told.send(StartTurn { all: Some(self.clone()), container }) {
                turn.all = None;
                ended = Some(container);
            }
        }
    }
}

impl State {
    /// Whoever has one under way and is not let begin another is asked again when that one ends.
    fn may_begin(&self, container: u64, share: &Share) -> bool {
        !share.begins_alone() || !self.of.contains_key(&container)
    }

    fn begin(&mut self, container: u64) {
        self.under_way += 1;
        *self.of.entry(container).or_default() += 1;
    }

    fn end(&mut self, container: u64) {
        self.under_way -= 1;
        if let Some(count) = self.of.get_mut(&container) {
            *count -= 1;
            if *count == 0 {
                self.of.remove(&container);
            }
        }
    }

    /// The next request of the first container that may begin one; those that may not keep their places.
    fn next(&mut self) -> Option<(u64, oneshot::Sender<StartTurn>)> {
        let may = |container: &u64| {
            let waiting = self.waiting.get(container);
            waiting.is_some_and(|waiting| self.may_begin(*container, &waiting.share))
        };
        let at = self.ring.iter().position(may)?;
        let container = self.ring.remove(at)?;
        let own = self.waiting.get_mut(&container)?;
        let next = own.requests.pop_front()?;
        if own.requests.is_empty() {
            self.waiting.remove(&container);
        } else {
            self.ring.push_back(container);
        }
        Some((container, next))
    }
}

impl Drop for StartTurn {
    fn drop(&mut self) {
        if let Some(all) = self.all.take() {
            all.pass_on(self.container);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fair::FairQueue;
    use futures::FutureExt;

    type Asked = std::pin::Pin<Box<dyn Future<Output = StartTurn>>>;

    /// Of a container that begins briefly.
    fn rested() -> Arc<Share> {
        let share = Share::new(100);
        share.began(true);
        Arc::new(share)
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
    fn until_it_is_known_to_begin_briefly_one_is_made_at_a_time() {
        let (starts, unknown) = (Starts::new(4), Arc::new(Share::new(100)));
        let first = starts.turn(1, &unknown).now_or_never().expect("free");
        let mut others: Vec<Asked> = (0..3)
            .map(|_| {
                let (starts, unknown) = (starts.clone(), unknown.clone());
                Box::pin(async move { starts.turn(1, &unknown).await }) as Asked
            })
            .collect();
        assert!(others.iter_mut().all(|one| one.as_mut().now_or_never().is_none()), "they wait for the first");
        let mut granted = || {
            let mut turns = Vec::new();
            others.retain_mut(|one| one.as_mut().now_or_never().map(|turn| turns.push(turn)).is_none());
            turns
        };
        unknown.began(false);
        drop(first);
        let second = granted();
        assert_eq!(second.len(), 1, "it took long");
        unknown.began(true);
        drop(second);
        assert_eq!(granted().len(), 2, "all the others at once");
    }

    #[test]
    fn a_container_with_work_enough_begins_one_at_a_time() {
        let starts = Starts::new(4);
        let (queue, greedy, other) = (FairQueue::new(1), rested(), rested());
        let mut all = Vec::new();
        let mut ask = |container: u64, share: &Arc<Share>| {
            let (starts, share) = (starts.clone(), share.clone());
            let mut one: Asked = Box::pin(async move { starts.turn(container, &share).await });
            let turn = one.as_mut().now_or_never();
            if turn.is_none() {
                all.push(one);
            }
            turn
        };
        queue.enter(&greedy, true);
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
        queue.leave(&greedy);
        drop((second, others));
        assert_eq!(granted(&mut all).len(), 2, "all the others at once");
        assert!(all.is_empty());
        let state = starts.state.lock();
        assert!(state.ring.is_empty() && state.waiting.is_empty() && state.of.is_empty() && state.under_way == 0);
    }
}
