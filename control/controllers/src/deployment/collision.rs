//! A ReplicaSet that is about to be made, and one of its name that is there already.

use super::replicas::same_template;
use super::selector;
use crate::owner;
use sampan_api::k8s::api::apps::v1::{Deployment, ReplicaSet};
use sampan_reconcile::claim::{Claim, claim};

/// What the one that is there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    /// The Deployment's own, of the same template: the copy that is planned by did not show it yet.
    Own,
    /// Nobody's, of the same template, and the Deployment selects it: the copy shows it as another's still, whose
    /// deletion left it behind. It is adopted once the copy shows it free.
    ToAdopt,
    /// Another's, or of another template: the next hash is tried, as the reference's controller does.
    Other,
}

pub(super) fn find_out(deployment: &Deployment, there: &ReplicaSet, wanted: &ReplicaSet) -> There {
    let template = |set: &ReplicaSet| set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    if !same_template(&template(there), &template(wanted)) {
        return There::Other;
    }
    if owner::is_controlled_by(&there.metadata, &deployment.metadata) {
        return There::Own;
    }
    match selector(deployment).map(|selector| claim(&deployment.metadata, &selector, &there.metadata)) {
        Some(Claim::Adopt) => There::ToAdopt,
        Some(Claim::Mine | Claim::NotMine | Claim::Release) | None => There::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_set_that_waits_to_be_adopted_is_no_collision() {
        let template = |image: &str| json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}});
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "new"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template("a")}}))
        .expect("a Deployment");
        let set = |image: &str, metadata: Value| -> ReplicaSet {
            let selector = json!({"matchLabels": {"app": "web"}});
            let spec = json!({"selector": selector, "template": template(image)});
            serde_json::from_value(json!({"metadata": metadata, "spec": spec})).expect("a ReplicaSet")
        };
        let of = |uid: &str| json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid, "controller": true}]);
        let check = |image: &str, more: Value, expected: There| {
            let mut metadata = json!({"name": "web-1", "namespace": "shop", "uid": "s", "labels": {"app": "web"}});
            for (name, value) in more.as_object().into_iter().flatten() {
                metadata[name] = value.clone();
            }
            let found = find_out(&deployment, &set(image, metadata), &set("a", json!({"name": "web-1"})));
            assert_eq!(found, expected, "{image} {more}");
        };
        check("a", json!({"ownerReferences": of("new")}), There::Own);
        check("b", json!({"ownerReferences": of("new")}), There::Other);
        check("a", json!({"ownerReferences": of("old")}), There::Other);
        check("a", json!({}), There::ToAdopt);
        check("b", json!({}), There::Other);
        check("a", json!({"labels": {"app": "db"}}), There::Other);
        let going = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/kept"]});
        check("a", going, There::Other);
    }
}
