//! The decisions of each pod that the API holds, so that a pod that is tried again and again does not fill it.

use crate::limits;
use sampan_api::scheduling::DecisionOutcome;
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

type Uid = Arc<str>;

/// Bounded: the pod that was first heard of is forgotten first. Its decisions stay until it goes.
#[derive(Debug, Default)]
pub(crate) struct Posted {
    pods: HashMap<Uid, OfPod>,
    order: VecDeque<Uid>,
}

#[derive(Debug, Default)]
struct OfPod {
    /// Fingerprint of the last outcome.
    outcome: Option<u64>,
    /// Names of its decisions, the oldest first.
    names: VecDeque<String>,
}

impl Posted {
    /// Whether the outcome is another than the pod's last. It counts as its last from here on.
    pub fn is_news(&mut self, uid: &Uid, outcome: &DecisionOutcome) -> bool {
        let outcome = Some(fingerprint(outcome));
        if !self.pods.contains_key(uid) {
            self.pods.insert(Arc::clone(uid), OfPod::default());
            self.order.push_back(Arc::clone(uid));
            if self.order.len() > limits::DECIDED_PODS
                && let Some(oldest) = self.order.pop_front()
            {
                self.pods.remove(&oldest);
            }
        }
        let Some(of_pod) = self.pods.get_mut(uid) else { return true };
        let is_news = of_pod.outcome != outcome;
        of_pod.outcome = outcome;
        is_news
    }

    /// The last one of the pod was not stored: the next says something new in any case.
    pub fn lost(&mut self, uid: &Uid) {
        if let Some(of_pod) = self.pods.get_mut(uid) {
            of_pod.outcome = None;
        }
    }

    /// A decision was stored; returns the one that is to go for it.
    pub fn stored(&mut self, uid: &Uid, name: String) -> Option<String> {
        let of_pod = self.pods.get_mut(uid)?;
        of_pod.names.push_back(name);
        if of_pod.names.len() > limits::DECISIONS_OF_POD { of_pod.names.pop_front() } else { None }
    }
}

/// Of everything but how long it took.
fn fingerprint(outcome: &DecisionOutcome) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&outcome.result, &outcome.node, &outcome.message, outcome.nodes).hash(&mut hasher);
    for refusal in &outcome.refusals {
        (&refusal.policy, &refusal.reasons, refusal.count, &refusal.nodes).hash(&mut hasher);
    }
    for fault in &outcome.faults {
        (&fault.policy, &fault.cause).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_forgotten_in_the_order_in_which_they_came() {
        let mut posted = Posted::default();
        let outcome = DecisionOutcome::default();
        let uid = |number: usize| Uid::from(number.to_string());
        for number in 0..=limits::DECIDED_PODS {
            assert!(posted.is_news(&uid(number), &outcome));
        }
        assert!(posted.is_news(&uid(0), &outcome) && !posted.is_news(&uid(2), &outcome));
        posted.lost(&uid(2));
        assert!(posted.is_news(&uid(2), &outcome));
        let later = DecisionOutcome { microseconds: 7, ..outcome };
        assert!(!posted.is_news(&uid(2), &later), "how long it took is no news");
    }
}
