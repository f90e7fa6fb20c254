//! What a namespace is given, what is counted in it, and what is kept in it for as long as it is used.

use crate::world::{deployment, of, world};
use sampan_api::k8s::api::apps::v1::Deployment;
use sampan_api::k8s::api::core::v1::{
    ConfigMap, Namespace, PersistentVolumeClaim, Pod, ResourceQuota, Secret, ServiceAccount,
};
use sampan_client::{DeleteParams, Patch};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_is_furnished_and_emptied() {
    let world = world().await;
    world
        .admin
        .all::<Namespace>()
        .create(&of(json!({"metadata": {"name": "shop", "finalizers": ["example.com/shut"]}})))
        .await
        .expect("created");
    let (accounts, maps) =
        (world.admin.namespaced::<ServiceAccount>("shop"), world.admin.namespaced::<ConfigMap>("shop"));
    world.becomes(true, async || accounts.get_opt("default").await.expect("answers").is_some()).await;
    world.becomes(true, async || maps.get_opt("kube-root-ca.crt").await.expect("answers").is_some()).await;
    maps.delete("kube-root-ca.crt", &DeleteParams::default()).await.expect("deleted");
    world.becomes(true, async || maps.get_opt("kube-root-ca.crt").await.expect("answers").is_some()).await;

    world.admin.namespaced::<Deployment>("shop").create(&deployment("web", 2, "v1")).await.expect("created");
    world.becomes(vec!["v1=2".to_owned()], async || world.running("shop").await).await;
    let held: ConfigMap = of(json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}}));
    maps.create(&held).await.expect("created");
    let namespaces = world.admin.all::<Namespace>();
    namespaces.delete("shop", &DeleteParams::default()).await.expect("going");
    world
        .becomes(
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
                .to_owned(),
            async || {
                let shop = namespaces.get("shop").await.expect("held");
                let conditions = shop.status.and_then(|status| status.conditions).unwrap_or_default();
                let one = conditions.into_iter().find(|one| one.type_ == "NamespaceFinalizersRemaining");
                one.and_then(|one| one.message).unwrap_or_default()
            },
        )
        .await;
    maps.patch("held", &Patch::Merge(json!({"metadata": {"finalizers": null}}))).await.expect("let go");
    // It is empty, says so, and stays for whoever holds it.
    let told = async || {
        let shop = namespaces.get("shop").await.expect("held");
        let conditions = shop.status.and_then(|status| status.conditions).unwrap_or_default();
        let finalizers = shop.spec.and_then(|spec| spec.finalizers).unwrap_or_default();
        (conditions.iter().filter(|one| one.status == "False").count(), finalizers.len())
    };
    world.becomes((5, 0), told).await;
    namespaces.patch("shop", &Patch::Merge(json!({"metadata": {"finalizers": null}}))).await.expect("let go");
    world.becomes(true, async || namespaces.get_opt("shop").await.expect("answers").is_none()).await;
    assert!(world.running("shop").await.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_tells_what_is_used() {
    let world = world().await;
    let quotas = world.admin.namespaced::<ResourceQuota>("default");
    let hard = json!({"pods": "5", "requests.cpu": "1", "count/secrets": "3", "count/widgets.example.com": "1"});
    quotas.create(&of(json!({"metadata": {"name": "q"}, "spec": {"hard": hard}}))).await.expect("created");
    let used = async || {
        let status = quotas.get("q").await.expect("there").status.unwrap_or_default();
        json!({"hard": status.hard, "used": status.used})
    };
    let expected = |used: Value| json!({"hard": hard, "used": used});
    let nothing = || expected(json!({"pods": "0", "requests.cpu": "0", "count/secrets": "0"}));
    world.becomes(nothing(), used).await;
    world.admin.namespaced::<Secret>("default").create(&of(json!({"metadata": {"name": "s"}}))).await.expect("created");
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [
        {"name": "c", "image": "v1", "resources": {"requests": {"cpu": "250m"}}}]}});
    let pods = world.admin.namespaced::<Pod>("default");
    pods.create(&of(pod)).await.expect("created");
    // Nothing charges here, without admission: a new limit is what has it all counted.
    quotas.patch("q", &Patch::Merge(json!({"spec": {"hard": {"pods": "6"}}}))).await.expect("patched");
    let some = json!({"pods": "1", "requests.cpu": "250m", "count/secrets": "1"});
    world.becomes(some, async || used().await["used"].clone()).await;
    world.is_running("p").await;
    let over = Patch::Strategic(json!({"status": {"phase": "Succeeded"}}));
    pods.patch_status("p", &over).await.expect("patched");
    world.admin.namespaced::<Secret>("default").delete("s", &DeleteParams::default()).await.expect("deleted");
    let none = json!({"pods": "0", "requests.cpu": "0", "count/secrets": "0"});
    world.becomes(none, async || used().await["used"].clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_stays_as_long_as_a_pod_uses_it() {
    let world = world().await;
    let claims = world.admin.namespaced::<PersistentVolumeClaim>("default");
    let pods = world.admin.namespaced::<Pod>("default");
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    claims.create(&of(claim)).await.expect("created");
    let finalizers = async || claims.get("data").await.map(|claim| claim.metadata.finalizers).ok();
    // Nobody gives it one here, without admission: the controller does.
    let kept = Some(Some(vec!["kubernetes.io/pvc-protection".to_owned()]));
    world.becomes(kept.clone(), finalizers).await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "v1"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}});
    pods.create(&of(pod)).await.expect("created");
    claims.delete("data", &DeleteParams::default()).await.expect("marked");
    assert_eq!(finalizers().await, kept);
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    pods.delete("p", &now).await.expect("deleted");
    world.becomes(None, finalizers).await;
    world.end().await;
}
