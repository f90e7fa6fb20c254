//! Every controller at work on an API server in this process, under Kubernetes' own roles, with a kubelet that makes
//! each pod ready at once.

use sampan_api::k8s::api::apps::v1::{Deployment, ReplicaSet};
use sampan_api::k8s::api::certificates::v1::CertificateSigningRequest;
use sampan_api::k8s::api::core::v1::{
    ConfigMap, Endpoints, Event, Namespace, Node, PersistentVolumeClaim, Pod, ReplicationController, ResourceQuota,
    Secret, Service, ServiceAccount,
};
use sampan_api::k8s::api::discovery::v1::EndpointSlice;
use sampan_api::k8s::api::networking::v1::IPAddress;
use sampan_api::k8s::api::policy::v1::PodDisruptionBudget;
use sampan_api::k8s::api::rbac::v1::ClusterRole;
use sampan_api::user::{GROUP_MASTERS, UserInfo};
use sampan_api::{Authorizer, Object};
use sampan_auth::Pki;
use sampan_auth::rbac::RbacAuthorizer;
use sampan_client::{Change, Client, DeleteParams, Informers, ListParams, Patch, Propagation};
use sampan_controllers::Settings;
use sampan_env::{Env, Tasks};
use sampan_testing::server::{Later, Parts, first_roles};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

struct World {
    admin: Client,
    service: sampan_client::ApiService,
    changes: watch::Receiver<u64>,
    tasks: Tasks,
}

async fn world() -> World {
    let (env, tasks) = (Env::system(), Tasks::new("test"));
    let guard = Later::<Arc<dyn Authorizer>>::default();
    let parts = Parts {
        tasks: tasks.clone(),
        authorizer: Arc::new(guard.clone()),
        namespaces: ["default", "kube-system", "kube-node-lease"].map(str::to_owned).into(),
        ..Parts::new(env.clone())
    };
    let server = parts.start().await;
    let service = server.service.clone();
    let own = Client::in_process(service.clone(), UserInfo::apiserver(), "test", &env);
    first_roles(&own).await;
    let informers = Informers::new(own, &env, &tasks);
    let rbac = RbacAuthorizer::start(&informers, &tasks).expect("an authorizer");
    rbac.wait_synced().await.expect("roles are read");
    guard.set(rbac);

    let client_of = {
        let (service, env) = (service.clone(), env.clone());
        move |user: UserInfo| Ok(Client::in_process(service.clone(), user, "test", &env))
    };
    let pki = tempfile::tempdir().expect("a folder");
    let authority = Arc::new(Pki::open(pki.path(), &env).expect("certificates"));
    sampan_controllers::start(sampan_controllers::Config {
        client_of: Arc::new(client_of),
        env: env.clone(),
        tasks: tasks.clone(),
        root_ca_pem: "pem".into(),
        authority: authority.clone(),
        secret_token: Arc::new(|namespace, account, _, secret| Ok(format!("{namespace}.{account}.{secret}"))),
        settings: Settings { node_grace: Duration::from_secs(1), ..Settings::default() },
    })
    .expect("controllers");
    let admin = Client::in_process(service.clone(), UserInfo::new("admin", [GROUP_MASTERS]), "test", &env);
    kubelet(&admin, &env, &tasks);
    let changes = changes(&admin, &env, &tasks);
    World { admin, service, changes, tasks }
}

/// Makes each pod ready, but for those of the image `broken`.
fn kubelet(admin: &Client, env: &Env, tasks: &Tasks) {
    let informers = Informers::new(admin.clone(), env, tasks);
    let mut pods = informers.of::<Pod>().expect("an informer").subscribe();
    let admin = admin.clone();
    tasks.spawn_until_cancelled(async move {
        loop {
            let Change::Applied { old: None, new } = pods.next().await else { continue };
            let pod = new.typed::<Pod>().expect("decodes");
            let image = pod.spec.as_ref().and_then(|spec| spec.containers[0].image.clone());
            if image.as_deref() == Some("broken") {
                continue;
            }
            let ip = format!("10.1.2.{}", new.mod_revision % 250 + 1);
            let ready = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
            let api = admin.namespaced::<Pod>(&new.key.namespace);
            // The pod may be gone already.
            api.patch_status(&new.key.name, &Patch::Strategic(ready)).await.ok();
        }
    });
}

