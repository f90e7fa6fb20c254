//! Pods that want a node: active, backing off, or waiting for an event that may help (kube-scheduler's three queues).

use crate::limits;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What happened in the cluster, as policies name it.
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

#[derive(Clone, Debug)]
enum Place {
    Active {
        key: (i64, u64),
    },
    Backoff {
        until: Instant,
    },
    Waiting {
        since: Instant,
        refused_by: Vec<u32>,
    },
    /// Handed out: its cycle has not ended.
    Out,
}

#[derive(Clone, Debug)]
struct Entry {
    place: Place,
    /// Higher goes first.
    priority: i32,
    /// Place in line among equals: first come, first served.
    ticket: u64,
    attempts: u32,
    last_attempt: Option<Instant>,
}

/// The queue. Time is handed in.
#[derive(Debug, Default)]
pub struct Queue {
    entries: HashMap<Uid, Entry>,
    /// By priority (negated), then ticket.
    active: BTreeSet<((i64, u64), Uid)>,
    backoff: BTreeSet<(Instant, Uid)>,
    waiting: BTreeSet<(Instant, Uid)>,
    tickets: u64,
}

fn backoff(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    (limits::BACKOFF_INITIAL * 2u32.pow(doublings)).min(limits::BACKOFF_MAX)
}

impl Queue {
    /// A new pod, at the end of the line of its priority.
    pub fn add(&mut self, uid: &Uid, priority: i32) {
        self.remove(uid);
        self.tickets += 1;
        let key = (-i64::from(priority), self.tickets);
        let entry =
            Entry { place: Place::Active { key }, priority, ticket: self.tickets, attempts: 0, last_attempt: None };
        self.active.insert((key, Arc::clone(uid)));
        self.entries.insert(Arc::clone(uid), entry);
    }

    pub fn remove(&mut self, uid: &Uid) {
        self.take(uid);
    }

    /// Removes the pod; returns how often it was tried.
    pub fn take(&mut self, uid: &Uid) -> u32 {
        let Some(entry) = self.entries.remove(uid) else { return 0 };
        self.leave(uid, &entry.place);
        entry.attempts
    }

