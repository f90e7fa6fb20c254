//! Pods that want a node: active, backing off, or waiting for an event that may help (kube-scheduler's three queues).

use crate::active::{Active, Key};
use crate::limits;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// An event of the cluster, as policies name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClusterEvent {
    NodeAdd,
    NodeUpdateLabel,
    NodeUpdateTaint,
    NodeUpdateAllocatable,
    NodeUpdateAnnotation,
    NodeUpdateOther,
    /// A pod that had a node is gone, or finished.
    PodDelete,
    /// Other policies are live than before.
    PoliciesChanged,
}

impl ClusterEvent {
    /// Whether a policy that declares these events may be helped by it.
    pub fn helps(self, declared: &[String]) -> bool {
        let names: &[&str] = match self {
            Self::NodeAdd => &["Node/Add", "Node/Update"],
            Self::NodeUpdateLabel => &["Node/UpdateNodeLabel", "Node/Update"],
            Self::NodeUpdateTaint => &["Node/UpdateNodeTaint", "Node/Update"],
            Self::NodeUpdateAllocatable => &["Node/UpdateNodeAllocatable", "Node/Update"],
            Self::NodeUpdateAnnotation => &["Node/UpdateNodeAnnotation", "Node/Update"],
            Self::NodeUpdateOther => &["Node/Update"],
            Self::PodDelete => &["Pod/Delete"],
            Self::PoliciesChanged => return true,
        };
        declared.iter().any(|declared| names.contains(&declared.as_str()))
    }
}

type Uid = Arc<str>;

/// The cause for which a waiting pod waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// An event that may help one of the policies that refused it; none: any event.
    Events(Vec<u32>),
    /// Other policies, or a change of the pod itself.
    Policies,
}

#[derive(Clone, Debug)]
enum Stage {
    Active {
        key: Key,
    },
    Backoff {
        until: Instant,
    },
    Waiting {
        since: Instant,
        waits_for: WaitsFor,
    },
    /// Handed out: its cycle has not ended.
    Deciding,
}

#[derive(Clone, Debug)]
struct Entry {
    stage: Stage,
    namespace: Arc<str>,
    /// Higher goes first.
    priority: i32,
    /// Among equals, pods go in the order in which they were queued last (kube-scheduler's PrioritySort over
    /// `QueuedPodInfo.Timestamp`, which is set anew when a pod comes back from an attempt).
    queued: u64,
    attempts: u32,
    last_attempt: Option<Instant>,
    /// Attempts in a row that ended since the pod cost too much.
    costly: u32,
}

/// The queue. Time is handed in.
#[derive(Debug, Default)]
pub struct Queue {
    entries: HashMap<Uid, Entry>,
    active: Active,
    backoff: BTreeSet<(Instant, Uid)>,
    waiting: BTreeSet<(Instant, Uid)>,
    /// Counts what was ever queued.
    queued: u64,
}

fn doubled(first: Duration, times: u32, max: Duration) -> Duration {
    first.saturating_mul(2u32.saturating_pow(times.min(16))).min(max)
}

fn backoff(attempts: u32) -> Duration {
    doubled(limits::BACKOFF_INITIAL, attempts.saturating_sub(1), limits::BACKOFF_MAX)
}

impl Queue {
    /// A new pod, at the end of the line of its priority.
    pub fn add(&mut self, uid: &Uid, namespace: &str, priority: i32) {
        self.remove(uid);
        self.queued += 1;
        let key = (-i64::from(priority), self.queued);
        let entry = Entry {
            stage: Stage::Active { key },
            namespace: namespace.into(),
            priority,
            queued: self.queued,
            attempts: 0,
            last_attempt: None,
            costly: 0,
        };
        self.active.insert(&entry.namespace, key, uid);
        self.entries.insert(Arc::clone(uid), entry);
    }

    /// The pod needs no node any more.
    pub fn remove(&mut self, uid: &Uid) {
        self.take(uid);
    }

    /// Removes the pod; returns how often it was tried.
    pub fn take(&mut self, uid: &Uid) -> u32 {
        let Some(entry) = self.entries.get(uid).cloned() else { return 0 };
        self.leave(uid, &entry);
        self.entries.remove(uid);
        entry.attempts
    }

