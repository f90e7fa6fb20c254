//! Seats: how many requests are worked on at once. A request holds one only while the server works on it; while it waits
//! for its client, for a revision, for a node or for admission it gives it back ([`Seat::aside`]).
//!
//! Each level has seats that nobody else gets, and what a level does not use it lends. Within a level the flow with the
//! fewest seats is next, no flow gets so many that nothing is left for the next one to come, and whoever waits for a seat
//! takes its flow's part of the waiting places: when they are full, the longest queue loses its last.

use super::{Classifier, LevelKind, LimitResponse, Placement};
use crate::limits::{RETRY_AFTER_SECONDS, SEAT_WAIT_MAX, SEATS_MAX};
use crate::metrics::{Metrics, Up};
use crate::request_info::RequestInfo;
use parking_lot::Mutex;
use sampan_api::{Status, UserInfo};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::oneshot;

/// The server's seats. Cheap to clone.
#[derive(Clone)]
pub struct Seats {
    inner: Arc<Inner>,
}

struct Inner {
    classifier: Classifier,
    /// Of each level, in the classifier's order.
    rules: Vec<LevelRule>,
    state: Mutex<State>,
    metrics: Arc<Metrics>,
}

/// Seats and waiting places of a level.
#[derive(Clone, Copy, Debug)]
struct LevelRule {
    exempt: bool,
    /// Seats that no other level gets.
    guaranteed: usize,
    /// Seats that it has when every other level uses no more than is guaranteed to it.
    most: usize,
    waiting_of_flow: usize,
    waiting: usize,
}

#[derive(Default)]
struct State {
    /// Seats taken.
    taken: usize,
    levels: Vec<LevelState>,
    /// Counts waiters and turns: who waits is known by it, and who had the last turn.
    clock: u64,
}

#[derive(Default)]
struct LevelState {
    taken: usize,
    waiting: usize,
    /// Those that hold a seat or wait for one.
    flows: HashMap<u64, Flow>,
    /// Flows that wait, by their seats, then by their last turn.
    next: BTreeSet<(usize, u64, u64)>,
    /// Flows that wait, by how many of them do.
    longest: BTreeSet<(usize, u64)>,
}

#[derive(Default)]
struct Flow {
    taken: usize,
    last_turn: u64,
    queue: BTreeMap<u64, oneshot::Sender<()>>,
}

impl LevelState {
    /// Changes a flow and keeps the orders in which flows are found right.
    fn change<T>(&mut self, id: u64, change: impl FnOnce(&mut Flow) -> T) -> T {
        let flow = self.flows.entry(id).or_default();
        let before = (flow.taken, flow.last_turn, flow.queue.len());
        let result = change(flow);
        let after = (flow.taken, flow.last_turn, flow.queue.len());
        if before.2 > 0 {
            self.next.remove(&(before.0, before.1, id));
            self.longest.remove(&(before.2, id));
        }
        if after.2 > 0 {
            self.next.insert((after.0, after.1, id));
            self.longest.insert((after.2, id));
        }
        if after.0 == 0 && after.2 == 0 {
            self.flows.remove(&id);
        }
        self.waiting = self.waiting + after.2 - before.2;
        self.taken = self.taken + after.0 - before.0;
        result
    }
}

impl Inner {
    /// Whether one more request of `flow` may begin.
    fn may_begin(&self, state: &State, level: usize, flow: u64) -> bool {
        let (rule, of_level) = (self.rules[level], &state.levels[level]);
        // One part is left for the next flow to come.
        let known = usize::from(of_level.flows.contains_key(&flow));
        let flows = of_level.flows.len() + 1 - known;
        let of_flow = of_level.flows.get(&flow).map_or(0, |flow| flow.taken);
        if of_flow >= (rule.most / (flows + 1)).max(1) {
            return false;
        }
        if of_level.taken < rule.guaranteed {
            return true;
        }
        let reserved = |at: usize| self.rules[at].guaranteed.saturating_sub(state.levels[at].taken);
        let reserved: usize = (0..self.rules.len()).map(reserved).sum();
        state.taken + reserved < SEATS_MAX
    }

