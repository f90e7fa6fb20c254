//! The gate of a service: as many requests at once as its memory limit surely holds; the rest queue. Requests whose
//! body is still on its way take at most a part of the turns: those that have come whole do not wait for clients.

use crate::limits::{REQUEST_BYTES_DECAY, UNFINISHED_PART};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The gate of one service. Invariant: at most `allowed()` permits exist, but for those given out before it shrank.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
    in_flight_max: usize,
    queued_max: usize,
    memory_limit: u64,
    /// Bytes that an instance starts with.
    initial_bytes: u64,
}

#[derive(Debug)]
struct State {
    in_flight: usize,
    /// The most that one request has needed lately; at first what an instance starts with.
    request_bytes: u64,
    /// Of those in flight, the ones that were let in unfinished.
    unfinished: usize,
    whole: VecDeque<oneshot::Sender<()>>,
    late: VecDeque<oneshot::Sender<()>>,
}

/// The part of a request that has arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    /// All of it.
    Whole,
    /// A part of its body is still on its way.
    Unfinished,
}

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The right to work on one request.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Gate>, Arrival);

impl Gate {
    pub(crate) fn new(in_flight_max: usize, queued_max: usize, memory_limit: u64, initial_bytes: u64) -> Self {
        let initial_bytes = initial_bytes.max(1);
        let state = State {
            in_flight: 0,
            request_bytes: initial_bytes,
            unfinished: 0,
            whole: VecDeque::new(),
            late: VecDeque::new(),
        };
        Self { state: Mutex::new(state), in_flight_max: in_flight_max.max(1), queued_max, memory_limit, initial_bytes }
    }

    fn allowed(&self, state: &State) -> usize {
        let by_memory = usize::try_from(self.memory_limit / state.request_bytes).unwrap_or(usize::MAX);
        by_memory.clamp(1, self.in_flight_max)
    }

    fn may(&self, state: &State, arrival: Arrival) -> bool {
        let allowed = self.allowed(state);
        state.in_flight < allowed
            && (arrival == Arrival::Whole || state.unfinished < (allowed / UNFINISHED_PART).max(1))
    }

    /// Waits for a turn, first come, first served among those that have come as far.
    pub(crate) async fn enter(self: &Arc<Self>, arrival: Arrival) -> Result<Permit, Full> {
        let receiver = {
            let mut state = self.state.lock();
            if state.queue(arrival).is_empty() && self.may(&state, arrival) {
                state.let_in(arrival);
                return Ok(Permit(self.clone(), arrival));
            }
            if state.whole.len() + state.late.len() >= self.queued_max {
                return Err(Full);
            }
            let (sender, receiver) = oneshot::channel();
            state.queue(arrival).push_back(sender);
            receiver
        };
        let mut turn = Turn { gate: self, receiver, arrival, taken: false };
        match (&mut turn.receiver).await {
            Ok(()) => {
                turn.taken = true;
                Ok(Permit(self.clone(), arrival))
            }
            // The sender is dropped with the gate only.
            Err(_) => Err(Full),
        }
    }

    /// A request needed `bytes`: so may the next ones. One large request is forgotten after many small ones.
    pub(crate) fn observed(&self, bytes: u64) {
        let mut state = self.state.lock();
        let bytes = bytes.max(self.initial_bytes);
        let less = state.request_bytes.saturating_sub(bytes).div_ceil(REQUEST_BYTES_DECAY);
        state.request_bytes = bytes.max(state.request_bytes - less);
    }

    fn leave(&self, arrival: Arrival) {
        let mut state = self.state.lock();
        state.in_flight -= 1;
        state.unfinished -= usize::from(arrival == Arrival::Unfinished);
        for arrival in [Arrival::Whole, Arrival::Unfinished] {
            while self.may(&state, arrival) {
                let Some(next) = state.queue(arrival).pop_front() else { break };
                // One that gave up meanwhile has dropped its end.
                if next.send(()).is_ok() {
                    state.let_in(arrival);
                }
            }
        }
    }
}

