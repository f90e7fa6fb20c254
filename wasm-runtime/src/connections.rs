//! The connections of all services of a process: each is a descriptor of the whole process and memory of its container.
//!
//! Room for new connections: where there is none, a connection that has not sent a whole request for a while makes
//! room, so that half-sent and idle ones never keep others out. Where all are at work the new one waits in the kernel's
//! queue.

use crate::limits::{
    CONNECTION_GRACE, CONNECTIONS_GUARANTEED, CONNECTIONS_MIN, CONNECTIONS_RESERVED_PART, SOCKETS_SHARE,
};
use parking_lot::Mutex;
use sampan_env::{CancellationToken, Env};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::Instant;

/// All of a process. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    env: Env,
    max: usize,
    state: Mutex<State>,
    /// Told when one has ended or waits for a request again.
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    open: HashMap<u64, Open>,
    services: HashMap<u64, OfService>,
}

#[derive(Debug)]
struct Open {
    service: u64,
    peer: IpAddr,
    /// Whole requests that have no whole answer yet.
    working: usize,
    /// Its place in [`OfService::reading`], while `working` is 0.
    since: u64,
    /// Time at which it began to wait for a request.
    waits_from: Instant,
    cut: CancellationToken,
}

#[derive(Debug, Default)]
struct OfService {
    open: usize,
    peers: HashMap<IpAddr, usize>,
    /// Connections that have sent no whole request, the longest first.
    reading: BTreeMap<u64, u64>,
}

/// The share of one service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServiceShare {
    /// Names the service in this process.
    pub(crate) service: u64,
    pub(crate) max: usize,
}

/// One accepted connection; its place is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    all: Connections,
    id: u64,
    /// Cancelled where the connection must end: it made room for another one, or its client takes nothing.
    pub(crate) cut: CancellationToken,
}

/// While one exists its connection is at work and makes room for nobody.
#[derive(Debug)]
pub(crate) struct AtWork(Arc<Place>);

impl Connections {
    /// `max` of them at once, in all.
    pub(crate) fn new(max: usize, env: &Env) -> Self {
        let inner =
            Inner { env: env.clone(), max: max.max(CONNECTIONS_MIN), state: Mutex::default(), freed: Notify::new() };
        Self(Arc::new(inner))
    }

    /// Number of connections that one service may have at once where its own limit is `max`.
    pub(crate) fn share(&self, max: usize) -> usize {
        max.min(self.0.max / SOCKETS_SHARE).max(1)
    }

    /// Waits until there is room for one more connection of the service.
    pub(crate) async fn admit(&self, share: ServiceShare, peer: IpAddr) -> Arc<Place> {
        loop {
            let mut freed = std::pin::pin!(self.0.freed.notified());
            // Before the look, so that nothing is missed between the two.
            freed.as_mut().enable();
            if let Some(place) = self.try_admit(share, peer) {
                return place;
            }
            // Connections that are too young to make room grow older meanwhile.
            tokio::select! {
                () = freed => {}
                () = self.0.env.sleep(CONNECTION_GRACE) => {}
            }
        }
    }

    fn try_admit(&self, share: ServiceShare, peer: IpAddr) -> Option<Arc<Place>> {
        let now = self.0.env.instant();
        let mut state = self.0.state.lock();
        let own = state.services.get(&share.service).map_or(0, |it| it.open);
        let reserved = if own < CONNECTIONS_GUARANTEED { 0 } else { self.0.max / CONNECTIONS_RESERVED_PART };
        if own >= share.max {
            let id = state.oldest_reading(share, peer, now)?;
            state.make_room(id);
        } else if state.open.len() + reserved >= self.0.max {
            let largest = state.services.iter().filter(|(_, it)| !it.reading.is_empty());
            let (largest, _) = largest.max_by_key(|(_, it)| it.open)?;
            let largest = ServiceShare { service: *largest, max: 0 };
            let id = state.oldest_reading(largest, peer, now)?;
            state.make_room(id);
        }
        Some(Arc::new(self.place(&mut state, share.service, peer, now)))
    }

    fn place(&self, state: &mut State, service: u64, peer: IpAddr, now: Instant) -> Place {
        let id = state.tick();
        let cut = CancellationToken::new();
        state.open.insert(id, Open { service, peer, working: 0, since: id, waits_from: now, cut: cut.clone() });
        let of_service = state.services.entry(service).or_default();
        of_service.open += 1;
        *of_service.peers.entry(peer).or_default() += 1;
        of_service.reading.insert(id, id);
        Place { all: self.clone(), id, cut }
    }

    #[cfg(test)]
    fn open(&self) -> usize {
        self.0.state.lock().open.len()
    }
}