    /// A pod that was taken, and is to be tried again: after the back-off of its attempts.
    pub fn put_back(&mut self, uid: &Uid, namespace: &str, priority: i32, attempts: u32, now: Instant) {
        self.add(uid, namespace, priority);
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.attempts = attempts;
            entry.last_attempt = Some(now);
        }
        self.failed(uid, now);
    }

    fn leave(&mut self, uid: &Uid, entry: &Entry) {
        match &entry.stage {
            Stage::Active { key } => self.active.remove(&entry.namespace, *key, uid),
            Stage::Backoff { until } => {
                self.backoff.remove(&(*until, Arc::clone(uid)));
            }
            Stage::Waiting { since, .. } => {
                self.waiting.remove(&(*since, Arc::clone(uid)));
            }
            Stage::Deciding => {}
        }
    }

    fn put(&mut self, uid: &Uid, stage: Stage) {
        let Some(old) = self.entries.get(uid).cloned() else { return };
        self.leave(uid, &old);
        match &stage {
            Stage::Active { key } => self.active.insert(&old.namespace, *key, uid),
            Stage::Backoff { until } => {
                self.backoff.insert((*until, Arc::clone(uid)));
            }
            Stage::Waiting { since, .. } => {
                self.waiting.insert((*since, Arc::clone(uid)));
            }
            Stage::Deciding => {}
        }
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.stage = stage;
        }
    }

    /// The next pod to decide on. It counts as an attempt; the pod is out until its end is told.
    pub fn pop(&mut self, now: Instant) -> Option<Uid> {
        self.release(now);
        let uid = self.active.first().cloned()?;
        self.put(&uid, Stage::Deciding);
        if let Some(entry) = self.entries.get_mut(&uid) {
            entry.attempts += 1;
            entry.last_attempt = Some(now);
        }
        Some(uid)
    }

    /// It comes back from an attempt: behind those that came into line meanwhile.
    fn queue_again(&mut self, uid: &Uid, costly: bool) {
        self.queued += 1;
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.queued = self.queued;
            entry.costly = if costly { entry.costly.saturating_add(1) } else { 0 };
        }
    }

    /// Its cycle failed by an error: it is tried again after its back-off.
    pub fn failed(&mut self, uid: &Uid, now: Instant) {
        self.queue_again(uid, false);
        let Some(until) = self.backoff_end(uid, now) else { return };
        self.put(uid, Stage::Backoff { until });
    }

    /// Its cycle was cut off since it cost more than a cycle may: it is tried again seldom, and the other pods of its
    /// namespace pause a while, so that no other namespace waits for them.
    pub fn cost_too_much(&mut self, uid: &Uid, now: Instant) {
        self.queue_again(uid, true);
        let Some(until) = self.backoff_end(uid, now) else { return };
        self.put(uid, Stage::Backoff { until });
        if let Some(entry) = self.entries.get(uid) {
            self.active.pause(&Arc::clone(&entry.namespace), now + limits::COSTLY_PAUSE);
        }
    }

    /// It was not placed: it waits.
    pub fn wait(&mut self, uid: &Uid, waits_for: WaitsFor, now: Instant) {
        self.queue_again(uid, false);
        self.put(uid, Stage::Waiting { since: now, waits_for });
    }

    fn backoff_end(&self, uid: &Uid, now: Instant) -> Option<Instant> {
        let entry = self.entries.get(uid)?;
        let costly = match entry.costly.checked_sub(1) {
            None => Duration::ZERO,
            Some(before) => doubled(limits::BACKOFF_MAX, before, limits::UNSCHEDULABLE_MAX),
        };
        Some(entry.last_attempt.unwrap_or(now) + backoff(entry.attempts).max(costly))
    }

    /// Back into line, at once or when its back-off ends.
    fn requeue(&mut self, uid: &Uid, now: Instant) {
        match self.backoff_end(uid, now) {
            Some(until) if until > now => self.put(uid, Stage::Backoff { until }),
            Some(_) => self.activate(uid),
            None => {}
        }
    }

    fn activate(&mut self, uid: &Uid) {
        let Some(entry) = self.entries.get(uid) else { return };
        let key = (-i64::from(entry.priority), entry.queued);
        self.put(uid, Stage::Active { key });
    }

    /// The pod itself changed in a way that may help.
    pub fn changed(&mut self, uid: &Uid, now: Instant) {
        if matches!(self.entries.get(uid), Some(Entry { stage: Stage::Waiting { .. }, .. })) {
            self.requeue(uid, now);
        }
    }

    /// Something happened: pods that it may help go back into line. `declared`: the events of a policy.
    pub fn happened<'a>(&mut self, event: ClusterEvent, now: Instant, declared: impl Fn(u32) -> &'a [String]) {
        let helped = |waits_for: &WaitsFor| match waits_for {
            WaitsFor::Policies => event == ClusterEvent::PoliciesChanged,
            WaitsFor::Events(refused_by) => {
                refused_by.is_empty() || refused_by.iter().any(|policy| event.helps(declared(*policy)))
            }
        };
        let moved: Vec<Uid> = self
            .waiting
            .iter()
            .filter(|(_, uid)| match self.entries.get(uid).map(|entry| &entry.stage) {
                Some(Stage::Waiting { waits_for, .. }) => helped(waits_for),
                _ => false,
            })
            .map(|(_, uid)| Arc::clone(uid))
            .collect();
        for uid in moved {
            self.requeue(&uid, now);
        }
    }

    /// Moves what is due: back-offs that ended, and pods that waited too long.
    fn release(&mut self, now: Instant) {
        self.active.resume(now);
        while let Some((until, uid)) = self.backoff.first().cloned() {
            if until > now {
                break;
            }
            self.activate(&uid);
        }
        while let Some((since, uid)) = self.waiting.first().cloned() {
            if now.duration_since(since) < limits::UNSCHEDULABLE_MAX {
                break;
            }
            self.activate(&uid);
        }
    }

    /// Time at which the next pod becomes due; `None`: nothing waits for a time.
    pub fn next_due(&self) -> Option<Instant> {
        let backoff = self.backoff.first().map(|(until, _)| *until);
        let waiting = self.waiting.first().map(|(since, _)| *since + limits::UNSCHEDULABLE_MAX);
        [backoff, waiting, self.active.next_resume()].into_iter().flatten().min()
    }

    /// Pods in line, backing off, waiting.
    pub fn lengths(&self) -> (usize, usize, usize) {
        (self.active.len(), self.backoff.len(), self.waiting.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(text: &str) -> Uid {
        text.into()
    }

    #[tokio::test(start_paused = true)]
    async fn pods_leave_by_priority_then_in_the_order_they_came() {
        let now = sampan_env::Env::system().instant();
        let mut queue = Queue::default();
        for (name, priority) in [("a", 0), ("b", 10), ("c", 0), ("d", 10), ("e", -5)] {
            queue.add(&uid(name), "d", priority);
        }
        let order: Vec<Uid> = std::iter::from_fn(|| queue.pop(now)).collect();
        assert_eq!(order, ["b", "d", "a", "c", "e"].map(uid));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_pod_waits_for_an_event_that_may_help_and_for_its_back_off() {
        let now = sampan_env::Env::system().instant();
        let declared = vec!["Node/UpdateNodeLabel".to_owned()];
        let mut queue = Queue::default();
        queue.add(&uid("a"), "d", 0);
        assert_eq!(queue.pop(now), Some(uid("a")));
        queue.wait(&uid("a"), WaitsFor::Events(vec![7]), now);
        queue.happened(ClusterEvent::PodDelete, now, |_| &declared);
        assert_eq!(queue.pop(now + Duration::from_secs(100)), None, "that event helps nobody");
        queue.happened(ClusterEvent::NodeUpdateLabel, now, |_| &declared);
        assert_eq!(queue.pop(now), None, "its back-off has not ended");
        assert_eq!(queue.next_due(), Some(now + Duration::from_secs(1)));
        assert_eq!(queue.pop(now + Duration::from_secs(1)), Some(uid("a")));
        queue.wait(&uid("a"), WaitsFor::Events(vec![7]), now);
        assert_eq!(queue.pop(now + limits::UNSCHEDULABLE_MAX), Some(uid("a")), "flushed");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_tried_goes_behind_what_came_meanwhile() {
        let now = sampan_env::Env::system().instant();
        let later = now + Duration::from_secs(10);
        type End = fn(&mut Queue, &Uid, Instant);
        let ends: [End; 3] = [
            |queue, uid, now| queue.failed(uid, now),
            |queue, uid, now| queue.wait(uid, WaitsFor::Events(vec![7]), now),
            |queue, uid, now| queue.wait(uid, WaitsFor::Policies, now),
        ];
        for end in ends {
            let mut queue = Queue::default();
            queue.add(&uid("old"), "d", 0);
            assert_eq!(queue.pop(now), Some(uid("old")));
            end(&mut queue, &uid("old"), now);
            queue.add(&uid("new"), "d", 0);
            queue.add(&uid("urgent"), "d", 1);
            queue.happened(ClusterEvent::PoliciesChanged, later, |_| &[]);
            let order: Vec<Uid> = std::iter::from_fn(|| queue.pop(later)).collect();
            assert_eq!(order, ["urgent", "old", "new"].map(uid), "it was queued again before the new one came");
            let mut queue = Queue::default();
            queue.add(&uid("old"), "d", 0);
            assert_eq!(queue.pop(now), Some(uid("old")));
            queue.add(&uid("new"), "d", 0);
            end(&mut queue, &uid("old"), now);
            queue.happened(ClusterEvent::PoliciesChanged, later, |_| &[]);
            let order: Vec<Uid> = std::iter::from_fn(|| queue.pop(later)).collect();
            assert_eq!(order, ["new", "old"].map(uid));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_whose_pods_cost_too_much_holds_up_no_other() {
        let begin = sampan_env::Env::system().instant();
        let mut queue = Queue::default();
        // Many pods that cost too much, of a priority that nobody else has.
        for at in 0..200 {
            queue.add(&uid(&format!("costly-{at}")), "greedy", 1000);
        }
        for at in 0..50 {
            queue.add(&uid(&format!("plain-{at}")), "modest", 0);
        }
        let cost = Duration::from_millis(60);
        let (mut now, mut costly, mut plain) = (begin, 0u32, 0);
        let mut longest = Duration::ZERO;
        let mut last = begin;
        while now < begin + Duration::from_secs(20) {
            match queue.pop(now) {
                Some(next) if next.starts_with("costly") => {
                    now += cost;
                    costly += 1;
                    queue.cost_too_much(&next, now);
                }
                Some(next) => {
                    plain += 1;
                    longest = longest.max(now - last);
                    last = now;
                    queue.remove(&next);
                    now += Duration::from_millis(1);
                }
                None => now = queue.next_due().expect("they come again").max(now),
            }
        }
        assert_eq!(plain, 50);
        assert!(longest <= cost * 2, "a plain pod waited {longest:?}");
        let share = (cost * costly).as_secs_f64() / 20.0;
        assert!(costly > 10 && share < 0.15, "{costly} costly attempts took {share} of the time");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_policies_is_helped_by_nothing_else() {
        let now = sampan_env::Env::system().instant();
        let all: Vec<String> = sampan_scheduler_core::EVENTS.iter().map(|name| (*name).to_owned()).collect();
        let mut queue = Queue::default();
        queue.add(&uid("a"), "d", 0);
        queue.pop(now);
        queue.wait(&uid("a"), WaitsFor::Policies, now);
        let later = now + Duration::from_secs(20);
        for event in [ClusterEvent::NodeAdd, ClusterEvent::NodeUpdateOther, ClusterEvent::PodDelete] {
            queue.happened(event, later, |_| &all);
            assert_eq!(queue.pop(later), None, "{event:?}");
        }
        queue.happened(ClusterEvent::PoliciesChanged, later, |_| &[]);
        assert_eq!(queue.pop(later), Some(uid("a")));
        queue.wait(&uid("a"), WaitsFor::Policies, later);
        queue.changed(&uid("a"), later + Duration::from_secs(20));
        assert_eq!(queue.pop(later + Duration::from_secs(20)), Some(uid("a")));
    }

    #[test]
    fn back_off_doubles_up_to_its_limit() {
        let seconds: Vec<u64> = (1..=6).map(|attempts| backoff(attempts).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_put_back_waits_longer_each_time() {
        let mut now = sampan_env::Env::system().instant();
        let mut queue = Queue::default();
        queue.add(&uid("a"), "d", 0);
        let mut waits = Vec::new();
        for _ in 0..5 {
            assert_eq!(queue.pop(now), Some(uid("a")));
            let attempts = queue.take(&uid("a"));
            queue.put_back(&uid("a"), "d", 0, attempts, now);
            let due = queue.next_due().expect("it backs off");
            waits.push(due.duration_since(now).as_secs());
            now = due;
        }
        assert_eq!(waits, [1, 2, 4, 8, 10]);
    }

    #[test]
    fn each_event_has_the_names_that_policies_may_declare() {
        use ClusterEvent::*;
        let all = [
            NodeAdd,
            NodeUpdateLabel,
            NodeUpdateTaint,
            NodeUpdateAllocatable,
            NodeUpdateAnnotation,
            NodeUpdateOther,
            PodDelete,
        ];
        for name in sampan_scheduler_core::EVENTS {
            assert!(all.iter().any(|event| event.helps(&[(*name).to_owned()])), "{name} never happens");
        }
        let every: Vec<String> = sampan_scheduler_core::EVENTS.iter().map(|name| (*name).to_owned()).collect();
        assert!(all.iter().all(|event| event.helps(&every)));
        assert!(PoliciesChanged.helps(&[]) && !NodeAdd.helps(&[]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_removed_does_not_come_back() {
        let now = sampan_env::Env::system().instant();
        let mut queue = Queue::default();
        queue.add(&uid("a"), "d", 0);
        queue.pop(now);
        queue.remove(&uid("a"));
        queue.failed(&uid("a"), now);
        queue.wait(&uid("a"), WaitsFor::Events(Vec::new()), now);
        assert_eq!(queue.pop(now + Duration::from_secs(1000)), None);
        assert_eq!(queue.lengths(), (0, 0, 0));
    }
}
