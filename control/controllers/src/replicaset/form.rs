//! The two kinds that keep a number of pods, as one (Kubernetes too runs ReplicationControllers as ReplicaSets:
//! pkg/controller/replication/conversion.go).

use sampan_api::k8s::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetSpec, ReplicaSetStatus};
use sampan_api::k8s::api::core::v1::{
    ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::LabelSelector;
use sampan_reconcile::claim::Owned;
use std::borrow::Cow;

/// A kind that is worked on as a ReplicaSet.
pub trait Form: Owned {
    /// Whether its status counts the pods that are going.
    const COUNTS_TERMINATING: bool;
    /// The object read as a ReplicaSet; its metadata is its own.
    fn as_set(&self) -> Cow<'_, ReplicaSet>;
    /// Puts a ReplicaSet's status into the object.
    fn set_status(&mut self, status: ReplicaSetStatus);
}

impl Form for ReplicaSet {
    const COUNTS_TERMINATING: bool = true;

    fn as_set(&self) -> Cow<'_, ReplicaSet> {
        Cow::Borrowed(self)
    }

    fn set_status(&mut self, status: ReplicaSetStatus) {
        self.status = Some(status);
    }
}

impl Form for ReplicationController {
    const COUNTS_TERMINATING: bool = false;

    fn as_set(&self) -> Cow<'_, ReplicaSet> {
        let spec = self.spec.clone().map(|spec| ReplicaSetSpec {
            min_ready_seconds: spec.min_ready_seconds,
            replicas: spec.replicas,
            selector: LabelSelector { match_labels: spec.selector, match_expressions: None },
            template: spec.template,
        });
        let status = self.status.clone().map(|status| ReplicaSetStatus {
            available_replicas: status.available_replicas,
            conditions: status.conditions.map(|all| all.into_iter().map(condition_of_set).collect()),
            fully_labeled_replicas: status.fully_labeled_replicas,
            observed_generation: status.observed_generation,
            ready_replicas: status.ready_replicas,
            replicas: status.replicas,
            terminating_replicas: None,
        });
        Cow::Owned(ReplicaSet { metadata: self.metadata.clone(), spec, status })
    }

    fn set_status(&mut self, status: ReplicaSetStatus) {
        self.status = Some(ReplicationControllerStatus {
            available_replicas: status.available_replicas,
            conditions: status.conditions.map(|all| all.into_iter().map(condition).collect()),
            fully_labeled_replicas: status.fully_labeled_replicas,
            observed_generation: status.observed_generation,
            ready_replicas: status.ready_replicas,
            replicas: status.replicas,
        });
    }
}

fn condition_of_set(one: ReplicationControllerCondition) -> ReplicaSetCondition {
    let ReplicationControllerCondition { last_transition_time, message, reason, status, type_ } = one;
    ReplicaSetCondition { last_transition_time, message, reason, status, type_ }
}

fn condition(one: ReplicaSetCondition) -> ReplicationControllerCondition {
    let ReplicaSetCondition { last_transition_time, message, reason, status, type_ } = one;
    ReplicationControllerCondition { last_transition_time, message, reason, status, type_ }
}
