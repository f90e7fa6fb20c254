//! The instances of services that a node runs at once, shared out by container and namespace.
//!
//! Each container may have a few whatever the others do; beyond those it competes, bounded by its own and its
//! namespace's share. Who finds no seat waits, and the next free one goes to the waiting container that has the fewest.

use crate::limits::{SEATS_GUARANTEED, SEATS_NAMESPACE_PART, SEATS_RESERVED_PART, SERVICE_POOL_SHARE};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;

/// All seats of a node. A seat is one memory of the pool and what goes with it.
#[derive(Debug)]
pub(crate) struct Seats {
    total: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: u32,
    namespaces: HashMap<Arc<str>, u32>,
    containers: HashMap<u64, OfContainer>,
}

#[derive(Debug)]
struct OfContainer {
    namespace: Arc<str>,
    taken: u32,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    seats: u32,
    told: oneshot::Sender<Seat>,
}

/// A container that asks for seats.
#[derive(Clone, Debug)]
pub(crate) struct Sitter {
    pub(crate) namespace: Arc<str>,
    /// Names the container in this process.
    pub(crate) container: u64,
    /// Seats that one of its instances takes.
    pub(crate) seats: u32,
}

/// The right to one instance.
#[derive(Debug)]
pub(crate) struct Seat {
    all: Arc<Seats>,
    sitter: Sitter,
}

impl Seats {
    pub(crate) fn new(total: u32) -> Self {
        Self { total, state: Mutex::default() }
    }

    /// Waits for a seat, first come, first served within a container.
    pub(crate) async fn sit(self: &Arc<Self>, sitter: &Sitter) -> Seat {
        let told = {
            let mut state = self.state.lock();
            let own = state.of(sitter);
            let nobody_waits = own.waiting.is_empty();
            if nobody_waits && state.may(self.total, sitter) {
                state.take(sitter);
                return Seat { all: self.clone(), sitter: sitter.clone() };
            }
            let (told, hears) = oneshot::channel();
            state.of(sitter).waiting.push_back(Waiting { seats: sitter.seats, told });
            hears
        };
        match told.await {
            Ok(seat) => seat,
            // The sender is only dropped with the seats themselves, which `self` keeps.
            Err(_) => std::future::pending().await,
        }
    }

    fn leave(self: &Arc<Self>, sitter: &Sitter) {
        let mut given = Vec::new();
        let mut state = self.state.lock();
        state.give_back(sitter);
        while let Some(next) = state.next(self.total) {
            let Some(waiting) = state.containers.get_mut(&next.container).and_then(|it| it.waiting.pop_front()) else {
                break;
            };
            if waiting.told.is_closed() {
                state.forget(next.container);
                continue;
            }
            state.take(&next);
            given.push((waiting.told, Seat { all: self.clone(), sitter: next }));
        }
        drop(state);
        // Outside of the lock: one whose waiter has just gone comes back here.
        for (told, seat) in given {
            drop(told.send(seat));
        }
    }

    #[cfg(test)]
    fn taken(&self) -> u32 {
        self.state.lock().taken
    }
}

impl State {
    fn of(&mut self, sitter: &Sitter) -> &mut OfContainer {
        self.containers.entry(sitter.container).or_insert_with(|| OfContainer {
            namespace: sitter.namespace.clone(),
            taken: 0,
            waiting: VecDeque::new(),
        })
    }

    fn may(&self, total: u32, sitter: &Sitter) -> bool {
        let own = self.containers.get(&sitter.container).map_or(0, |it| it.taken);
        let after = self.taken.saturating_add(sitter.seats);
        if after > total {
            return false;
        }
        if own == 0 || own + sitter.seats <= SEATS_GUARANTEED {
            return true;
        }
        let namespace = self.namespaces.get(&sitter.namespace).copied().unwrap_or(0);
        own + sitter.seats <= total / SERVICE_POOL_SHARE
            && namespace + sitter.seats <= total / SEATS_NAMESPACE_PART
            && after <= total - total / SEATS_RESERVED_PART
    }