fn of<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).expect("an object of the kind")
}

fn deployment(name: &str, replicas: i32, image: &str) -> Deployment {
    of(json!({
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": image}]}}},
    }))
}

/// Longest anything takes to become what it should.
const PATIENCE: Duration = Duration::from_secs(60);

/// Counts changes of everything that tests ask about.
fn changes(admin: &Client, env: &Env, tasks: &Tasks) -> watch::Receiver<u64> {
    let (sender, receiver) = watch::channel(0);
    let (sender, informers) = (Arc::new(sender), Informers::new(admin.clone(), env, tasks));
    let all = [
        informers.of::<CertificateSigningRequest>(),
        informers.of::<ClusterRole>(),
        informers.of::<ConfigMap>(),
        informers.of::<Deployment>(),
        informers.of::<EndpointSlice>(),
        informers.of::<Endpoints>(),
        informers.of::<Event>(),
        informers.of::<IPAddress>(),
        informers.of::<Namespace>(),
        informers.of::<Node>(),
        informers.of::<PersistentVolumeClaim>(),
        informers.of::<Pod>(),
        informers.of::<PodDisruptionBudget>(),
        informers.of::<ReplicationController>(),
        informers.of::<ReplicaSet>(),
        informers.of::<ResourceQuota>(),
        informers.of::<Secret>(),
        informers.of::<ServiceAccount>(),
    ];
    for informer in all {
        let sender = sender.clone();
        informer.expect("an informer").add_handler(move |_| sender.send_modify(|count| *count += 1));
    }
    receiver
}

