//! The order in which requests get their instances made. To make one takes long beside what most requests do in it, and
//! threads take up what is ready first come, first served: a burst of one service would stand before everybody else's
//! next request. So only a few are made at once, and the containers that wait take turns.

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
    /// The containers that wait, each once, the next one first.
    ring: VecDeque<u64>,
    /// Their requests, the oldest first. None is empty.
    waiting: HashMap<u64, VecDeque<oneshot::Sender<StartTurn>>>,
}

/// The right to make one instance; the next one's turn comes when it is dropped.
#[derive(Debug)]
pub(crate) struct StartTurn {
    /// None: it went to nobody.
    all: Option<Arc<Starts>>,
}

impl Starts {
    /// `max` at once.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: max.max(1), state: Mutex::default() })
    }

    /// Waits for a turn of the container.
    pub(crate) async fn turn(self: &Arc<Self>, container: u64) -> StartTurn {
        let told = {
            let mut state = self.state.lock();
            if state.under_way < self.max {
                state.under_way += 1;
                return StartTurn { all: Some(self.clone()) };
            }
            let (tell, told) = oneshot::channel();
            let own = state.waiting.entry(container).or_default();
            own.push_back(tell);
            if own.len() == 1 {
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

    /// Hands a turn that has ended to whoever is next.
    fn pass_on(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = self.state.lock();
                let next = state.next();
                if next.is_none() {
                    state.under_way -= 1;
                }
                next
            };
            let Some(told) = next else { return };
            match told.send(StartTurn { all: Some(self.clone()) }) {
                Ok(()) => return,
                // It gave up: its turn goes on here, and not from a drop within a drop.
                Err(mut turn) => turn.all = None,
            }
        }
    }
}

impl State {
    fn next(&mut self) -> Option<oneshot::Sender<StartTurn>> {
        let container = self.ring.pop_front()?;
        let own = self.waiting.get_mut(&container)?;
        let next = own.pop_front();
        if own.is_empty() {
            self.waiting.remove(&container);
        } else {
            self.ring.push_back(container);
        }
        next
    }
}

impl Drop for StartTurn {
    fn drop(&mut self) {
        if let Some(all) = self.all.take() {
            all.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn a_burst_of_some_containers_makes_another_one_wait_for_one_of_each() {
        let starts = Starts::new(2);
        let mut under_way: VecDeque<StartTurn> = (0..2).map(|_| starts.turn(0).now_or_never().expect("free")).collect();
        let burst = |container: u64| (0..100).map(move |_| container);
        let mut waiting: Vec<_> = (0..8)
            .flat_map(burst)
            .chain([99])
            .map(|container| {
                let starts = starts.clone();
                (container, Box::pin(async move { starts.turn(container).await }))
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
        let starts = Starts::new(1);
        let first = starts.turn(1).now_or_never().expect("free");
        let mut gone: Vec<_> = (0..3).map(|_| Box::pin(starts.turn(2))).collect();
        assert!(gone.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
        let mut stays = Box::pin(starts.turn(3));
        assert!(stays.as_mut().now_or_never().is_none());
        // One of them is told, and gives up without having looked.
        let told = gone.pop();
        drop(gone);
        drop(first);
        drop(told);
        assert!(stays.now_or_never().is_some());
        assert!(starts.turn(4).now_or_never().is_some());
        let state = starts.state.lock();
        assert!(state.ring.is_empty() && state.waiting.is_empty() && state.under_way == 0);
    }
}