impl State {
    fn tick(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Of the peer itself where it has half of the service's places, else of all; None where it is young.
    fn oldest_reading(&self, share: ServiceShare, peer: IpAddr, now: Instant) -> Option<u64> {
        let service = self.services.get(&share.service)?;
        let hogs = service.peers.get(&peer).is_some_and(|held| *held * 2 >= share.max.max(1));
        let own = || service.reading.values().copied().find(|id| self.open.get(id).is_some_and(|it| it.peer == peer));
        let oldest = || service.reading.values().next().copied();
        let found = if hogs { own().or_else(oldest) } else { oldest() };
        let old = |id: &u64| {
            self.open.get(id).is_some_and(|it| now.saturating_duration_since(it.waits_from) >= CONNECTION_GRACE)
        };
        found.filter(old)
    }

    fn make_room(&mut self, id: u64) {
        if let Some(gone) = self.remove(id) {
            gone.cut.cancel();
        }
    }

    fn remove(&mut self, id: u64) -> Option<Open> {
        let gone = self.open.remove(&id)?;
        if let Some(service) = self.services.get_mut(&gone.service) {
            service.open -= 1;
            service.reading.remove(&gone.since);
            if let Some(held) = service.peers.get_mut(&gone.peer) {
                *held -= 1;
                if *held == 0 {
                    service.peers.remove(&gone.peer);
                }
            }
            if service.open == 0 {
                self.services.remove(&gone.service);
            }
        }
        Some(gone)
    }
}

impl Place {
    /// A whole request has come.
    pub(crate) fn at_work(self: &Arc<Self>) -> AtWork {
        let mut state = self.all.0.state.lock();
        let state = &mut *state;
        if let Some(open) = state.open.get_mut(&self.id) {
            open.working += 1;
            if let Some(service) = state.services.get_mut(&open.service) {
                service.reading.remove(&open.since);
            }
        }
        AtWork(self.clone())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let place = &self.0;
        let waits_from = place.all.0.env.instant();
        let mut state = place.all.0.state.lock();
        let now = state.tick();
        let state = &mut *state;
        if let Some(open) = state.open.get_mut(&place.id) {
            open.working -= 1;
            if open.working == 0 {
                open.since = now;
                open.waits_from = waits_from;
                if let Some(service) = state.services.get_mut(&open.service) {
                    service.reading.insert(now, place.id);
                }
            }
        }
        place.all.0.freed.notify_waiters();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.0.state.lock().remove(self.id);
        self.all.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn peer(n: u8) -> IpAddr {
        IpAddr::from([127, 64, 0, n])
    }

    fn share(service: u64) -> ServiceShare {
        ServiceShare { service, max: 10 }
    }

    async fn admitted(all: &Connections, service: u64, from: u8) -> Arc<Place> {
        tokio::time::advance(CONNECTION_GRACE).await;
        all.admit(share(service), peer(from)).now_or_never().expect("room")
    }

    #[tokio::test(start_paused = true)]
    async fn half_sent_requests_make_room_and_those_at_work_do_not() {
        let all = Connections::new(1000, &Env::system());
        let mut silent = Vec::new();
        for _ in 0..5000 {
            silent.push(admitted(&all, 1, 9).await);
        }
        assert_eq!(all.open(), 10);
        let real = admitted(&all, 1, 1).await;
        let work = real.at_work();
        for _ in 0..5000 {
            silent.push(admitted(&all, 1, 9).await);
        }
        assert!(!real.cut.is_cancelled() && all.open() == 10);
        assert_eq!(silent.iter().filter(|place| !place.cut.is_cancelled()).count(), 9);
        drop(work);
        drop(real);
        silent.clear();
        assert_eq!(all.open(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_holds_half_makes_room_out_of_its_own() {
        let all = Connections::new(1000, &Env::system());
        let other = admitted(&all, 1, 1).await;
        let mut hog = Vec::new();
        for _ in 0..50 {
            hog.push(admitted(&all, 1, 9).await);
        }
        assert!(!other.cut.is_cancelled());
        assert_eq!(hog.iter().filter(|place| !place.cut.is_cancelled()).count(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn services_at_work_leave_room_for_those_with_few() {
        let all = Connections::new(80, &Env::system());
        let mut work = Vec::new();
        for service in 0..8 {
            for _ in 0..10 {
                let Some(place) = all.admit(share(service), peer(1)).now_or_never() else { break };
                work.push(place.at_work());
            }
        }
        let one = all.admit(share(100), peer(2)).now_or_never();
        assert!(one.is_some_and(|place| !place.cut.is_cancelled()), "{} are at work", work.len());
        assert!(all.admit(share(0), peer(2)).now_or_never().is_none(), "one with many waits");
        let mut waits = Box::pin(all.admit(share(0), peer(2)));
        assert!(waits.as_mut().now_or_never().is_none());
        work.clear();
        assert!(waits.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_ends_nobody_who_is_about_to_ask() {
        let all = Connections::new(1000, &Env::system());
        let burst: Vec<_> = (0..10).filter_map(|_| all.admit(share(1), peer(1)).now_or_never()).collect();
        assert_eq!(burst.len(), 10);
        let mut late = Box::pin(all.admit(share(1), peer(2)));
        assert!(late.as_mut().now_or_never().is_none());
        tokio::time::advance(CONNECTION_GRACE).await;
        late.await;
        assert_eq!(burst.iter().filter(|place| place.cut.is_cancelled()).count(), 1);
    }
}
