//! Other people's pods beside pods and policies that would hold up everybody's.
//!
//! Each case runs beside pods that are made at a fixed rate in a namespace of their own. Its counts are asserted always;
//! with SAMPAN_TIER=nightly the times too: pods of others bound within 100 ms, memory given back within 5 s.

use parking_lot::Mutex;
use sampan_api::k8s::api::core::v1::{Namespace, Pod, ServiceAccount};
use sampan_api::scheduling::SchedulingPolicy;
use sampan_client::{Change, Client, DeleteParams, InformerSpec, Informers, ListParams};
use sampan_env::{Env, Tasks};
use sampan_tests::measure::{connections, percentile, resident_kib};
use sampan_tests::policies::{HOSTILE, QUIET, import};
use sampan_tests::{PATIENCE, Sampan, is_nightly, now, scheduling};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Nodes that only exist as objects.
const NODES: usize = 40;
const RATE: Duration = Duration::from_millis(50);
/// p99 from the create to the binding, of pods that have nothing to do with the case.
const BOUND: Duration = Duration::from_millis(100);
/// Over what the process held before the case.
const LEFT_KIB: u64 = 32 << 10;
/// How soon memory is given back after the last of the case was deleted.
const GIVEN_BACK: Duration = Duration::from_secs(5);
/// What the database may grow by in a case, with all that it is told of other people's pods.
const STORED: u64 = 24 << 20;
/// The same where 8 pods of 2.1 MB are made, told why they wait, and deleted.
const STORED_OF_LARGE: u64 = 96 << 20;

/// Pods of the stream in one case.
fn count() -> usize {
    if is_nightly() { 400 } else { 60 }
}

fn of<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("an object of this test: {error}"))
}

fn pod(name: &str, more: Value) -> Pod {
    let mut pod = json!({"metadata": {"name": name}, "spec": {"containers": [
        {"name": "c", "image": "sampan/hello:v1", "resources": {"requests": {"cpu": "1m"}}}]}});
    for part in ["metadata", "spec"] {
        for (key, value) in more[part].as_object().into_iter().flatten() {
            pod[part][key] = value.clone();
        }
    }
    of(pod)
}

fn policy(name: &str, component: &str, more: Value) -> SchedulingPolicy {
    let mut spec = json!({"component": component, "failurePolicy": "Ignore"});
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    of(json!({"metadata": {"name": name}, "spec": spec}))
}

fn misdeed(what: &str, at: &str) -> Value {
    json!({"args": {"what": what, "at": at}})
}

/// When each pod of a namespace was seen to be bound.
type Bound = Arc<Mutex<HashMap<String, Instant>>>;

struct Cluster {
    sampan: Sampan,
    client: Client,
    tasks: Tasks,
    bound: Bound,
    made: usize,
    _folder: tempfile::TempDir,
}

