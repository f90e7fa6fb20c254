//! Quota on an API server in this process: charges go with what they are for, or not at all.

use sampan_api::k8s::api::core::v1::{Pod, ResourceQuota, Secret, Service};
use sampan_api::user::{GROUP_MASTERS, UserInfo};
use sampan_client::{Client, Patch, WriteParams};
use sampan_env::Env;
use sampan_testing::server::guarded;
use serde_json::{Value, json};

const NAMESPACE: &str = "default";

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("of its kind")
}

fn pod(name: &str) -> Pod {
    typed(json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "a", "image": "b"}]}}))
}

/// An administrator, and a quota `q` with this status, whatever there is.
async fn world(hard: Value, used: Value) -> (Client, sampan_testing::server::Server) {
    let server = guarded(Env::system()).await;
    let admin = server.client(UserInfo::new("admin", [GROUP_MASTERS]));
    let quotas = admin.namespaced::<ResourceQuota>(NAMESPACE);
    quotas.create(&typed(json!({"metadata": {"name": "q"}, "spec": {"hard": hard}}))).await.expect("a quota");
    quotas.patch_status("q", &Patch::Merge(json!({"status": {"hard": hard, "used": used}}))).await.expect("a status");
    // The plugin's own copy may be a moment late: until then a dry run is not refused.
    while admin.namespaced::<Secret>(NAMESPACE).create_with(&full(), &dry()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    (admin, server)
}

/// What each of the quotas refuses.
fn full() -> Secret {
    typed(json!({"metadata": {"name": "full"}}))
}

fn dry() -> WriteParams {
    WriteParams { dry_run: true, ..WriteParams::default() }
}

async fn used(admin: &Client) -> Value {
    let quota = admin.namespaced::<ResourceQuota>(NAMESPACE).get("q").await.expect("the quota");
    json!(quota.status.expect("a status").used)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_never_exceed_it() {
    let (admin, _server) = world(
        json!({"pods": "10", "count/pods": "50", "secrets": "0"}),
        json!({"pods": "0", "count/pods": "0", "secrets": "0"}),
    )
    .await;
    let creations = (0..40).map(|at| {
        let admin = admin.clone();
        async move { admin.namespaced::<Pod>(NAMESPACE).create(&pod(&format!("p-{at}"))).await }
    });
    let outcomes = futures::future::join_all(creations).await;
    let made = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(made, 10);
    let expected = "exceeded quota: q, requested: pods=1, used: pods=10, limited: pods=10";
    for refused in outcomes.into_iter().filter_map(Result::err) {
        assert!(refused.is_forbidden() && refused.to_string().contains(expected), "{refused}");
    }
    assert_eq!(used(&admin).await, json!({"pods": "10", "count/pods": "10", "secrets": "0"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_written_is_not_charged() {
    let (admin, _server) = world(json!({"pods": "5", "secrets": "0"}), json!({"pods": "0", "secrets": "0"})).await;
    let pods = admin.namespaced::<Pod>(NAMESPACE);
    pods.create_with(&pod("a"), &dry()).await.expect("a dry run");
    assert_eq!(used(&admin).await["pods"], "0");
    pods.create(&pod("a")).await.expect("made");
    pods.create(&pod("a")).await.expect_err("it is there");
    pods.create(&typed(json!({"metadata": {"name": "bad"}, "spec": {"containers": []}})))
        .await
        .expect_err("no containers");
    assert_eq!(used(&admin).await["pods"], "1");
    let quota = admin.namespaced::<ResourceQuota>(NAMESPACE).get("q").await.expect("the quota");
    let managed = quota.metadata.managed_fields.unwrap_or_default();
    let charged = managed.iter().find(|one| one.manager.as_deref() == Some("kube-apiserver"));
    assert_eq!(charged.and_then(|one| one.subresource.as_deref()), Some("status"), "{managed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn growth_is_charged() {
    let none = json!({"services": "0", "services.nodeports": "0", "secrets": "0"});
    let (admin, _server) = world(json!({"services": "5", "services.nodeports": "1", "secrets": "0"}), none).await;
    let services = admin.namespaced::<Service>(NAMESPACE);
    let ports = json!([{"name": "a", "port": 1}, {"name": "b", "port": 2}]);
    services.create(&typed(json!({"metadata": {"name": "s"}, "spec": {"ports": ports}}))).await.expect("made");
    let refused =
        services.patch("s", &Patch::Merge(json!({"spec": {"type": "NodePort"}}))).await.expect_err("two ports");
    let expected =
        "exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1";
    assert!(refused.to_string().contains(expected), "{refused}");
    let one = json!({"spec": {"type": "NodePort", "ports": [{"name": "a", "port": 1}]}});
    services.patch("s", &Patch::Merge(one)).await.expect("one port");
    assert_eq!(used(&admin).await, json!({"services": "1", "services.nodeports": "1", "secrets": "0"}));
}
