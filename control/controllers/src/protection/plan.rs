use sampan_api::k8s::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use std::collections::BTreeSet;

/// What is to be done with the finalizer of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It has none, and is not being deleted: one that was made while nobody added it.
    Add,
    /// It may go, once it is certain that nobody uses it.
    Release,
}

/// An object as far as its protection goes.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// It is being deleted.
    pub deleting: bool,
    /// It has the finalizer.
    pub protected: bool,
    /// Somebody uses it, as far as is known at once.
    pub used: bool,
}

/// `None`: it is as it should be.
pub fn plan(state: State) -> Option<Action> {
    match state {
        State { deleting: true, protected: true, used: false } => Some(Action::Release),
        State { deleting: false, protected: false, .. } => Some(Action::Add),
        _ => None,
    }
}

/// The names of the claims that a pod uses: from when it has a node, and those that were made for it alone until the node
/// is done with it.
pub fn claims(pod: &Pod) -> Vec<String> {
    let Some(spec) = pod.spec.as_ref().filter(|spec| spec.node_name.as_ref().is_some_and(|node| !node.is_empty()))
    else {
        return Vec::new();
    };
    let over = pod.metadata.deletion_timestamp.is_some() && pod.metadata.deletion_grace_period_seconds == Some(0);
    let own = pod.metadata.name.as_deref().unwrap_or_default();
    let names = spec.volumes.iter().flatten().filter_map(|volume| match &volume.persistent_volume_claim {
        Some(claim) => Some(claim.claim_name.clone()),
        None => (volume.ephemeral.is_some() && !over).then(|| format!("{own}-{}", volume.name)),
    });
    names.collect()
}

/// Whether the pod uses the claim. One of an ephemeral volume's name that the pod does not own is not its volume.
pub fn uses(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let named = |one: &str| one == name;
    let volumes = || pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let direct =
        volumes().filter_map(|volume| volume.persistent_volume_claim.as_ref()).any(|one| named(&one.claim_name));
    let owners = claim.metadata.owner_references.iter().flatten();
    let owned =
        owners.into_iter().any(|owner| owner.controller == Some(true) && Some(&owner.uid) == pod.metadata.uid.as_ref());
    claims(pod).iter().any(|one| named(one)) && (direct || owned)
}

/// The classes of volume attributes that a claim has, had or is to have.
pub fn classes_of_claim(claim: &PersistentVolumeClaim) -> BTreeSet<String> {
    let status = claim.status.as_ref();
    let wanted = claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.clone());
    let current = status.and_then(|status| status.current_volume_attributes_class_name.clone());
    let target = status.and_then(|status| status.modify_volume_status.as_ref());
    let target = target.and_then(|modify| modify.target_volume_attributes_class_name.clone());
    [wanted, current, target].into_iter().flatten().filter(|class| !class.is_empty()).collect()
}

/// The class of a volume's attributes.
pub fn class_of_volume(volume: &PersistentVolume) -> Option<String> {
    volume.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.clone()).filter(|class| !class.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn who_is_let_go() {
        let check =
            |deleting, protected, used, expected| assert_eq!(plan(State { deleting, protected, used }), expected);
        check(false, true, false, None);
        check(false, true, true, None);
        check(false, false, false, Some(Action::Add));
        check(true, true, true, None);
        check(true, true, false, Some(Action::Release));
        check(true, false, false, None);
    }

    #[test]
    fn pods_use_claims() {
        let check = |pod: Value, owner: Option<&str>, expected: bool| {
            let owners = owner
                .map(|uid| json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid, "controller": true}]));
            let claim = json!({"metadata": {"name": "p-data", "ownerReferences": owners}});
            let claim = serde_json::from_value(claim).expect("a claim");
            let pod: Pod = serde_json::from_value(pod.clone()).expect("a pod");
            assert_eq!(uses(&pod, &claim), expected, "{pod:?} {owner:?}");
        };
        let pod = |volume: Value, node: &str, over: bool| {
            let mut pod = json!({"metadata": {"name": "p", "uid": "u"}, "spec": {"containers": [], "nodeName": node, "volumes": [volume]}});
            if over {
                pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
                pod["metadata"]["deletionGracePeriodSeconds"] = 0.into();
            }
            pod
        };
        let direct = || json!({"name": "v", "persistentVolumeClaim": {"claimName": "p-data"}});
        check(pod(direct(), "n", false), None, true);
        check(pod(direct(), "n", true), None, true);
        check(pod(direct(), "", false), None, false);
        let ephemeral = || json!({"name": "data", "ephemeral": {}});
        check(pod(ephemeral(), "n", false), Some("u"), true);
        check(pod(ephemeral(), "n", false), Some("other"), false);
        check(pod(ephemeral(), "n", false), None, false);
        check(pod(ephemeral(), "n", true), Some("u"), false);
    }
}