    /// Gives seats to those who wait for them, as long as there are any.
    fn dispatch(&self, state: &mut State) {
        for level in 0..self.rules.len() {
            while let Some((_, _, flow)) = state.levels[level].next.first().copied() {
                if !self.may_begin(state, level, flow) {
                    break;
                }
                state.clock += 1;
                let turn = state.clock;
                let given = state.levels[level].change(flow, |flow| {
                    flow.last_turn = turn;
                    // A waiter that has gone takes itself out of the queue; until then its seat would be nobody's.
                    let given = flow.queue.pop_first().is_some_and(|(_, waiter)| waiter.send(()).is_ok());
                    flow.taken += usize::from(given);
                    given
                });
                state.taken += usize::from(given);
            }
        }
    }

    fn release(&self, placement: Placement) {
        let mut state = self.state.lock();
        state.taken -= 1;
        state.levels[placement.level].change(placement.flow, |flow| flow.taken -= 1);
        self.dispatch(&mut state);
    }
}

impl Seats {
    /// As many seats as [`SEATS_MAX`] says, divided by the shares of the levels.
    pub fn new(classifier: Classifier, metrics: Arc<Metrics>) -> Self {
        let shares = |kind: &LevelKind| match kind {
            LevelKind::Exempt => 0,
            LevelKind::Limited(limited) => limited.shares as usize,
        };
        let all: usize = classifier.levels().iter().map(|level| shares(&level.kind)).sum::<usize>().max(1);
        let guaranteed = |kind: &LevelKind| match kind {
            LevelKind::Exempt => 0,
            LevelKind::Limited(limited) => {
                let nominal = SEATS_MAX * limited.shares as usize / all;
                nominal - nominal * limited.lendable_percent.min(100) as usize / 100
            }
        };
        let reserved: usize = classifier.levels().iter().map(|level| guaranteed(&level.kind)).sum();
        let rule = |kind: &LevelKind| {
            let guaranteed = guaranteed(kind);
            let (waiting_of_flow, waiting) = match kind {
                LevelKind::Limited(limited) => match limited.response {
                    LimitResponse::Queue(queuing) => (queuing.flow_max(), queuing.level_max()),
                    LimitResponse::Reject => (0, 0),
                },
                LevelKind::Exempt => (0, 0),
            };
            let exempt = matches!(kind, LevelKind::Exempt);
            LevelRule { exempt, guaranteed, most: SEATS_MAX - (reserved - guaranteed), waiting_of_flow, waiting }
        };
        let rules: Vec<LevelRule> = classifier.levels().iter().map(|level| rule(&level.kind)).collect();
        let levels = rules.iter().map(|_| LevelState::default()).collect();
        let state = Mutex::new(State { levels, ..State::default() });
        Self { inner: Arc::new(Inner { classifier, rules, state, metrics }) }
    }

    /// The level and flow of a request, and whether it needs no seat there.
    pub fn place(&self, user: &UserInfo, info: &RequestInfo) -> (Placement, bool) {
        let placement = self.inner.classifier.place(user, info);
        (placement, self.inner.rules[placement.level].exempt)
    }

    /// Takes a seat, or waits for one: at most [`SEAT_WAIT_MAX`]. Error: 429.
    pub async fn take(&self, placement: Placement, info: &RequestInfo) -> Result<Seat, Status> {
        let mutating = info.is_mutating();
        let seat = Seat { of: Arc::new(OfSeat { seats: self.clone(), placement, mutating, held: Mutex::new(None) }) };
        seat.of.take().await?;
        Ok(seat)
    }