impl World {
    /// Asks after each change until the answer is `expected`; tells what it was when it never is.
    async fn becomes<T: PartialEq + std::fmt::Debug>(&self, expected: T, mut ask: impl AsyncFnMut() -> T) {
        let mut changes = self.changes.clone();
        let mut last = None;
        let wait = async {
            loop {
                changes.mark_unchanged();
                let answer = ask().await;
                if answer == expected {
                    return;
                }
                last = Some(answer);
                changes.changed().await.expect("the informers live");
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("expected {expected:?}, was {last:?}");
        }
    }

    /// `image=pods` of each ReplicaSet with pods, by name of the image.
    async fn running(&self, namespace: &str) -> Vec<String> {
        let pods = self.admin.namespaced::<Pod>(namespace).list(&ListParams::default()).await.expect("pods").items;
        let mut counts = std::collections::BTreeMap::new();
        for pod in pods {
            let image = pod.spec.and_then(|spec| spec.containers[0].image.clone()).unwrap_or_default();
            *counts.entry(image).or_insert(0) += 1;
        }
        counts.iter().map(|(image, count)| format!("{image}={count}")).collect()
    }

    /// Waits for what the kubelet of this test writes once: a status that is written before it would be overwritten.
    async fn is_running(&self, name: &str) {
        let pods = self.admin.namespaced::<Pod>("default");
        let phase = async || pods.get(name).await.expect("there").status.and_then(|status| status.phase);
        self.becomes(Some("Running".to_owned()), phase).await;
    }

    async fn condition(&self, name: &str, kind: &str) -> String {
        let one: Deployment = self.admin.namespaced("default").get(name).await.expect("there");
        let generation = one.metadata.generation;
        let status = one.status.unwrap_or_default();
        if status.observed_generation != generation {
            return "not observed".into();
        }
        let conditions = status.conditions.unwrap_or_default();
        let one = conditions.iter().find(|condition| condition.type_ == kind);
        one.map_or(String::new(), |one| format!("{} {}", one.status, one.reason.as_deref().unwrap_or_default()))
    }

    async fn done(&self, name: &str) {
        self.becomes("True NewReplicaSetAvailable".to_owned(), async || self.condition(name, "Progressing").await)
            .await;
    }

    async fn end(self) {
        self.tasks.drain(Duration::from_secs(5)).await.expect("everything ends");
    }
}

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
async fn deletions_in_the_foreground_wait_and_orphans_stay() {
    let world = world().await;
    let deployments = world.admin.namespaced::<Deployment>("default");
    for name in ["front", "orphan"] {
        deployments.create(&deployment(name, 2, name)).await.expect("created");
        world.done(name).await;
    }
    let with = |propagation| DeleteParams { propagation: Some(propagation), ..DeleteParams::default() };
    deployments.delete("front", &with(Propagation::Foreground)).await.expect("going");
    world.becomes(true, async || deployments.get_opt("front").await.expect("answers").is_none()).await;
    assert_eq!(world.running("default").await, ["orphan=2"]);

    deployments.delete("orphan", &with(Propagation::Orphan)).await.expect("going");
    world.becomes(true, async || deployments.get_opt("orphan").await.expect("answers").is_none()).await;
    let sets = world.admin.namespaced::<ReplicaSet>("default").list(&ListParams::default()).await.expect("sets").items;
    assert_eq!(sets.len(), 1);
    assert!(sets[0].metadata.owner_references.iter().flatten().next().is_none());

    // One of the same selector takes it over: no pod is made anew.
    deployments.create(&deployment("orphan", 2, "orphan")).await.expect("created");
    world.done("orphan").await;
    assert_eq!(world.running("default").await, ["orphan=2"]);
    let after = world.admin.namespaced::<ReplicaSet>("default").list(&ListParams::default()).await.expect("sets").items;
    assert_eq!((after.len(), &after[0].metadata.uid), (1, &sets[0].metadata.uid));
    world.end().await;
}

/// A ConfigMap with these owners, each of which may be made to wait for it.
fn map(name: &str, owners: &[Value]) -> ConfigMap {
    of(json!({"metadata": {"name": name, "ownerReferences": owners}}))
}

fn owned_by(kind: &str, name: &str, uid: Option<&str>) -> Value {
    json!({"apiVersion": "v1", "kind": kind, "name": name, "uid": uid.expect("a uid"), "blockOwnerDeletion": true})
}

impl World {
    /// Names of the owners of a ConfigMap; `None`: it is gone.
    async fn owners(&self, name: &str) -> Option<Vec<String>> {
        let found = self.admin.namespaced::<ConfigMap>("default").get_opt(name).await.expect("answers")?;
        Some(found.metadata.owner_references.into_iter().flatten().map(|owner| owner.name).collect())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_false_reference_to_a_living_owner_costs_only_itself() {
    let world = world().await;
    world.admin.all::<Namespace>().create(&of(json!({"metadata": {"name": "other"}}))).await.expect("created");
    let (own, other) = (world.admin.namespaced::<ConfigMap>("default"), world.admin.namespaced::<ConfigMap>("other"));
    let owner = own.create(&map("owner", &[])).await.expect("created").metadata.uid;
    own.create(&map("kept", &[owned_by("ConfigMap", "owner", owner.as_deref())])).await.expect("created");
    // The same UID: of another kind, under another name, from another namespace.
    let lies = [("Secret", "owner"), ("ConfigMap", "nobody"), ("ConfigMap", "owner")];
    for (at, (kind, name)) in lies.iter().enumerate() {
        let lie = map(&format!("lie-{at}"), &[owned_by(kind, name, owner.as_deref())]);
        other.create(&lie).await.expect("created");
        world.becomes(true, async || other.get_opt(&format!("lie-{at}")).await.expect("answers").is_none()).await;
    }
    // It is looked at again, and stays.
    let owners = [owned_by("ConfigMap", "owner", owner.as_deref()), owned_by("ConfigMap", "gone", Some("never"))];
    own.patch("kept", &Patch::Merge(json!({"metadata": {"ownerReferences": owners}}))).await.expect("patched");
    world.becomes(Some(vec!["owner".to_owned()]), async || world.owners("kept").await).await;
    own.delete("owner", &DeleteParams::default()).await.expect("deleted");
    world.becomes(None, async || world.owners("kept").await).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_in_the_foreground_waits_for_nobody_that_another_keeps_or_that_no_longer_blocks() {
    let world = world().await;
    let maps = world.admin.namespaced::<ConfigMap>("default");
    let mut uids = Vec::new();
    for name in ["goes", "stays", "waits"] {
        uids.push(maps.create(&map(name, &[])).await.expect("created").metadata.uid);
    }
    let owners =
        [owned_by("ConfigMap", "goes", uids[0].as_deref()), owned_by("ConfigMap", "stays", uids[1].as_deref())];
    maps.create(&map("shared", &owners)).await.expect("created");
    let mut held = map("held", &[owned_by("ConfigMap", "waits", uids[2].as_deref())]);
    held.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
    maps.create(&held).await.expect("created");

    let foreground = DeleteParams { propagation: Some(Propagation::Foreground), ..DeleteParams::default() };
    maps.delete("goes", &foreground).await.expect("going");
    world.becomes(None, async || world.owners("goes").await).await;
    assert_eq!(world.owners("shared").await, Some(vec!["stays".to_owned()]));

    maps.delete("waits", &foreground).await.expect("going");
    world.becomes(true, async || maps.get("held").await.expect("held").metadata.deletion_timestamp.is_some()).await;
    assert!(world.owners("waits").await.is_some());
    let mut owner = owned_by("ConfigMap", "waits", uids[2].as_deref());
    owner["blockOwnerDeletion"] = false.into();
    maps.patch("held", &Patch::Merge(json!({"metadata": {"ownerReferences": [owner]}}))).await.expect("patched");
    world.becomes(None, async || world.owners("waits").await).await;
    world.end().await;
}

/// Objects that own each other: for each, its owners and whether their deletion waits for it; and who is deleted, how.
struct OwnerGraph {
    owners: Vec<Vec<(usize, bool)>>,
    deleted: Vec<(usize, Propagation)>,
}

impl OwnerGraph {
    /// Each object owns the next, the last one the first. Bit `n` of `blocking`: whether the `n`th waits for the next.
    fn ring(size: usize, blocking: usize, deleted: Vec<usize>) -> Self {
        let owners = (0..size).map(|at| (at + size - 1) % size).map(|owner| vec![(owner, blocking >> owner & 1 == 1)]);
        Self {
            owners: owners.collect(),
            deleted: deleted.into_iter().map(|at| (at, Propagation::Foreground)).collect(),
        }
    }

    fn random(env: &Env) -> Self {
        let below = |bound: u64| env.random_u64() % bound;
        let size = 2 + below(5) as usize;
        let owners = (0..size).map(|_| {
            let chosen = (0..size).filter(|_| below(3) == 0);
            chosen.map(|owner| (owner, below(3) != 0)).collect()
        });
        let owners = owners.collect();
        let mut deleted: Vec<(usize, Propagation)> = Vec::new();
        for at in (0..size).filter(|_| below(2) == 0) {
            let how = match below(4) {
                0 => Propagation::Background,
                1 => Propagation::Orphan,
                _ => Propagation::Foreground,
            };
            deleted.push((at, how));
        }
        Self { owners, deleted }
    }

    /// Puts it into the API under names that begin with `name`, and asks for the deletions.
    async fn put(&self, world: &World, name: &str) {
        let maps = world.admin.namespaced::<ConfigMap>("default");
        let name_of = |at: usize| format!("{name}-{at}");
        let mut uids = Vec::new();
        for at in 0..self.owners.len() {
            uids.push(maps.create(&map(&name_of(at), &[])).await.expect("created").metadata.uid);
        }
        for (at, owners) in self.owners.iter().enumerate() {
            let references = owners.iter().map(|(owner, blocks)| {
                let mut reference = owned_by("ConfigMap", &name_of(*owner), uids[*owner].as_deref());
                reference["blockOwnerDeletion"] = (*blocks).into();
                reference
            });
            let patch = json!({"metadata": {"ownerReferences": references.collect::<Vec<_>>()}});
            maps.patch(&name_of(at), &Patch::Merge(patch)).await.expect("patched");
        }
        for (at, how) in &self.deleted {
            let params = DeleteParams { propagation: Some(*how), ..DeleteParams::default() };
            // One that another's deletion took away before.
            if let Err(error) = maps.delete(&name_of(*at), &params).await {
                assert!(error.is_not_found(), "{error}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_deletion_ends_whoever_owns_whom() {
    let world = world().await;
    let mut graphs = Vec::new();
    for size in 1..=3 {
        for blocking in 0..1 << size {
            graphs.push(OwnerGraph::ring(size, blocking, vec![0]));
            graphs.push(OwnerGraph::ring(size, blocking, (0..size).collect()));
        }
    }
    let env = Env::simulated(7, std::time::SystemTime::UNIX_EPOCH);
    graphs.extend((0..60).map(|_| OwnerGraph::random(&env)));
    for (at, graph) in graphs.iter().enumerate() {
        graph.put(&world, &format!("g{at}")).await;
    }
    let maps = world.admin.namespaced::<ConfigMap>("default");
    // Of a ring whose first was deleted nothing is left, whoever blocks whom.
    let rings = 2 * (2 + 4 + 8);
    let of_ring = |name: &str| (0..rings).any(|at| name.starts_with(&format!("g{at}-")));
    world
        .becomes(Vec::<String>::new(), async || {
            let all = maps.list_all(&ListParams::default()).await.expect("maps").items;
            let name = |one: &ConfigMap| one.metadata.name.clone().unwrap_or_default();
            let left = all.iter().filter(|one| one.metadata.deletion_timestamp.is_some() || of_ring(&name(one)));
            left.map(name).collect()
        })
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_is_furnished_and_emptied() {
    let world = world().await;
    world.admin.all::<Namespace>().create(&of(json!({"metadata": {"name": "shop"}}))).await.expect("created");
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
    world.becomes(true, async || namespaces.get_opt("shop").await.expect("answers").is_none()).await;
    assert!(world.running("shop").await.is_empty());
    world.end().await;
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_of_tokens_is_filled_and_goes_with_its_account() {
    let world = world().await;
    let accounts = world.admin.namespaced::<ServiceAccount>("default");
    let secrets = world.admin.namespaced::<Secret>("default");
    let secret = |name: &str, account: &str| -> Secret {
        serde_json::from_value(json!({
            "metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": account}},
            "type": "kubernetes.io/service-account-token",
        }))
        .expect("a Secret")
    };
    let bot: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": "bot"}})).expect("an account");
    let uid = accounts.create(&bot).await.expect("made").metadata.uid;
    secrets.create(&secret("s", "bot")).await.expect("made");
    secrets.create(&secret("of-nobody", "nobody")).await.expect("made");
    world.becomes(true, async || secrets.get("of-nobody").await.is_err()).await;
    world.becomes(true, async || secrets.get("s").await.is_ok_and(|secret| secret.data.is_some())).await;
    let filled = secrets.get("s").await.expect("there");
    let data = filled.data.expect("filled");
    let text = |key: &str| String::from_utf8(data[key].0.clone()).expect("text");
    assert_eq!(
        (text("token"), text("namespace"), text("ca.crt")),
        ("default.bot.s".into(), "default".into(), "pem".into())
    );
    assert_eq!(filled.metadata.annotations.expect("annotated").get("kubernetes.io/service-account.uid").cloned(), uid);
    accounts.delete("bot", &DeleteParams::default()).await.expect("deleted");
    world.becomes(true, async || secrets.get("s").await.is_err()).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_in_another_namespace_is_none_and_that_is_told() {
    let world = world().await;
    let maps = |namespace: &str| world.admin.namespaced::<ConfigMap>(namespace);
    let owner = maps("kube-system").create(&of(json!({"metadata": {"name": "owner"}}))).await.expect("created");
    let uid = owner.metadata.uid.expect("a UID");
    let owned = json!({"metadata": {"name": "owned", "ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}]}});
    maps("default").create(&of(owned)).await.expect("created");
    let events = world.admin.namespaced::<Event>("default");
    let told = async || {
        let all = events.list(&ListParams::default()).await.expect("events").items;
        let found = all.into_iter().find(|one| one.reason.as_deref() == Some("OwnerRefInvalidNamespace"));
        found.and_then(|one| one.message)
    };
    let text = format!(
        "ownerRef [v1/ConfigMap, namespace: default, name: owner, uid: {uid}] does not exist in namespace \"default\""
    );
    world.becomes(Some(text), told).await;
    world.becomes(true, async || maps("default").get_opt("owned").await.expect("an answer").is_none()).await;
    assert!(maps("kube-system").get_opt("owner").await.expect("an answer").is_some());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubelets_certificate_is_approved_and_signed() {
    let world = world().await;
    let bindings = sampan_api::GroupVersionResource::new("rbac.authorization.k8s.io", "v1", "clusterrolebindings");
    let roles = ["system:node-bootstrapper", "system:certificates.k8s.io:certificatesigningrequests:nodeclient"];
    for (i, role) in roles.into_iter().enumerate() {
        let bind = Object::from_value(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("join-{i}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "Group", "name": "system:bootstrappers", "apiGroup": "rbac.authorization.k8s.io"}],
        }));
        world.admin.dynamic(&bindings, None).create(&bind.expect("an object")).await.expect("bound");
    }
    let request = |name: &str, group: &str| -> CertificateSigningRequest {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, group);
        params.distinguished_name.push(rcgen::DnType::CommonName, "system:node:n1");
        let key = rcgen::KeyPair::generate().expect("a key");
        let pem = params.serialize_request(&key).expect("a request").pem().expect("PEM");
        let spec = json!({
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet", "usages": ["digital signature", "client auth"],
            "request": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pem),
        });
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).expect("a request")
    };
    let joining = UserInfo::new("system:bootstrap:abcdef", ["system:bootstrappers"]);
    let env = Env::system();
    let client = Client::in_process(world.service.clone(), joining, "test", &env);
    let requests = world.admin.all::<CertificateSigningRequest>();
    // Once the authorizer has seen the bindings.
    let bound = async {
        while client.all::<CertificateSigningRequest>().create(&request("good", "system:nodes")).await.is_err() {
            env.sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, bound).await.expect("the roles come into force");
    client.all::<CertificateSigningRequest>().create(&request("bad", "dev")).await.expect("asked");
    let state = async |name: &str| {
        let status = requests.get(name).await.expect("there").status.unwrap_or_default();
        let conditions: Vec<String> = status.conditions.into_iter().flatten().map(|one| one.type_).collect();
        (conditions.join(","), status.certificate.is_some())
    };
    world.becomes(("Approved".to_owned(), true), async || state("good").await).await;
    assert_eq!(state("bad").await, (String::new(), false), "no kubelet: a person decides");
    let mut approved = requests.get("bad").await.expect("there");
    approved.status = serde_json::from_value(json!({"conditions": [{"type": "Approved", "status": "True"}]})).ok();
    let approved: sampan_client::Result<CertificateSigningRequest> =
        requests.update_subresource("bad", "approval", &approved).await;
    approved.expect("approved");
    world.becomes(("Approved,Failed".to_owned(), false), async || state("bad").await).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregated_role_gets_the_rules_that_it_selects() {
    let world = world().await;
    let roles = world.admin.all::<ClusterRole>();
    let verbs = async |name: &str| {
        let rules = roles.get(name).await.expect("there").rules.unwrap_or_default();
        rules.iter().flat_map(|rule| rule.verbs.clone()).collect::<Vec<_>>()
    };
    let role = |name: &str, labels: Value, verb: &str| -> ClusterRole {
        let rules = json!([{"apiGroups": ["x.io"], "resources": ["things"], "verbs": [verb]}]);
        of(json!({"metadata": {"name": name, "labels": labels}, "rules": rules}))
    };
    let selector = json!({"clusterRoleSelectors": [{"matchLabels": {"to": "all"}}]});
    roles.create(&of(json!({"metadata": {"name": "all"}, "aggregationRule": selector}))).await.expect("made");
    roles.create(&role("one", json!({"to": "all"}), "get")).await.expect("made");
    roles.create(&role("two", json!({"to": "all"}), "list")).await.expect("made");
    world.becomes(vec!["get".to_owned(), "list".to_owned()], async || verbs("all").await).await;
    // The controller owns them as it does in Kubernetes, until there are none.
    let owners = async |name: &str| {
        let managed = roles.get(name).await.expect("there").metadata.managed_fields.unwrap_or_default();
        let named =
            managed.into_iter().filter(|one| one.manager.as_deref() == Some("clusterrole-aggregation-controller"));
        named.map(|one| one.operation.unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(owners("all").await, ["Apply"]);
    roles.delete("one", &DeleteParams::default()).await.expect("deleted");
    world.becomes(vec!["list".to_owned()], async || verbs("all").await).await;
    roles.delete("two", &DeleteParams::default()).await.expect("deleted");
    world.becomes(Vec::<String>::new(), async || verbs("all").await).await;
    assert_eq!(owners("all").await, Vec::<String>::new());
    // What somebody else set goes too.
    let own = Patch::Merge(json!({"rules": [{"apiGroups": ["x.io"], "resources": ["things"], "verbs": ["own"]}]}));
    roles.patch("all", &own).await.expect("patched");
    world.becomes(Vec::<String>::new(), async || verbs("all").await).await;
    world.end().await;
}