impl State {
    fn queue(&mut self, arrival: Arrival) -> &mut VecDeque<oneshot::Sender<()>> {
        match arrival {
            Arrival::Whole => &mut self.whole,
            Arrival::Unfinished => &mut self.late,
        }
    }

    fn let_in(&mut self, arrival: Arrival) {
        self.in_flight += 1;
        self.unfinished += usize::from(arrival == Arrival::Unfinished);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

/// A place in the queue; gives the turn back if the waiter was dropped between the send and its poll.
struct Turn<'a> {
    gate: &'a Gate,
    receiver: oneshot::Receiver<()>,
    arrival: Arrival,
    taken: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.taken {
            self.receiver.close();
            if self.receiver.try_recv().is_ok() {
                self.gate.leave(self.arrival);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn memory_bounds_what_is_in_flight_and_the_rest_queues() {
        let gate = Arc::new(Gate::new(100, 2, 10_000, 5_000));
        let first = gate.enter(Arrival::Whole).await.expect("the first");
        let _second = gate.enter(Arrival::Whole).await.expect("the second");
        let mut third = Box::pin(gate.enter(Arrival::Whole));
        let mut fourth = Box::pin(gate.enter(Arrival::Whole));
        assert!(third.as_mut().now_or_never().is_none() && fourth.as_mut().now_or_never().is_none());
        assert_eq!(gate.enter(Arrival::Whole).await.err(), Some(Full));
        drop(first);
        let third = third.now_or_never().expect("a turn").expect("a permit");
        assert!(fourth.as_mut().now_or_never().is_none());
        gate.observed(9_000);
        drop(third);
        assert!(fourth.as_mut().now_or_never().is_none(), "one request may need nearly all");
    }

    #[test]
    fn one_large_request_is_forgotten_but_not_at_once() {
        let gate = Gate::new(100, 0, 100_000, 1_000);
        let allowed = || gate.allowed(&gate.state.lock());
        assert_eq!(allowed(), 100);
        gate.observed(50_000);
        assert_eq!(allowed(), 2);
        gate.observed(2_000);
        assert_eq!(allowed(), 2);
        for _ in 0..1000 {
            gate.observed(2_000);
        }
        assert_eq!(allowed(), 50);
        // One that failed before it had all of its memory says nothing of the others.
        for _ in 0..1000 {
            gate.observed(0);
        }
        assert_eq!(allowed(), 100);
    }

    #[tokio::test]
    async fn a_waiter_that_gives_up_loses_no_turn() {
        let gate = Arc::new(Gate::new(1, 10, u64::MAX, 1));
        let first = gate.enter(Arrival::Whole).await.expect("the first");
        let mut second = Box::pin(gate.enter(Arrival::Whole));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        drop(second);
        assert!(gate.enter(Arrival::Whole).now_or_never().is_some_and(|permit| permit.is_ok()));
    }

    #[tokio::test]
    async fn requests_that_never_finish_leave_turns_to_those_that_have() {
        let gate = Arc::new(Gate::new(8, 1000, u64::MAX, 1));
        let mut late: Vec<_> = (0..100).map(|_| Box::pin(gate.enter(Arrival::Unfinished))).collect();
        let inside: Vec<_> = late.iter_mut().filter_map(|it| it.as_mut().now_or_never()).collect();
        assert_eq!(inside.len(), 8 / UNFINISHED_PART);
        for _ in 0..100 {
            assert!(gate.enter(Arrival::Whole).now_or_never().is_some_and(|permit| permit.is_ok()));
        }
        drop(inside);
        let inside: Vec<_> = late[4..].iter_mut().filter_map(|it| it.as_mut().now_or_never()).collect();
        assert_eq!(inside.len(), 8 / UNFINISHED_PART);
    }
}
