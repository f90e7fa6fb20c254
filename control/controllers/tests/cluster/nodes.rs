//! Nodes that fall silent.

use crate::world::{of, world};
use sampan_api::Object;
use sampan_api::k8s::api::core::v1::{Node, Pod};
use sampan_client::{ListParams, Patch};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_node_is_tainted_and_loses_its_pods() {
    let world = world().await;
    let nodes = world.admin.all::<Node>();
    nodes.create(&of(json!({"metadata": {"name": "n"}}))).await.expect("created");
    let status = json!({"status": {"conditions": [
        {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]}});
    nodes.patch_status("n", &Patch::Strategic(status)).await.expect("reported");
    let pod = |name: &str, tolerations: Value| {
        of::<Pod>(
            json!({"metadata": {"name": name}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}],
            "terminationGracePeriodSeconds": 0, "tolerations": tolerations}}),
        )
    };
    let pods = world.admin.namespaced::<Pod>("default");
    pods.create(&pod("leaves", json!([]))).await.expect("created");
    pods.create(&pod("stays", json!([{"operator": "Exists"}]))).await.expect("created");
    world
        .becomes(
            vec![
                "node.kubernetes.io/unreachable:NoExecute".to_owned(),
                "node.kubernetes.io/unreachable:NoSchedule".to_owned(),
            ],
            async || {
                let node = nodes.get("n").await.expect("there");
                let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
                let mut all: Vec<String> =
                    taints.iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect();
                all.sort();
                all
            },
        )
        .await;
    world
        .becomes(vec!["stays".to_owned()], async || {
            let all = pods.list(&ListParams::default()).await.expect("pods").items;
            all.into_iter()
                .filter(|pod| pod.metadata.deletion_timestamp.is_none())
                .filter_map(|pod| pod.metadata.name)
                .collect()
        })
        .await;
    nodes.patch("n", &Patch::Merge(json!({"spec": {"unschedulable": true}}))).await.expect("cordoned");
    world
        .becomes(true, async || {
            let node: Object = world
                .admin
                .dynamic(&sampan_api::GroupVersionResource::new("", "v1", "nodes"), None)
                .get("n")
                .await
                .expect("there");
            node.to_value().to_string().contains("node.kubernetes.io/unschedulable")
        })
        .await;
    world.end().await;
}