impl Cluster {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let sampan = Sampan::up(folder.path(), &["--components", "apiserver,scheduler"]);
        let tasks = Tasks::new("test");
        let clients = connections(&sampan, &tasks, 1).expect("a client");
        scheduling::nodes(&clients, NODES).await.expect("nodes");
        let client = clients[0].clone();
        for name in ["others", "case"] {
            client.all::<Namespace>().create(&of(json!({"metadata": {"name": name}}))).await.expect("a namespace");
            // No controller makes it here, and pods are of one.
            let account = of(json!({"metadata": {"name": "default"}}));
            client.namespaced::<ServiceAccount>(name).create(&account).await.expect("an account");
        }
        import(&sampan, HOSTILE, "example/hostile:v1");
        import(&sampan, QUIET, "example/quiet-nodes:v1");
        let informers = Informers::new(client.clone(), &Env::system(), &tasks);
        let informer = informers.select(InformerSpec::of::<Pod>().namespace("others")).expect("an informer");
        let bound = Bound::default();
        let seen = Arc::clone(&bound);
        informer.add_handler(move |change| {
            let Change::Applied { new, .. } = change else { return };
            let Ok(pod) = new.typed::<Pod>() else { return };
            if pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()) {
                seen.lock().entry(new.key.name.to_string()).or_insert_with(now);
            }
        });
        informer.wait_synced().await.expect("it can be watched");
        let mut cluster = Self { sampan, client, tasks, bound, made: 0, _folder: folder };
        // What is cached and compiled lazily is there before anything is compared.
        cluster.stream(count()).await;
        cluster
    }

    fn pods(&self, namespace: &str) -> sampan_client::Api<Pod> {
        self.client.namespaced::<Pod>(namespace)
    }

    /// Makes pods at the fixed rate and waits until all are bound; how long each took, sorted.
    async fn stream(&mut self, count: usize) -> Vec<Duration> {
        let mut tick = tokio::time::interval(RATE);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let api = self.pods("others");
        let mut sent: HashMap<String, Instant> = HashMap::new();
        for _ in 0..count {
            let due = tick.tick().await.into_std();
            self.made += 1;
            let name = format!("p{}", self.made);
            api.create(&pod(&name, json!({}))).await.expect("created");
            sent.insert(name, due);
        }
        let all = async {
            while sent.keys().any(|name| !self.bound.lock().contains_key(name)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("every pod of others is bound");
        let bound = std::mem::take(&mut *self.bound.lock());
        let mut took: Vec<Duration> = sent.iter().map(|(name, sent)| bound[name].duration_since(*sent)).collect();
        took.sort_unstable();
        took
    }

    fn resident(&self) -> u64 {
        resident_kib(self.sampan.pid()).expect("it runs")
    }

    /// Bytes of the database and its log.
    fn stored(&self) -> u64 {
        let files = std::fs::read_dir(self.sampan.folder.join("data")).expect("the data directory");
        let database = files.filter_map(Result::ok).filter(|file| file.file_name().to_string_lossy().contains(".db"));
        database.map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum()
    }

    async fn create(&self, policy: SchedulingPolicy) {
        self.client.all::<SchedulingPolicy>().create(&policy).await.expect("created");
    }

    /// Asks until the condition Ready of the policy has a status and reason as told; how long it took.
    async fn ready(&self, name: &str, is: impl Fn(&str, &str) -> bool) -> Duration {
        let begun = now();
        loop {
            let policy = self.client.all::<SchedulingPolicy>().get(name).await.expect("there");
            let conditions = policy.status.map(|status| status.conditions).unwrap_or_default();
            if conditions.iter().any(|one| one.type_ == "Ready" && is(&one.status, &one.reason)) {
                return now().duration_since(begun);
            }
            assert!(now().duration_since(begun) < PATIENCE, "{name} never became as told: {conditions:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Nothing is held against the policies that everybody's pods are placed by.
    async fn built_ins_are_well(&self) {
        let policies = self.client.all::<SchedulingPolicy>().list(&ListParams::default()).await.expect("listed");
        for policy in policies.items {
            let (name, status) = (policy.metadata.name.unwrap_or_default(), policy.status.unwrap_or_default());
            if policy.spec.component.starts_with("sampan/") {
                assert!(status.faults.is_empty(), "{name}: {:?}", status.faults);
            }
        }
    }

    /// Runs a case beside the stream. `end` has deleted all of it when it returns. `stored_max`: bytes that the database
    /// may grow by.
    async fn beside(
        &mut self,
        what: &str,
        stored_max: u64,
        begin: impl AsyncFnOnce(&Self),
        end: impl AsyncFnOnce(&Self),
    ) {
        let (alone, before, stored) = (self.stream(count()).await, self.resident(), self.stored());
        begin(self).await;
        let took = self.stream(count()).await;
        let peak = self.resident();
        end(self).await;
        self.built_ins_are_well().await;
        let grown = self.stored().saturating_sub(stored);
        let deleted = now();
        while is_nightly() && self.resident() > before + LEFT_KIB && now().duration_since(deleted) < GIVEN_BACK {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!(
            "{what}: others bound p50 {:?}, p99 {:?} (alone {:?}); memory {} MiB, with it {}, {:?} after it {}; database \
             +{} KiB",
            percentile(&took, 50),
            percentile(&took, 99),
            percentile(&alone, 99),
            before >> 10,
            peak >> 10,
            now().duration_since(deleted),
            self.resident() >> 10,
            grown >> 10,
        );
        assert!(grown <= stored_max, "{what}: the database grew by {grown} bytes");
        if is_nightly() {
            assert!(percentile(&took, 99) <= BOUND, "{what}: pods of others wait");
            assert!(self.resident() <= before + LEFT_KIB, "{what}: memory is not given back in {GIVEN_BACK:?}");
        }
    }

    async fn delete_pods(&self) {
        let pods = self.pods("case");
        pods.delete_collection(&DeleteParams::default(), &ListParams::default()).await.expect("deleted");
    }

    async fn delete(&self, policy: &str) {
        self.client.all::<SchedulingPolicy>().delete(policy, &DeleteParams::default()).await.expect("deleted");
    }

    async fn end(self) {
        self.tasks.drain(Duration::from_secs(5)).await.expect("everything ends");
    }
}

/// Why the pod is not placed: the message of its condition PodScheduled.
async fn message(cluster: &Cluster, name: &str) -> String {
    let wait = async {
        loop {
            let pod = cluster.pods("case").get(name).await.expect("there");
            let conditions = pod.status.and_then(|status| status.conditions).unwrap_or_default();
            if let Some(found) = conditions.into_iter().find(|one| one.type_ == "PodScheduled" && one.status == "False")
            {
                return found.message.unwrap_or_default();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{name} is never refused"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_of_220_000_values_concern_no_others() {
    let mut cluster = Cluster::new().await;
    let begin = async |cluster: &Cluster| {
        let values: Vec<String> = (0..220_000).map(|at| format!("v{at}")).collect();
        let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms":
            [{"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": values}]}]}}});
        for at in 0..8 {
            let big = pod(&format!("big-{at}"), json!({"spec": {"affinity": affinity}}));
            cluster.pods("case").create(&big).await.expect("a pod within the limits of objects");
        }
    };
    let end = async |cluster: &Cluster| {
        for at in 0..8 {
            let message = message(cluster, &format!("big-{at}")).await;
            assert!(message.contains("the pod is too large to be decided on"), "{message}");
        }
        cluster.delete_pods().await;
    };
    cluster.beside("8 pods of 220,000 values", STORED_OF_LARGE, begin, end).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_end_concern_no_others() {
    let mut cluster = Cluster::new().await;
    for (what, expected) in [("reasons", "Suspended"), ("long", "Suspended"), ("verbose", "Live")] {
        let begin = async |cluster: &Cluster| {
            cluster.create(policy(what, "example/hostile:v1", misdeed(what, "filter"))).await;
            cluster.ready(what, |status, _| status == "True").await;
            for at in 0..60 {
                let metadata = json!({"annotations": {"example.com/verbose": "true"}});
                let one = pod(&format!("{what}-{at}"), json!({"metadata": metadata}));
                cluster.pods("case").create(&one).await.expect("created");
            }
        };
        let end = async |cluster: &Cluster| {
            if what == "verbose" {
                for at in 0..60 {
                    let message = message(cluster, &format!("{what}-{at}")).await;
                    assert!(message.len() <= 8 << 10, "{} bytes in a condition", message.len());
                }
            }
            cluster.ready(what, |_, reason| reason == expected).await;
            cluster.delete(what).await;
            cluster.delete_pods().await;
        };
        cluster.beside(&format!("a policy that answers {what}"), STORED, begin, end).await;
    }
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_that_burn_concern_no_others() {
    let mut cluster = Cluster::new().await;
    let fixture = |at: usize| {
        json!({"name": format!("f{at}"), "node": {"metadata": {"name": "n"}}, "filter": "Pass",
            "pod": {"metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": []}}})
    };
    let fixtures: Vec<Value> = (0..256).map(fixture).collect();
    let begin = async |cluster: &Cluster| {
        for name in ["burns-a", "burns-b"] {
            let mut spec = misdeed("burn-long", "new");
            spec["fixtures"] = json!(fixtures);
            spec["budget"] = json!({"cpuMilliseconds": 1000});
            cluster.create(policy(name, "example/hostile:v1", spec)).await;
        }
        cluster.create(policy("quiet", "example/quiet-nodes:v1", json!({}))).await;
        let took = cluster.ready("quiet", |status, _| status == "True").await;
        println!("a new policy beside two that are checked for long is live after {took:?}");
        let burns = cluster.client.all::<SchedulingPolicy>().get("burns-a").await.expect("there");
        let conditions = burns.status.map(|status| status.conditions).unwrap_or_default();
        assert!(!conditions.iter().any(|one| one.type_ == "Ready"), "it waited for their end: {conditions:?}");
    };
    let end = async |cluster: &Cluster| {
        for name in ["burns-a", "burns-b", "quiet"] {
            cluster.delete(name).await;
        }
    };
    cluster.beside("256 fixtures of 0.7 s each, twice", STORED, begin, end).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_of_policies_is_bounded_and_given_back() {
    let mut cluster = Cluster::new().await;
    let names = ["large-a", "large-b", "large-c", "large-d"];
    let begin = async |cluster: &Cluster| {
        for (at, name) in names.iter().enumerate() {
            let mut spec = misdeed("hold", "new");
            // Different figures: no two share an instance.
            spec["budget"] = json!({"cpuMilliseconds": 1000, "memory": format!("{}Mi", 480 + at)});
            cluster.create(policy(name, "example/hostile:v1", spec)).await;
        }
        for name in names {
            cluster.ready(name, |_, reason| reason == "Live" || reason == "InsufficientMemory").await;
        }
        let policies = cluster.client.all::<SchedulingPolicy>().list(&ListParams::default()).await.expect("listed");
        let large = policies.items.iter().filter(|one| one.spec.component.starts_with("example/hostile"));
        let conditions = large.flat_map(|one| one.status.iter().flat_map(|status| &status.conditions));
        let live = conditions.filter(|one| one.type_ == "Ready" && one.status == "True").count();
        assert_eq!(live, 1, "there is room for one of them");
    };
    let end = async |cluster: &Cluster| {
        for name in names {
            cluster.delete(name).await;
        }
    };
    cluster.beside("four policies of 480 MiB", STORED, begin, end).await;
    cluster.end().await;
}
