//! Controllers of pods: Deployments, ReplicationControllers with their budget, and the addresses of what runs.

use crate::world::{deployment, of, world};
use sampan_api::k8s::api::apps::v1::{Deployment, ReplicaSet};
use sampan_api::k8s::api::core::v1::{Endpoints, Event, Pod, ReplicationController, Service};
use sampan_api::k8s::api::discovery::v1::EndpointSlice;
use sampan_api::k8s::api::networking::v1::IPAddress;
use sampan_api::k8s::api::policy::v1::PodDisruptionBudget;
use sampan_client::{DeleteParams, ListParams, Patch, Propagation};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_rolls_scales_rolls_back_and_is_collected() {
    let world = world().await;
    let deployments = world.admin.namespaced::<Deployment>("default");
    deployments.create(&deployment("web", 3, "v1")).await.expect("created");
    world.becomes(vec!["v1=3".to_owned()], async || world.running("default").await).await;
    world.done("web").await;

    let image = |image: &str| {
        Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}))
    };
    deployments.patch("web", &image("v2")).await.expect("patched");
    world.becomes(vec!["v2=3".to_owned()], async || world.running("default").await).await;
    world.done("web").await;

    deployments.patch("web", &Patch::Merge(json!({"spec": {"replicas": 5}}))).await.expect("scaled");
    world.becomes(vec!["v2=5".to_owned()], async || world.running("default").await).await;
    world.done("web").await;

    deployments.patch("web", &image("broken")).await.expect("patched");
    world.becomes("True ReplicaSetUpdated".to_owned(), async || world.condition("web", "Progressing").await).await;
    deployments.patch("web", &image("v1")).await.expect("rolled back");
    world.becomes(vec!["v1=5".to_owned()], async || world.running("default").await).await;
    world.done("web").await;
    let web = deployments.get("web").await.expect("there");
    let annotations = web.metadata.annotations.expect("annotations");
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "4");
    let sets = world.admin.namespaced::<ReplicaSet>("default");
    let all = sets.list(&ListParams::labels("app=web")).await.expect("sets").items;
    let revisions: Vec<&str> = all
        .iter()
        .map(|set| {
            set.metadata.annotations.as_ref().expect("annotations")["deployment.kubernetes.io/revision"].as_str()
        })
        .collect();
    assert_eq!(revisions.len(), 3, "{revisions:?}");
    assert!(["4", "2", "3"].iter().all(|number| revisions.contains(number)), "{revisions:?}");

    let events = world.admin.namespaced::<Event>("default");
    world
        .becomes(true, async || {
            let told = events.list(&ListParams::default()).await.expect("events").items;
            let has = |source: &str, reason: &str| {
                told.iter().any(|one| {
                    one.reason.as_deref() == Some(reason)
                        && one.source.as_ref().and_then(|source| source.component.as_deref()) == Some(source)
                })
            };
            has("deployment-controller", "ScalingReplicaSet")
                && has("replicaset-controller", "SuccessfulCreate")
                && has("replicaset-controller", "SuccessfulDelete")
        })
        .await;

    deployments.delete("web", &DeleteParams::default()).await.expect("deleted");
    world.becomes(Vec::<String>::new(), async || world.running("default").await).await;
    world.becomes(0, async || sets.list(&ListParams::default()).await.expect("sets").items.len()).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_addresses_of_a_services_pods_are_kept_and_go_with_it() {
    let world = world().await;
    let services = world.admin.namespaced::<Service>("default");
    // The test's pods are on no node: their Service has them all the same.
    let spec = |selector: Value| {
        json!({"selector": selector, "publishNotReadyAddresses": true,
        "ports": [{"name": "http", "port": 80, "targetPort": 8080}]})
    };
    let web = json!({"metadata": {"name": "web"}, "spec": spec(json!({"app": "web"}))});
    let web = services.create(&of(web)).await.expect("a Service");
    let ip = web.spec.and_then(|spec| spec.cluster_ip).expect("an address");
    let endpoints = world.admin.namespaced::<Endpoints>("default");
    let slices = world.admin.namespaced::<EndpointSlice>("default");
    let counts = async || {
        let old = endpoints.get_opt("web").await.expect("an answer").map(|one| {
            let subsets = one.subsets.unwrap_or_default();
            subsets.iter().map(|subset| subset.addresses.as_ref().map_or(0, Vec::len)).sum::<usize>()
        });
        let mut new: Vec<usize> = Vec::new();
        let found = slices.list(&ListParams::labels("kubernetes.io/service-name=web")).await.expect("slices").items;
        new.extend(found.iter().map(|slice| slice.endpoints.len()));
        (old, new)
    };
    world.becomes((Some(0), vec![0]), counts).await;
    let deployments = world.admin.namespaced::<Deployment>("default");
    deployments.create(&deployment("web", 3, "v1")).await.expect("created");
    world.becomes((Some(3), vec![3]), counts).await;
    deployments.patch("web", &Patch::Merge(json!({"spec": {"replicas": 1}}))).await.expect("scaled");
    world.becomes((Some(1), vec![1]), counts).await;
    let addresses = world.admin.all::<IPAddress>();
    let parent = async || {
        let one = addresses.get_opt(&ip).await.expect("an answer");
        one.and_then(|one| one.spec).map(|spec| spec.parent_ref.name)
    };
    world.becomes(Some("web".to_owned()), parent).await;

    let by_hand = json!({"metadata": {"name": "hand"}, "spec": {"ports": [{"port": 80}]}});
    services.create(&of(by_hand)).await.expect("a Service");
    let written = |ip: &str| json!({"metadata": {"name": "hand"}, "subsets": [{"addresses": [{"ip": ip}], "ports": [{"port": 80}]}]});
    endpoints.create(&of(written("10.9.8.7"))).await.expect("Endpoints");
    let mirrored = async || {
        let found = slices.list(&ListParams::labels("kubernetes.io/service-name=hand")).await.expect("slices").items;
        found.iter().flat_map(|slice| slice.endpoints.iter().flat_map(|one| one.addresses.clone())).collect::<Vec<_>>()
    };
    world.becomes(vec!["10.9.8.7".to_owned()], mirrored).await;
    endpoints.patch("hand", &Patch::Merge(written("10.9.8.6"))).await.expect("changed");
    world.becomes(vec!["10.9.8.6".to_owned()], mirrored).await;

    for name in ["web", "hand"] {
        services.delete(name, &DeleteParams::default()).await.expect("deleted");
    }
    world.becomes((None, Vec::new()), counts).await;
    world.becomes(Vec::<String>::new(), mirrored).await;
    world.becomes(None, parent).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replication_controllers_pods_are_evicted_as_their_budget_allows() {
    let world = world().await;
    let controllers = world.admin.namespaced::<ReplicationController>("default");
    let web = json!({"metadata": {"name": "web"}, "spec": {"replicas": 2, "selector": {"app": "web"}, "template": {
        "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "v1"}]}}}});
    controllers.create(&of(web)).await.expect("created");
    let ready = async || {
        let one = controllers.get("web").await.expect("there");
        one.status.map_or(0, |status| status.ready_replicas.unwrap_or(0))
    };
    world.becomes(2, ready).await;
    let budgets = world.admin.namespaced::<PodDisruptionBudget>("default");
    let budget =
        json!({"metadata": {"name": "b"}, "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    budgets.create(&of(budget)).await.expect("created");
    let counted = async || {
        let status = budgets.get("b").await.expect("there").status.unwrap_or_default();
        (status.expected_pods, status.current_healthy, status.desired_healthy, status.disruptions_allowed)
    };
    world.becomes((2, 2, 1, 1), counted).await;
    // The next pods do not become ready: what the first eviction took stays taken.
    let broken = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "broken"}]}}}});
    controllers.patch("web", &Patch::Merge(broken)).await.expect("changed");
    let observed = async || {
        let one = controllers.get("web").await.expect("there");
        one.status.and_then(|status| status.observed_generation) == one.metadata.generation
    };
    world.becomes(true, observed).await;
    let pods = world.admin.namespaced::<Pod>("default");
    let all = pods.list(&ListParams::default()).await.expect("pods").items;
    let name = |at: usize| all[at].metadata.name.clone().expect("a name");
    let evict = async |name: String| {
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
        pods.create_subresource::<_, Value>(&name, "eviction", &eviction).await.map_err(|error| error.code())
    };
    evict(name(0)).await.expect("one may go");
    world.becomes((2, 1, 1, 0), counted).await;
    assert_eq!(evict(name(1)).await.err(), Some(429));
    controllers
        .delete("web", &DeleteParams { propagation: Some(Propagation::Foreground), ..DeleteParams::default() })
        .await
        .expect("deleted");
    world.becomes(0, async || pods.list(&ListParams::default()).await.expect("pods").items.len()).await;
    world.end().await;
}