    /// Seats taken, and requests that wait for one.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.inner.state.lock();
        (state.taken, state.levels.iter().map(|level| level.waiting).sum())
    }

    /// A place in the queue; `None`: a seat at once.
    fn enqueue(&self, placement: Placement) -> Result<Option<Waiting>, ()> {
        let Placement { level, flow } = placement;
        let mut guard = self.inner.state.lock();
        let state = &mut *guard;
        let rule = self.inner.rules[level];
        if self.inner.may_begin(state, level, flow) {
            state.clock += 1;
            state.taken += 1;
            let turn = state.clock;
            state.levels[level].change(flow, |flow| {
                flow.last_turn = turn;
                flow.taken += 1;
            });
            return Ok(None);
        }
        let of_level = &mut state.levels[level];
        let own = of_level.flows.get(&flow).map_or(0, |flow| flow.queue.len());
        if own >= rule.waiting_of_flow {
            return Err(());
        }
        if of_level.waiting >= rule.waiting {
            // The longest queue loses its last, unless it is this one.
            let Some((length, longest)) = of_level.longest.last().copied().filter(|(length, _)| *length > own + 1)
            else {
                return Err(());
            };
            debug_assert!(length > 0);
            of_level.change(longest, |flow| drop(flow.queue.pop_last()));
        }
        state.clock += 1;
        let (id, (sender, turn)) = (state.clock, oneshot::channel());
        of_level.change(flow, |flow| drop(flow.queue.insert(id, sender)));
        Ok(Some(Waiting { seats: self.clone(), placement, id, turn, over: false }))
    }
}

/// A request in a queue. Leaves it when dropped.
struct Waiting {
    seats: Seats,
    placement: Placement,
    id: u64,
    turn: oneshot::Receiver<()>,
    /// It has its seat, or was turned away.
    over: bool,
}

impl Waiting {
    async fn turn(mut self) -> Result<(), ()> {
        let outcome = tokio::time::timeout(SEAT_WAIT_MAX, &mut self.turn).await;
        match outcome {
            Ok(Ok(())) => {
                self.over = true;
                Ok(())
            }
            // Dropped: out of the queue, or its seat is given back where it came at this very moment.
            Ok(Err(_)) | Err(_) => Err(()),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let inner = &self.seats.inner;
        let mut state = inner.state.lock();
        let Placement { level, flow } = self.placement;
        // Under the lock nobody gives it a seat any more.
        let given = self.turn.try_recv().is_ok();
        state.taken -= usize::from(given);
        state.levels[level].change(flow, |flow| {
            flow.queue.remove(&self.id);
            flow.taken -= usize::from(given);
        });
        inner.dispatch(&mut state);
    }
}

/// A request's seat. All clones are the same one.
#[derive(Clone)]
pub struct Seat {
    of: Arc<OfSeat>,
}

struct OfSeat {
    seats: Seats,
    placement: Placement,
    mutating: bool,
    held: Mutex<Option<Up>>,
}

impl OfSeat {
    async fn take(&self) -> Result<(), Status> {
        let inner = &self.seats.inner;
        let refused = |()| {
            inner.metrics.turned_away(self.mutating);
            too_many_requests()
        };
        if let Some(waiting) = self.seats.enqueue(self.placement).map_err(refused)? {
            waiting.turn().await.map_err(refused)?;
        }
        *self.held.lock() = Some(inner.metrics.in_flight(self.mutating));
        Ok(())
    }

    fn give_back(&self) {
        if self.held.lock().take().is_some() {
            self.seats.inner.release(self.placement);
        }
    }
}

impl Drop for OfSeat {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Seat {
    /// Waits for something outside without holding the seat, and takes one again afterwards. What is ready at once costs
    /// nothing. Error: 429, when no seat came free in time.
    pub async fn aside<T>(&self, wait: impl Future<Output = T>) -> Result<T, Status> {
        let mut wait = pin!(wait);
        if let Poll::Ready(ready) = poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await {
            return Ok(ready);
        }
        self.give_back();
        let result = wait.await;
        self.of.take().await?;
        Ok(result)
    }

    /// For good: what is left of the request is its client's to take.
    pub fn give_back(&self) {
        self.of.give_back();
    }
}

/// The refusal of a request for which there is no room now.
pub fn too_many_requests() -> Status {
    Status::too_many_requests("Too many requests, please try again later.", RETRY_AFTER_SECONDS)
}