    /// A pod that was taken, and is to be tried again: after the back-off of its attempts.
    pub fn put_back(&mut self, uid: &Uid, priority: i32, attempts: u32, now: Instant) {
        self.add(uid, priority);
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.attempts = attempts;
            entry.last_attempt = Some(now);
        }
        self.failed(uid, now);
    }

    fn leave(&mut self, uid: &Uid, place: &Place) {
        match place {
            Place::Active { key } => {
                self.active.remove(&(*key, Arc::clone(uid)));
            }
            Place::Backoff { until } => {
                self.backoff.remove(&(*until, Arc::clone(uid)));
            }
            Place::Waiting { since, .. } => {
                self.waiting.remove(&(*since, Arc::clone(uid)));
            }
            Place::Out => {}
        }
    }

    fn put(&mut self, uid: &Uid, place: Place) {
        let Some(old) = self.entries.get(uid).map(|entry| entry.place.clone()) else { return };
        self.leave(uid, &old);
        match &place {
            Place::Active { key } => {
                self.active.insert((*key, Arc::clone(uid)));
            }
            Place::Backoff { until } => {
                self.backoff.insert((*until, Arc::clone(uid)));
            }
            Place::Waiting { since, .. } => {
                self.waiting.insert((*since, Arc::clone(uid)));
            }
            Place::Out => {}
        }
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.place = place;
        }
    }

    /// The next pod to decide on. It counts as an attempt; the pod is out until its end is told.
    pub fn pop(&mut self, now: Instant) -> Option<Uid> {
        self.release(now);
        let uid = self.active.first().map(|(_, uid)| Arc::clone(uid))?;
        self.put(&uid, Place::Out);
        if let Some(entry) = self.entries.get_mut(&uid) {
            entry.attempts += 1;
            entry.last_attempt = Some(now);
        }
        Some(uid)
    }

    /// Its cycle failed by an error: it is tried again after its back-off.
    pub fn failed(&mut self, uid: &Uid, now: Instant) {
        let Some(until) = self.backoff_end(uid, now) else { return };
        self.put(uid, Place::Backoff { until });
    }

    /// No node was left: it waits for an event that may help those that refused it.
    pub fn refused(&mut self, uid: &Uid, refused_by: Vec<u32>, now: Instant) {
        self.put(uid, Place::Waiting { since: now, refused_by });
    }

    fn backoff_end(&self, uid: &Uid, now: Instant) -> Option<Instant> {
        let entry = self.entries.get(uid)?;
        Some(entry.last_attempt.unwrap_or(now) + backoff(entry.attempts))
    }

    /// Back into line, at once or when its back-off ends.
    fn requeue(&mut self, uid: &Uid, now: Instant) {
        match self.backoff_end(uid, now) {
            Some(until) if until > now => self.put(uid, Place::Backoff { until }),
            Some(_) => self.activate(uid),
            None => {}
        }
    }

    fn activate(&mut self, uid: &Uid) {
        let Some(entry) = self.entries.get(uid) else { return };
        let key = (-i64::from(entry.priority), entry.ticket);
        self.put(uid, Place::Active { key });
    }

    /// The pod itself changed in a way that may help.
    pub fn changed(&mut self, uid: &Uid, now: Instant) {
        if matches!(self.entries.get(uid), Some(Entry { place: Place::Waiting { .. }, .. })) {
            self.requeue(uid, now);
        }
    }

    /// Something happened: pods that it may help go back into line. `declared`: the events of a policy.
    pub fn happened<'a>(&mut self, event: ClusterEvent, now: Instant, declared: impl Fn(u32) -> &'a [String]) {
        let helped = |refused_by: &[u32]| {
            // Nobody refused it: there was no node at all, or none that answered.
            refused_by.is_empty() || refused_by.iter().any(|policy| event.helps(declared(*policy)))
        };
        let moved: Vec<Uid> = self
            .waiting
            .iter()
            .filter(|(_, uid)| match self.entries.get(uid).map(|entry| &entry.place) {
                Some(Place::Waiting { refused_by, .. }) => helped(refused_by),
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

    /// When the next pod becomes due; `None`: nothing waits for a time.
    pub fn next_due(&self) -> Option<Instant> {
        let backoff = self.backoff.first().map(|(until, _)| *until);
        let waiting = self.waiting.first().map(|(since, _)| *since + limits::UNSCHEDULABLE_MAX);
        [backoff, waiting].into_iter().flatten().min()
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
            queue.add(&uid(name), priority);
        }
        let order: Vec<Uid> = std::iter::from_fn(|| queue.pop(now)).collect();
        assert_eq!(order, ["b", "d", "a", "c", "e"].map(uid));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_pod_waits_for_an_event_that_may_help_and_for_its_back_off() {
        let now = sampan_env::Env::system().instant();
        let declared = vec!["Node/UpdateNodeLabel".to_owned()];
        let mut queue = Queue::default();
        queue.add(&uid("a"), 0);
        assert_eq!(queue.pop(now), Some(uid("a")));
        queue.refused(&uid("a"), vec![7], now);
        queue.happened(ClusterEvent::PodDelete, now, |_| &declared);
        assert_eq!(queue.pop(now + Duration::from_secs(100)), None, "that event helps nobody");
        queue.happened(ClusterEvent::NodeUpdateLabel, now, |_| &declared);
        assert_eq!(queue.pop(now), None, "its back-off has not ended");
        assert_eq!(queue.next_due(), Some(now + Duration::from_secs(1)));
        assert_eq!(queue.pop(now + Duration::from_secs(1)), Some(uid("a")));
        queue.refused(&uid("a"), vec![7], now);
        assert_eq!(queue.pop(now + limits::UNSCHEDULABLE_MAX), Some(uid("a")), "flushed");
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
        queue.add(&uid("a"), 0);
        let mut waits = Vec::new();
        for _ in 0..5 {
            assert_eq!(queue.pop(now), Some(uid("a")));
            let attempts = queue.take(&uid("a"));
            queue.put_back(&uid("a"), 0, attempts, now);
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
        queue.add(&uid("a"), 0);
        queue.pop(now);
        queue.remove(&uid("a"));
        queue.failed(&uid("a"), now);
        queue.refused(&uid("a"), Vec::new(), now);
        assert_eq!(queue.pop(now + Duration::from_secs(1000)), None);
        assert_eq!(queue.lengths(), (0, 0, 0));
    }
}