    fn take(&mut self, sitter: &Sitter) {
        self.taken += sitter.seats;
        self.of(sitter).taken += sitter.seats;
        *self.namespaces.entry(sitter.namespace.clone()).or_default() += sitter.seats;
    }

    fn give_back(&mut self, sitter: &Sitter) {
        self.taken -= sitter.seats;
        if let Some(namespace) = self.namespaces.get_mut(&sitter.namespace) {
            *namespace -= sitter.seats;
            if *namespace == 0 {
                self.namespaces.remove(&sitter.namespace);
            }
        }
        if let Some(container) = self.containers.get_mut(&sitter.container) {
            container.taken -= sitter.seats;
            container.waiting.retain(|it| !it.told.is_closed());
        }
        self.forget(sitter.container);
    }

    fn forget(&mut self, container: u64) {
        if self.containers.get(&container).is_some_and(|it| it.taken == 0 && it.waiting.is_empty()) {
            self.containers.remove(&container);
        }
    }

    /// The next to sit: of the containers that wait and may, the one with the fewest seats.
    fn next(&self, total: u32) -> Option<Sitter> {
        let waiting = self.containers.iter().filter_map(|(container, it)| {
            let seats = it.waiting.front()?.seats;
            Some((it.taken, Sitter { namespace: it.namespace.clone(), container: *container, seats }))
        });
        let may = waiting.filter(|(_, sitter)| self.may(total, sitter));
        may.min_by_key(|(taken, sitter)| (*taken, sitter.container)).map(|(_, sitter)| sitter)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.all.leave(&self.sitter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn sitter(namespace: &str, container: u64) -> Sitter {
        Sitter { namespace: namespace.into(), container, seats: 1 }
    }

    fn all_of(seats: &Arc<Seats>, who: &Sitter) -> Vec<Seat> {
        std::iter::from_fn(|| seats.sit(who).now_or_never()).take(10_000).collect()
    }

    #[test]
    fn whatever_others_hold_each_container_has_its_few() {
        for namespace_of in [|_: u64| "one".to_owned(), |n: u64| format!("ns-{n}")] {
            let seats = Arc::new(Seats::new(1000));
            let mut held = Vec::new();
            for container in 0..8 {
                held.push(all_of(&seats, &sitter(&namespace_of(container), container)));
            }
            for (container, own) in held.iter().enumerate() {
                assert!(own.len() <= 250, "{container} has {}", own.len());
            }
            for latecomer in 100..120 {
                let own = all_of(&seats, &sitter("one", latecomer));
                assert_eq!(own.len(), SEATS_GUARANTEED as usize, "{latecomer}");
                held.push(own);
            }
            held.clear();
            assert_eq!(seats.taken(), 0);
            assert!(seats.state.lock().containers.is_empty() && seats.state.lock().namespaces.is_empty());
        }
    }

    #[test]
    fn a_free_seat_goes_to_the_waiter_that_has_the_fewest() {
        let seats = Arc::new(Seats::new(100));
        let mut many = all_of(&seats, &sitter("a", 1));
        let mut other = all_of(&seats, &sitter("b", 2));
        let third = all_of(&seats, &sitter("c", 3));
        let first = sitter("a", 1);
        let mut hog = Box::pin(seats.sit(&first));
        assert!(hog.as_mut().now_or_never().is_none());
        let second = sitter("b", 2);
        let mut waits = Box::pin(seats.sit(&second));
        assert!(waits.as_mut().now_or_never().is_none());
        other.truncate(2);
        assert!(waits.as_mut().now_or_never().is_some());
        drop(third);
        many.pop();
        assert!(hog.as_mut().now_or_never().is_some());
    }

    #[test]
    fn who_gives_up_waiting_leaves_nothing_behind() {
        let seats = Arc::new(Seats::new(100));
        let who = sitter("a", 1);
        let held = all_of(&seats, &who);
        let mut waits = Box::pin(seats.sit(&who));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(waits);
        drop(held);
        assert_eq!(seats.taken(), 0);
        assert!(seats.state.lock().containers.is_empty());
    }
}
