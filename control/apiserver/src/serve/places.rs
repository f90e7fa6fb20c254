//! Connections that stay and connections that make room. Newcomers, who have not said who they are, have a part of the
//! places; the others are kept for those who have, and no identity gets more than half of them. When the newcomers'
//! part is full, the one that has been idle for longest goes.

use crate::ledger::Payer;
use crate::limits::{NEWCOMER_GRACE, NEWCOMERS_PART};
use crate::line::Line;
use parking_lot::Mutex;
use sampan_env::CancellationToken;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::Notify;

#[derive(Clone)]
pub(super) struct Places {
    inner: Arc<Inner>,
}

struct Inner {
    newcomers_max: usize,
    known_max: usize,
    state: Mutex<State>,
    /// Told when a newcomer has gone, or has become known.
    freed: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    /// In the order in which they came.
    newcomers: BTreeMap<u64, (Arc<Line>, CancellationToken)>,
    /// Connections of each identity, and of all.
    known: HashMap<Payer, usize>,
    known_total: usize,
}

/// A connection's place, until it is dropped.
pub(super) struct Place {
    places: Places,
    id: u64,
    /// Cancelled when the connection is to end: it makes room, its peer does not take an answer, or its server stops.
    pub end: CancellationToken,
    known: Mutex<Option<Payer>>,
}

impl Places {
    /// A number of places.
    pub fn new(connections: usize) -> Self {
        let newcomers_max = (connections / NEWCOMERS_PART).max(1);
        let known_max = connections.saturating_sub(newcomers_max).max(1);
        let (state, freed) = (Mutex::default(), Notify::new());
        Self { inner: Arc::new(Inner { newcomers_max, known_max, state, freed }) }
    }

    /// A place for a newcomer, once there is one. `stopped` ends it as well.
    pub async fn enter(&self, line: &Arc<Line>, stopped: &CancellationToken) -> Place {
        loop {
            let freed = self.inner.freed.notified();
            if let Some(place) = self.try_enter(line, stopped) {
                return place;
            }
            // One of them may have become idle, which nobody tells.
            tokio::select! {
                () = freed => {}
                () = tokio::time::sleep(NEWCOMER_GRACE / 4) => {}
            }
        }
    }

    fn try_enter(&self, line: &Arc<Line>, stopped: &CancellationToken) -> Option<Place> {
        let now = line.env().instant();
        let mut state = self.inner.state.lock();
        if state.newcomers.len() >= self.inner.newcomers_max {
            let idle = |line: &Line| {
                line.idle_since().is_some_and(|since| now.saturating_duration_since(since) >= NEWCOMER_GRACE)
            };
            let oldest = state.newcomers.iter().find(|(_, (line, _))| idle(line)).map(|(id, _)| *id)?;
            if let Some((_, end)) = state.newcomers.remove(&oldest) {
                tracing::debug!("an idle connection makes room");
                end.cancel();
            }
        }
        state.next += 1;
        let (id, end) = (state.next, stopped.child_token());
        state.newcomers.insert(id, (line.clone(), end.clone()));
        Some(Place { places: self.clone(), id, end, known: Mutex::new(None) })
    }
}

impl Place {
    /// The connection's identity is known: whether it may stay. It keeps its newcomer's place when not.
    pub fn settle(&self, payer: &Payer) -> bool {
        let inner = &self.places.inner;
        let mut state = inner.state.lock();
        let own = state.known.get(payer).copied().unwrap_or(0);
        let room = state.known_total < inner.known_max && own < (inner.known_max / 2).max(1);
        if *payer != Payer::Privileged && !room {
            return false;
        }
        if state.newcomers.remove(&self.id).is_none() {
            // It has just been told to go.
            return false;
        }
        state.known_total += 1;
        *state.known.entry(payer.clone()).or_default() += 1;
        *self.known.lock() = Some(payer.clone());
        drop(state);
        inner.freed.notify_one();
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let inner = &self.places.inner;
        {
            let mut state = inner.state.lock();
            state.newcomers.remove(&self.id);
            if let Some(payer) = self.known.lock().take() {
                state.known_total -= 1;
                if let Some(count) = state.known.get_mut(&payer) {
                    *count -= 1;
                    if *count == 0 {
                        state.known.remove(&payer);
                    }
                }
            }
        }
        inner.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Cut;
    use sampan_api::UserInfo;
    use sampan_env::Env;
    use std::time::Duration;

    fn user(name: &str) -> Payer {
        Payer::of(&UserInfo::new(name, Vec::<String>::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_make_room_and_nobody_takes_all() {
        let env = Env::simulated(1, std::time::SystemTime::UNIX_EPOCH);
        let places = Places::new(16);
        let enter = async || {
            let line = Line::new(&env);
            (places.enter(&line, &CancellationToken::new()).await, line)
        };
        let mut strangers = Vec::new();
        for _ in 0..4 {
            strangers.push(enter().await);
        }
        let busy = strangers[0].1.begin(Cut::Connection(CancellationToken::new()));
        // Full of those who came just now: the next one waits until one of them has been idle for a while.
        let began = env.instant();
        let next = enter().await;
        assert!(env.instant() - began >= NEWCOMER_GRACE);
        let gone: Vec<bool> = strangers.iter().map(|(place, _)| place.end.is_cancelled()).collect();
        assert_eq!(gone, [false, true, false, false], "the oldest that is idle, and no other");
        drop(busy);
        assert!(next.0.settle(&user("a")));

        let mut known = vec![next.0];
        loop {
            tokio::time::advance(Duration::from_secs(2)).await;
            let (place, _) = enter().await;
            if !place.settle(&user("a")) {
                break;
            }
            known.push(place);
        }
        assert_eq!(known.len(), 6, "half of what is kept for the known");
        let mut others = 0;
        while others < 20 {
            tokio::time::advance(Duration::from_secs(2)).await;
            let (place, _) = enter().await;
            if !place.settle(&user(&format!("b{others}"))) {
                break;
            }
            known.push(place);
            others += 1;
        }
        assert_eq!(others, 6);
        let admin = Payer::of(&UserInfo::new("admin", ["system:masters"]));
        assert!(enter().await.0.settle(&admin), "who looks after the server always gets in");
        known.clear();
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(enter().await.0.settle(&user("a")));
    }
}
