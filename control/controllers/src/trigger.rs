//! The time of the change that a write of endpoints follows (k8s.io/endpointslice, util/trigger_time_tracker.go): those who
//! program networks measure with it how long a change takes to reach them.

use crate::{owner, pod};
use parking_lot::Mutex;
use sampan_api::RecordKey;
use sampan_api::k8s::api::core::v1::{Pod, Service};
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::HashMap;
use std::sync::Arc;

/// The times that were known of each Service when it was last looked at.
#[derive(Default)]
pub(crate) struct Triggers(Mutex<HashMap<RecordKey, Known>>);

#[derive(Default)]
struct Known {
    service: Option<Time>,
    /// By name.
    pods: HashMap<String, Time>,
}

impl Triggers {
    /// The earliest of the changes since the last call; the Service's creation the first time, `None` where nothing of
    /// it has a new time.
    pub(crate) fn next(&self, key: &RecordKey, service: &Service, pods: &[Arc<Pod>]) -> Option<Time> {
        let created = service.metadata.creation_timestamp.clone();
        let ready_since = |one: &Pod| pod::condition(one, "Ready").and_then(|one| one.last_transition_time.clone());
        let times: HashMap<String, Time> =
            pods.iter().filter_map(|one| Some((owner::name(&one.metadata).to_owned(), ready_since(one)?))).collect();
        let mut all = self.0.lock();
        let Some(known) = all.get_mut(key) else {
            all.insert(key.clone(), Known { service: created.clone(), pods: times });
            return created;
        };
        let newer = |time: &Time, old: Option<&Time>| old.is_none_or(|old| time.0 > old.0);
        let of_pods = times.iter().filter(|(name, time)| newer(time, known.pods.get(*name))).map(|(_, time)| time);
        let of_service = created.iter().filter(|time| newer(time, known.service.as_ref()));
        let earliest = of_pods.chain(of_service).min_by_key(|time| time.0).cloned();
        *known = Known { service: created, pods: times };
        earliest
    }

    /// The Service is gone.
    pub(crate) fn forget(&self, key: &RecordKey) {
        self.0.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_earliest_change_since_the_last_look() {
        let (triggers, key) = (Triggers::default(), RecordKey::new("shop", "web"));
        let at = |minute: u32| format!("2026-01-01T00:{minute:02}:00Z");
        let service: Service = serde_json::from_value(json!({"metadata": {"name": "web", "creationTimestamp": at(1)}}))
            .expect("a Service");
        let pod = |name: &str, minute: u32| -> Arc<Pod> {
            let status = json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at(minute)}]});
            Arc::new(serde_json::from_value(json!({"metadata": {"name": name}, "status": status})).expect("a pod"))
        };
        let check = |pods: &[Arc<Pod>], expected: Option<u32>| {
            let got = triggers.next(&key, &service, pods).map(|time| time.0.to_string());
            assert_eq!(got, expected.map(at));
        };
        check(&[pod("a", 2)], Some(1));
        check(&[pod("a", 2)], None);
        check(&[pod("a", 5), pod("b", 4)], Some(4));
        check(&[pod("b", 4)], None);
        check(&[pod("a", 5), pod("b", 4)], Some(5));
        triggers.forget(&key);
        check(&[], Some(1));
    }
}
