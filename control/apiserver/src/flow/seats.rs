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
use arc_swap::ArcSwap;
use http::HeaderValue;
use parking_lot::Mutex;
use sampan_api::{Status, UserInfo};
use std::borrow::Cow;
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
    plan: ArcSwap<Plan>,
    state: Mutex<State>,
    metrics: Arc<Metrics>,
}

/// The levels and schemas that are in force.
struct Plan {
    classifier: Classifier,
    /// The place in [`State::levels`] of each of the classifier's levels.
    places: Vec<usize>,
}

/// Seats and waiting places of a level.
#[derive(Clone, Copy, Debug, Default)]
struct LevelRule {
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
    /// A level keeps its place as long as there is one of its name. One that has gone keeps it until its requests are done.
    levels: Vec<LevelState>,
    /// Counts waiters and turns: who waits is known by it, and who had the last turn.
    clock: u64,
}

#[derive(Default)]
struct LevelState {
    /// `None`: there is no such level any more.
    name: Option<Cow<'static, str>>,
    rule: LevelRule,
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
        let of_level = &state.levels[level];
        let rule = of_level.rule;
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
        let reserved: usize = state.levels.iter().map(|level| level.rule.guaranteed.saturating_sub(level.taken)).sum();
        state.taken + reserved < SEATS_MAX
    }

    /// Gives seats to those who wait for them, as long as there are any.
    fn dispatch(&self, state: &mut State) {
        for level in 0..state.levels.len() {
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

impl State {
    /// Gives each of the classifier's levels its place and its rule.
    fn settle(&mut self, classifier: Classifier) -> Plan {
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
            LevelRule { guaranteed, most: SEATS_MAX - (reserved - guaranteed), waiting_of_flow, waiting }
        };
        let known: HashMap<&str, usize> =
            classifier.levels().iter().enumerate().map(|(at, level)| (level.name.as_ref(), at)).collect();
        let mut places = vec![None; classifier.levels().len()];
        for (place, level) in self.levels.iter_mut().enumerate() {
            match level.name.as_deref().and_then(|name| known.get(name)) {
                Some(at) => places[*at] = Some(place),
                None => {
                    level.name = None;
                    level.rule = LevelRule { most: SEATS_MAX - reserved, ..LevelRule::default() };
                }
            }
        }
        let mut free = self.free_places().into_iter();
        let mut settled = Vec::with_capacity(places.len());
        for (level, place) in classifier.levels().iter().zip(places) {
            let place = place.or_else(|| free.next()).unwrap_or_else(|| {
                self.levels.push(LevelState::default());
                self.levels.len() - 1
            });
            let state = &mut self.levels[place];
            (state.name, state.rule) = (Some(level.name.clone()), rule(&level.kind));
            settled.push(place);
        }
        Plan { classifier, places: settled }
    }

    /// Places of levels that have gone and whose requests are done.
    fn free_places(&self) -> Vec<usize> {
        let free = self.levels.iter().enumerate().filter(|(_, level)| level.name.is_none() && level.flows.is_empty());
        free.map(|(place, _)| place).collect()
    }
}

/// Where a request belongs.
pub struct Placed {
    /// The level and flow.
    pub placement: Placement,
    /// Whether it needs no seat there.
    pub exempt: bool,
    /// The objects that say so, where objects do.
    pub by: Option<By>,
}

/// The UIDs of a FlowSchema and of its PriorityLevelConfiguration.
#[derive(Clone)]
pub struct By {
    /// Of the schema that the request matches.
    pub schema: HeaderValue,
    /// Of its level.
    pub level: HeaderValue,
}

impl Seats {
    /// As many seats as [`SEATS_MAX`] says, divided by the shares of the levels.
    pub fn new(classifier: Classifier, metrics: Arc<Metrics>) -> Self {
        let mut state = State::default();
        let plan = state.settle(classifier);
        Self { inner: Arc::new(Inner { plan: ArcSwap::from_pointee(plan), state: Mutex::new(state), metrics }) }
    }

    /// Puts other levels and schemas in force. Who holds a seat keeps it; who waits goes on by what its level is now, and
    /// where that has gone, as one of a level to which nothing is guaranteed.
    pub fn configure(&self, classifier: Classifier) {
        let mut state = self.inner.state.lock();
        let plan = state.settle(classifier);
        self.inner.plan.store(Arc::new(plan));
        self.inner.dispatch(&mut state);
    }

    /// The level and flow of a request, and whether it needs no seat there.
    pub fn place(&self, user: &UserInfo, info: &RequestInfo) -> Placed {
        let plan = self.inner.plan.load();
        let found = plan.classifier.place(user, info);
        let level = &plan.classifier.levels()[found.level];
        let placement = Placement { level: plan.places[found.level], ..found };
        let by = plan.classifier.schema(&found).zip(level.uid.clone());
        let by = by.and_then(|(schema, level)| Some(By { schema: schema.uid.clone()?, level }));
        Placed { placement, exempt: matches!(level.kind, LevelKind::Exempt), by }
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
        let Placement { level, flow, .. } = placement;
        let mut guard = self.inner.state.lock();
        let state = &mut *guard;
        let rule = state.levels[level].rule;
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
        let Placement { level, flow, .. } = self.placement;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::objects::{classifier, objects};
    use http::Method;
    use sampan_api::Object;
    use serde_json::json;

    fn info() -> RequestInfo {
        RequestInfo::read(&Method::GET, &"/api/v1/namespaces/a/pods".parse().expect("a URI")).expect("a path")
    }

    /// The suggested objects, and a level of one seat's share and no queue with a schema for one user.
    fn with_level(shares: u32) -> Vec<Object> {
        let api = crate::flow::objects::API_VERSION;
        let level = json!({"apiVersion": api, "kind": "PriorityLevelConfiguration",
            "metadata": {"name": "mine", "uid": "level-uid"}, "spec": {"type": "Limited", "limited": {
                "nominalConcurrencyShares": shares, "limitResponse": {"type": "Reject"}}}});
        let rule = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]});
        let schema = json!({"apiVersion": api, "kind": "FlowSchema",
            "metadata": {"name": "mine", "uid": "schema-uid"}, "spec": {"matchingPrecedence": 50,
                "priorityLevelConfiguration": {"name": "mine"},
                "rules": [{"subjects": [{"kind": "User", "user": {"name": "ann"}}], "resourceRules": [rule]}]}});
        let mut all = objects();
        all.extend([level, schema].into_iter().filter_map(Object::from_value));
        all
    }

    #[tokio::test]
    async fn objects_take_the_place_of_what_was_in_force() {
        let seats = Seats::new(classifier(&objects()), Arc::new(Metrics::default()));
        let (ann, info) = (UserInfo::new("ann", ["system:authenticated"]), info());
        let before = seats.place(&ann, &info);
        assert!(before.by.is_none(), "objects without a UID are none");
        let held = seats.take(before.placement, &info).await.expect("a seat");
        seats.configure(classifier(&with_level(1)));
        let placed = seats.place(&ann, &info);
        let by = placed.by.clone().expect("the objects");
        assert_eq!((by.schema.as_bytes(), by.level.as_bytes()), (&b"schema-uid"[..], &b"level-uid"[..]));
        assert_ne!(placed.placement.level, before.placement.level);
        assert_eq!(seats.counts(), (1, 0), "who holds a seat keeps it");
        let own = seats.take(placed.placement, &info).await.expect("a seat of its level");
        // The level goes while a request is in it: its place is kept until that is done, and then given to another.
        seats.configure(classifier(&objects()));
        assert_eq!(seats.place(&ann, &info).placement.level, before.placement.level);
        let places = seats.inner.state.lock().levels.len();
        seats.configure(classifier(&with_level(2)));
        assert_eq!(seats.inner.state.lock().levels.len(), places + 1, "the place is not free yet");
        drop((held, own));
        assert_eq!(seats.counts(), (0, 0));
        for _ in 0..10 {
            seats.configure(classifier(&objects()));
            seats.configure(classifier(&with_level(2)));
        }
        assert_eq!(seats.inner.state.lock().levels.len(), places + 1, "places are used again");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_on_when_levels_change() {
        let seats = Seats::new(classifier(&with_level(1)), Arc::new(Metrics::default()));
        let (ann, info) = (UserInfo::new("bob", ["system:authenticated"]), info());
        let placement = seats.place(&ann, &info).placement;
        let mut held = Vec::new();
        // One flow of a level gets half of what there is for it.
        while let Ok(None) = seats.enqueue(placement) {
            held.push(());
        }
        assert_eq!(seats.counts().1, 0, "the one that was made last has left");
        let waiting = seats.enqueue(placement).expect("a place").expect("no seat");
        seats.configure(classifier(&objects()));
        for () in held.drain(..) {
            seats.inner.release(placement);
        }
        waiting.turn().await.expect("it has its turn");
        seats.inner.release(placement);
        assert_eq!(seats.counts(), (0, 0));
    }
}
