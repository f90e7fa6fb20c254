//! The conditions by which a namespace says why it is still there (pkg/controller/namespace/deletion).

use super::dotted;
use crate::time;
use sampan_api::k8s::api::core::v1::NamespaceCondition;
use sampan_api::{GroupVersionResource, Object};
use sampan_reconcile::condition;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// Groups of which it is not known what they serve.
#[derive(Clone, Debug, PartialEq)]
pub struct Undiscovered {
    /// How many.
    pub groups: usize,
    /// Why not.
    pub error: String,
}

impl Undiscovered {
    fn message(&self) -> String {
        format!("Discovery failed for some groups, {} failing: {}", self.groups, self.error)
    }
}

/// The content that one round left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remaining {
    /// The reason why it is not known what there is to delete.
    pub discovery: Option<Undiscovered>,
    /// Resources that could not be emptied, each with the error.
    pub errors: Vec<String>,
    /// Instances by resource.
    pub resources: BTreeMap<String, usize>,
    /// Instances by the finalizer that holds them.
    pub finalizers: BTreeMap<String, usize>,
}

impl Remaining {
    pub fn is_empty(&self) -> bool {
        self.discovery.is_none() && self.errors.is_empty() && self.resources.is_empty()
    }

    pub fn add(&mut self, resource: &GroupVersionResource, left: &[Object]) {
        if left.is_empty() {
            return;
        }
        self.resources.insert(dotted(resource), left.len());
        for finalizer in left.iter().flat_map(Object::finalizers) {
            *self.finalizers.entry(finalizer.to_owned()).or_default() += 1;
        }
    }
}

/// The conditions after a round: the five that a namespace being deleted has, and what else it had.
pub fn conditions(old: &[NamespaceCondition], remaining: &Remaining, now: SystemTime) -> Vec<NamespaceCondition> {
    let text = |counts: &BTreeMap<String, usize>, item: &str| {
        let parts: Vec<String> =
            counts.iter().map(|(name, count)| format!("{name} {item} {count} resource instances")).collect();
        parts.join(", ")
    };
    let errors = remaining.errors.join(", ");
    let resources = text(&remaining.resources, "has");
    let finalizers = text(&remaining.finalizers, "in");
    // Kind; reason and message where there is a problem; reason and message where there is none.
    type Row<'a> = (&'a str, Option<(&'a str, String)>, (&'a str, &'a str));
    let table: [Row<'_>; 5] = [
        (
            "NamespaceDeletionDiscoveryFailure",
            remaining.discovery.as_ref().map(|failed| ("DiscoveryFailed", failed.message())),
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        (
            "NamespaceDeletionContentFailure",
            (!errors.is_empty()).then(|| {
                (
                    "ContentDeletionFailed",
                    format!("Failed to delete all resource types, {} remaining: {errors}", remaining.errors.len()),
                )
            }),
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ),
        (
            "NamespaceContentRemaining",
            (!resources.is_empty())
                .then(|| ("SomeResourcesRemain", format!("Some resources are remaining: {resources}"))),
            ("ContentRemoved", "All content successfully removed"),
        ),
        (
            "NamespaceFinalizersRemaining",
            (!finalizers.is_empty()).then(|| {
                (
                    "SomeFinalizersRemain",
                    format!("Some content in the namespace has finalizers remaining: {finalizers}"),
                )
            }),
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    ];
    let mut all = old.to_vec();
    for (kind, problem, fine) in table {
        let (status, reason, message) = match problem {
            Some((reason, message)) => ("True", reason, message),
            None => ("False", fine.0, fine.1.to_owned()),
        };
        let new = NamespaceCondition {
            type_: kind.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message),
            last_transition_time: Some(time::of(now)),
        };
        condition::set(&mut all, new);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn they_say_what_is_left_and_who_holds_it() {
        let pods = GroupVersionResource::new("", "v1", "pods");
        let held = |finalizers: serde_json::Value| {
            Object::from_value(json!({"metadata": {"name": "a", "finalizers": finalizers}})).expect("an object")
        };
        let mut remaining = Remaining::default();
        remaining.add(&pods, &[]);
        assert!(remaining.is_empty());
        remaining.add(&pods, &[held(json!(["x/y"])), held(json!([]))]);
        let all = conditions(&[], &remaining, SystemTime::UNIX_EPOCH);
        let message = |kind: &str| {
            let one = all.iter().find(|one| one.type_ == kind).expect("there");
            format!("{} {}", one.status, one.message.as_deref().unwrap_or_default())
        };
        assert_eq!(all.len(), 5);
        assert_eq!(
            message("NamespaceContentRemaining"),
            "True Some resources are remaining: pods. has 2 resource instances"
        );
        assert_eq!(
            message("NamespaceFinalizersRemaining"),
            "True Some content in the namespace has finalizers remaining: x/y in 1 resource instances"
        );
        let later = conditions(&all, &remaining, SystemTime::UNIX_EPOCH + Duration::from_secs(60));
        assert_eq!(later, all);
    }
}
