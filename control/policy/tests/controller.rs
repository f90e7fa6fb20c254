//! The controller on an API server in this process: who is waited for, and how often an image is read.

#[expect(dead_code, reason = "these tests need less of the guests than others")]
mod guests;

use async_trait::async_trait;
use guests::{World, bytes};
use parking_lot::Mutex;
use sampan_api::scheduling::{Budget, Fixture, Mode, SchedulingPolicy, SchedulingPolicySpec, SchedulingPolicyStatus};
use sampan_api::user::UserInfo;
use sampan_client::{Blob, BlobError, BlobSource, Client, EventRecorder, Informers, Patch, Reference};
use sampan_env::{Env, Tasks};
use sampan_policy::{
    BUILT_IN_IMAGE, Host, HostConfig, Live, PolicyController, PolicyControllerConfig, ProfileConfig, built_in_policies,
};
use sampan_scheduler_core::{CycleResult, Cycler, LivePolicies, PodInfo, Snapshot};
use sampan_testing::server::Parts;
use sampan_wasm_runtime::digest_of;
use serde_json::json;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Longest anything takes to become what it should.
const PATIENCE: Duration = Duration::from_secs(60);

/// Images by name of the guest; one never comes, one is not there.
#[derive(Default)]
struct Images {
    fetched: Mutex<BTreeMap<String, u32>>,
    /// Every fetch of any image, with its time.
    log: watch::Sender<Vec<(String, Instant)>>,
    /// Those of the built-in policies are not there either.
    without_built_ins: AtomicBool,
}

#[async_trait]
impl BlobSource for Images {
    async fn fetch(&self, reference: &Reference) -> Result<Blob, BlobError> {
        *self.fetched.lock().entry(reference.repository.clone()).or_default() += 1;
        self.log.send_modify(|log| log.push((reference.repository.clone(), Env::system().instant())));
        let guest = match reference.repository.as_str() {
            "slow" => std::future::pending().await,
            "quiet" => "quiet-nodes",
            "hostile" => "sampan-hostile-policy",
            "typo" => return Err(BlobError::NotFound(reference.to_string())),
            _ if self.without_built_ins.load(Ordering::Relaxed) => {
                return Err(BlobError::NotFound(reference.to_string()));
            }
            _ => "sampan-policies",
        };
        let bytes = bytes(guest);
        let digest = digest_of(&bytes);
        let media_type = "application/wasm".to_owned();
        Ok(Blob { manifest_digest: digest.clone(), digest, media_type, bytes: bytes.into() })
    }
}

struct Cluster {
    world: World,
    admin: Client,
    images: Arc<Images>,
    tasks: Tasks,
}

impl Cluster {
    async fn new() -> Self {
        let (world, tasks) = (World::new(), Tasks::new("test"));
        // Building and compiling the guests is none of what the tests wait for: a busy machine takes minutes for it.
        for guest in ["sampan-policies", "quiet-nodes", "sampan-hostile-policy"] {
            world.component(guest).await;
        }
        let parts = Parts { tasks: tasks.clone(), ..Parts::new(world.env.clone()) };
        let admin = parts.start().await.client(UserInfo::apiserver());
        Self { world, admin, images: Arc::default(), tasks }
    }

    async fn create(&self, name: &str, image: &str) {
        let spec = SchedulingPolicySpec { component: image.to_owned(), ..SchedulingPolicySpec::default() };
        self.create_of(name, spec).await;
    }

    async fn create_of(&self, name: &str, spec: SchedulingPolicySpec) {
        let mut object = SchedulingPolicy { spec, ..SchedulingPolicy::default() };
        object.metadata.name = Some(name.to_owned());
        self.admin.all::<SchedulingPolicy>().create(&object).await.expect("created");
    }

    fn start(&self) -> Live {
        let live = Live::new(&self.world.env, vec![ProfileConfig::default()]);
        let (env, tasks) = (self.world.env.clone(), self.tasks.clone());
        let config = PolicyControllerConfig {
            client: self.admin.clone(),
            informers: Informers::new(self.admin.clone(), &env, &tasks),
            runtime: self.world.runtime.clone(),
            blobs: self.images.clone(),
            events: EventRecorder::new(self.admin.clone(), "test", None, &env, &tasks),
            env,
            tasks,
        };
        PolicyController::new(config, &live).expect("an informer").start();
        live
    }

    async fn patch(&self, name: &str, patch: serde_json::Value) {
        self.admin.all::<SchedulingPolicy>().patch(name, &Patch::Merge(patch)).await.expect("patched");
    }

    async fn status(&self, name: &str) -> SchedulingPolicyStatus {
        let object = self.admin.all::<SchedulingPolicy>().get(name).await.expect("there");
        object.status.unwrap_or_default()
    }

    /// Asks for the status until it is as told.
    async fn told(
        &self,
        name: &str,
        what: &str,
        is: impl Fn(&SchedulingPolicyStatus) -> bool,
    ) -> SchedulingPolicyStatus {
        let mut informer = Informers::new(self.admin.clone(), &self.world.env, &self.tasks)
            .of::<SchedulingPolicy>()
            .expect("an informer")
            .subscribe();
        let wait = async {
            loop {
                let status = self.status(name).await;
                if is(&status) {
                    return status;
                }
                informer.next().await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(status) => status,
            Err(_) => panic!("{name} was never {what}: {:?}", self.status(name).await),
        }
    }

    async fn end(self) {
        self.tasks.drain(Duration::from_secs(5)).await.expect("everything ends");
    }
}

/// Waits until what is live is as told.
async fn until(live: &Live, what: &str, is: impl Fn(&sampan_policy::PolicySet) -> bool) {
    let mut sets = live.subscribe();
    let waited = tokio::time::timeout(PATIENCE, sets.wait_for(|set| is(set))).await;
    assert!(waited.is_ok(), "never {what}: {:?}", live.names());
}

fn has(set: &sampan_policy::PolicySet, name: &str) -> bool {
    set.units.iter().flat_map(|unit| &unit.slots).any(|slot| slot.name == name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_wait_for_the_built_in_policies_and_for_those_that_may_not_be_left_out() {
    let cluster = Cluster::new().await;
    cluster.create("a-slow-one", "slow:v1").await;
    cluster.create("quiet", "quiet:v1").await;
    let live = cluster.start();
    until(&live, "ready", |set| set.ready).await;
    let set = live.current();
    for object in built_in_policies() {
        assert!(
            has(&set, object.metadata.name.as_deref().expect("a name")),
            "placed without {:?}",
            object.metadata.name
        );
    }
    assert!(has(&set, "quiet") && !has(&set, "a-slow-one"));
    // Its image never comes, and its failurePolicy is Fail: until it is gone, or says otherwise, pods wait.
    let held = |set: &sampan_policy::PolicySet| -> Vec<String> {
        set.view.profiles["default-scheduler"].held.iter().map(|policy| policy.name.clone()).collect()
    };
    assert_eq!(held(&set), ["a-slow-one"]);
    cluster.patch("a-slow-one", json!({"spec": {"failurePolicy": "Ignore"}})).await;
    until(&live, "without the slow one", |set| held(set).is_empty()).await;
    cluster.patch("a-slow-one", json!({"spec": {"failurePolicy": "Fail"}})).await;
    until(&live, "with the slow one", |set| held(set) == ["a-slow-one"]).await;
    cluster.admin.all::<SchedulingPolicy>().delete("a-slow-one", &Default::default()).await.expect("deleted");
    until(&live, "without the slow one", |set| held(set).is_empty()).await;
    // The other worker goes on.
    cluster.admin.all::<SchedulingPolicy>().delete("quiet", &Default::default()).await.expect("deleted");
    until(&live, "without it", |set| !has(set, "quiet")).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_read_when_the_object_changes_and_not_for_its_own_status() {
    let cluster = Cluster::new().await;
    cluster.create("quiet", "quiet:v1").await;
    let live = cluster.start();
    until(&live, "ready", |set| set.ready && has(set, "quiet")).await;
    // Its own status came back by now, and comes again; then something that is heard after it.
    for round in 0..3 {
        let annotation = json!({"metadata": {"annotations": {"example.com/round": round.to_string()}}});
        cluster.patch("quiet", annotation).await;
    }
    cluster.create("later", "quiet:v2").await;
    until(&live, "heard of", |set| has(set, "later")).await;
    let fetched = cluster.images.fetched.lock().clone();
    assert_eq!(fetched["quiet"], 2, "once for each object");
    let image = BUILT_IN_IMAGE.split(':').next().expect("a repository");
    assert_eq!(fetched[image] as usize, built_in_policies().len());

    cluster.patch("quiet", json!({"spec": {"weight": 7}})).await;
    let seven = |set: &sampan_policy::PolicySet| {
        set.units.iter().flat_map(|unit| &unit.slots).any(|slot| slot.name == "quiet" && slot.prepared.weight == 7)
    };
    until(&live, "of the new weight", seven).await;
    assert_eq!(cluster.images.fetched.lock()["quiet"], 3);
    // Another object of that name, of the same generation as the first had.
    let api = cluster.admin.all::<SchedulingPolicy>();
    api.delete("later", &Default::default()).await.expect("deleted");
    let strict = SchedulingPolicySpec { component: "quiet:v1".to_owned(), weight: Some(9), ..Default::default() };
    let mut object = SchedulingPolicy { spec: strict, ..SchedulingPolicy::default() };
    object.metadata.name = Some("later".to_owned());
    api.create(&object).await.expect("created");
    let weight = |set: &sampan_policy::PolicySet, name: &str| {
        let slots = set.units.iter().flat_map(|unit| &unit.slots).find(|slot| slot.name == name)?;
        Some(slots.prepared.weight)
    };
    until(&live, "the new object", |set| weight(set, "later") == Some(9)).await;
    cluster.patch("quiet", json!({"spec": {"mode": Mode::Off}})).await;
    until(&live, "off", |set| !has(set, "quiet")).await;
    cluster.end().await;
}

/// Status, reason and message of a condition.
fn condition(status: &SchedulingPolicyStatus, kind: &str) -> Option<(String, String, String)> {
    let one = status.conditions.iter().find(|one| one.type_ == kind)?;
    Some((one.status.clone(), one.reason.clone(), one.message.clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_says_what_decides_now_while_another_form_is_installed() {
    let cluster = Cluster::new().await;
    cluster.create("quiet", "quiet:v1").await;
    let live = cluster.start();
    until(&live, "ready", |set| set.ready && has(set, "quiet")).await;
    let first = cluster.told("quiet", "ready", |status| condition(status, "Ready").is_some()).await;
    assert_eq!(first.observed_generation, Some(1));
    // The new form's image never comes.
    cluster.patch("quiet", json!({"spec": {"component": "slow:v1"}})).await;
    let under_way = |status: &SchedulingPolicyStatus| {
        condition(status, "Ready").is_some_and(|(_, _, message)| message.contains("is being installed"))
    };
    let status = cluster.told("quiet", "under way", under_way).await;
    assert_eq!((status.observed_generation, &status.digest), (Some(1), &first.digest));
    assert!(status.conditions.iter().all(|one| one.observed_generation == Some(1)), "{status:?}");
    let ready =
        ("True".to_owned(), "Live".to_owned(), "generation 1 decides; generation 2 is being installed".to_owned());
    assert_eq!(condition(&status, "Ready"), Some(ready));
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_of_profiles_that_are_not_there_says_so() {
    let cluster = Cluster::new().await;
    let of = |profiles: &[&str]| SchedulingPolicySpec {
        component: "quiet:v1".to_owned(),
        profiles: profiles.iter().map(|one| (*one).to_owned()).collect(),
        ..SchedulingPolicySpec::default()
    };
    for (name, profiles) in [
        ("none", &["no-such"][..]),
        ("some", &["no-such", "default-scheduler"]),
        ("all", &["default-scheduler"]),
        ("every", &[]),
    ] {
        cluster.create_of(name, of(profiles)).await;
    }
    let live = cluster.start();
    until(&live, "ready", |set| set.ready).await;
    let check = async |name: &str, ready: &str, found: Option<&str>| {
        let status = cluster.told(name, "looked at", |status| condition(status, "Ready").is_some()).await;
        assert_eq!(condition(&status, "Ready").map(|one| one.0).as_deref(), Some(ready), "{name}: {status:?}");
        assert_eq!(condition(&status, "ProfilesFound").map(|one| one.0).as_deref(), found, "{name}: {status:?}");
    };
    check("none", "False", Some("False")).await;
    check("some", "True", Some("False")).await;
    check("all", "True", Some("True")).await;
    check("every", "True", None).await;
    let (_, reason, message) = condition(&cluster.status("none").await, "Ready").expect("there");
    assert_eq!((&*reason, &*message), ("NoProfile", "no profile is named no-such; there is default-scheduler"));
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_built_in_policy_that_is_deleted_is_made_again_and_never_left_out() {
    let cluster = Cluster::new().await;
    let live = cluster.start();
    until(&live, "ready", |set| set.ready).await;
    let mut sets = live.subscribe();
    let api = cluster.admin.all::<SchedulingPolicy>();
    for object in built_in_policies() {
        let name = object.metadata.name.expect("a name");
        let old = api.get(&name).await.expect("there").metadata.uid;
        api.delete(&name, &Default::default()).await.expect("deleted");
        let again = async {
            loop {
                let set = sets.borrow_and_update().clone();
                assert!(has(&set, &name), "{name} is left out");
                match api.get_opt(&name).await.expect("answers") {
                    Some(object) if object.metadata.uid != old => return,
                    _ => tokio::task::yield_now().await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, again).await.expect("it is made again");
    }
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_policies_that_take_long_to_check_hold_up_no_other() {
    let cluster = Cluster::new().await;
    let live = cluster.start();
    until(&live, "ready", |set| set.ready).await;
    let fixture = |at: usize| Fixture {
        name: format!("f{at}"),
        pod: json!({"metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": []}}),
        node: json!({"metadata": {"name": "n"}}),
        filter: Some("Pass".to_owned()),
        score: None,
    };
    for name in ["burns-a", "burns-b"] {
        let spec = SchedulingPolicySpec {
            component: "hostile:v1".to_owned(),
            args: Some(json!({"what": "burn", "at": "new"})),
            budget: Some(Budget { cpu_milliseconds: Some(1000), ..Budget::default() }),
            fixtures: (0..256).map(fixture).collect(),
            ..SchedulingPolicySpec::default()
        };
        cluster.create_of(name, spec).await;
    }
    cluster.create("quiet", "quiet:v1").await;
    until(&live, "the short one", |set| has(set, "quiet")).await;
    let set = live.current();
    assert!(!has(&set, "burns-a") && !has(&set, "burns-b"), "they were checked before the short one");
    // What ends waits for neither.
    cluster.admin.all::<SchedulingPolicy>().delete("quiet", &Default::default()).await.expect("deleted");
    until(&live, "without it", |set| !has(set, "quiet")).await;
    let set = live.current();
    assert!(!has(&set, "burns-a") && !has(&set, "burns-b"), "they were checked before the removal");
    cluster.end().await;
}

fn one_node() -> Snapshot {
    let mut snapshot = Snapshot::default();
    let node = json!({"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "4", "pods": "9"}}});
    snapshot.set_node(Arc::new(serde_json::from_value(node).expect("a node")));
    snapshot
}

/// Waits as the scheduling thread does while no pod comes: it takes up what is live, feeds, and asks nothing.
async fn beside_an_idle_scheduler<T>(live: &Live, done: impl Future<Output = T>) -> T {
    let changed = Arc::new(Notify::new());
    let wake = Arc::clone(&changed);
    live.on_change(move || wake.notify_one());
    let (mut host, mut snapshot) = (Host::new(live, HostConfig::default()), one_node());
    tokio::pin!(done);
    loop {
        host.adopt();
        host.warm(&mut snapshot);
        tokio::select! {
            biased;
            done = &mut done => return done,
            () = changed.notified() => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_of_one_component_go_live_and_change_while_no_pod_comes() {
    let cluster = Cluster::new().await;
    let live = cluster.start();
    until(&live, "ready", |set| set.ready).await;
    let of = |memory: Option<&str>| SchedulingPolicySpec {
        component: "quiet:v1".to_owned(),
        budget: memory.map(|memory| Budget { memory: Some(memory.to_owned()), ..Budget::default() }),
        ..SchedulingPolicySpec::default()
    };
    let work = async {
        for (memory, count) in [(Some("256Mi"), 4), (None, 50)] {
            let names: Vec<String> = (0..count).map(|at| format!("s{count}-{at}")).collect();
            for name in &names {
                cluster.create_of(name, of(memory)).await;
            }
            until(&live, "all live", |set| names.iter().all(|name| has(set, name))).await;
        }
        let held = |set: &sampan_policy::PolicySet| set.view.profiles["default-scheduler"].held.clone();
        assert_eq!(held(&live.current()), []);
        for round in 0..16 {
            let (name, weight) = (format!("s50-{}", round % 2), 2 + round);
            cluster.patch(&name, json!({"spec": {"weight": weight}})).await;
            let is_new = |set: &sampan_policy::PolicySet| {
                let mut slots = set.units.iter().flat_map(|unit| &unit.slots);
                slots.any(|slot| slot.name == name && slot.prepared.weight == weight)
            };
            until(&live, "of the new weight", is_new).await;
        }
    };
    beside_an_idle_scheduler(&live, work).await;
    cluster.end().await;
}

/// Fetches of the image from the `first` on.
fn fetches(log: &[(String, Instant)], image: &str, first: usize) -> Vec<Instant> {
    log.iter().filter(|(of, _)| of == image).skip(first).map(|(_, at)| *at).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_cannot_be_installed_yet_is_told_once_and_tried_at_its_times() {
    let cluster = Cluster::new().await;
    let memory = |memory: &str| Some(Budget { memory: Some(memory.to_owned()), ..Budget::default() });
    for (name, budget) in [("quiet", None), ("large", memory("256Mi"))] {
        let spec = SchedulingPolicySpec { component: "quiet:v1".to_owned(), budget, ..Default::default() };
        cluster.create_of(name, spec).await;
    }
    let live = cluster.start();
    until(&live, "ready", |set| set.ready && has(set, "quiet") && has(set, "large")).await;
    let api = cluster.admin.all::<SchedulingPolicy>();
    for (patch, image, reason) in [
        (json!({"spec": {"component": "typo:v1"}}), "typo", "FailedFetch"),
        (json!({"spec": {"component": "quiet:v1", "budget": {"memory": "512Mi"}}}), "quiet", "InsufficientMemory"),
    ] {
        let mut log = cluster.images.log.subscribe();
        let before = fetches(&log.borrow(), image, 0).len();
        cluster.patch("quiet", patch).await;
        let is_told = |status: &SchedulingPolicyStatus| condition(status, "Ready").is_some_and(|one| one.1 == reason);
        let status = cluster.told("quiet", "told", is_told).await;
        let (ready, _, message) = condition(&status, "Ready").expect("told");
        assert_eq!((&*ready, message.contains("the old form stays live")), ("True", true), "{message}");
        let told = api.get("quiet").await.expect("there").metadata.resource_version;
        let waited = log.wait_for(|log| fetches(log, image, before).len() >= 3);
        let log = tokio::time::timeout(PATIENCE, waited).await.expect("it is tried again").expect("fetched").clone();
        let tries = fetches(&log, image, before);
        for (pair, wait) in tries.windows(2).zip([500, 1000]) {
            let waited = pair[1].duration_since(pair[0]);
            assert!(waited >= Duration::from_millis(wait), "{reason}: tried again after {waited:?}, not {wait} ms");
        }
        let now = api.get("quiet").await.expect("there").metadata.resource_version;
        assert_eq!(now, told, "{reason}: the same is written again");
    }
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_are_told_of_a_built_in_policy_that_cannot_be_installed_at_the_start() {
    let check = async |args: Option<serde_json::Value>, without: bool, failing: usize, reason: &str, why: &str| {
        let cluster = Cluster::new().await;
        let built_in =
            built_in_policies().into_iter().find(|one| one.metadata.name.as_deref() == Some("node-affinity"));
        cluster.create_of("node-affinity", SchedulingPolicySpec { args, ..built_in.expect("built in").spec }).await;
        cluster.images.without_built_ins.store(without, Ordering::Relaxed);
        let live = cluster.start();
        until(&live, "ready", |set| set.ready).await;
        let (mut host, mut snapshot) = (Host::new(&live, HostConfig::default()), one_node());
        assert!(host.ready(), "no cycle runs, and no pod hears of it");
        let profile = host.profile("default-scheduler").expect("the default profile");
        assert_eq!(profile.held.len(), failing, "{:?}", profile.held);
        snapshot.want(profile.columns());
        let pod = json!({"metadata": {"name": "p", "namespace": "d", "uid": "p"}, "spec": {"containers": []}});
        let info = PodInfo::new(Arc::new(serde_json::from_value(pod).expect("a pod")), snapshot.strings_mut());
        let view = snapshot.view(&info, &profile);
        let outcome = Cycler::default().cycle(&snapshot, &view, &profile, 1, 0, &mut host);
        assert_eq!(outcome.result, CycleResult::Held);
        for part in ["\"node-affinity\"", reason, why] {
            assert!(outcome.message.contains(part), "{part:?} is missing in {}", outcome.message);
        }
        let is_told = |status: &SchedulingPolicyStatus| condition(status, "Ready").is_some_and(|one| one.1 == reason);
        let status = cluster.told("node-affinity", "told", is_told).await;
        let (ready, _, message) = condition(&status, "Ready").expect("told");
        assert_eq!((&*ready, message.contains(why)), ("False", true), "{message}");
        // Nobody would feed by it from here on.
        drop(host);
        // Mended, nobody waits any more.
        cluster.images.without_built_ins.store(false, Ordering::Relaxed);
        cluster.patch("node-affinity", json!({"spec": {"args": null}})).await;
        until(&live, "whole", |set| set.view.profiles["default-scheduler"].held.is_empty()).await;
        cluster.end().await;
    };
    check(Some(json!({"x": 1})), false, 1, "FailedCheck", "unknown field `x`").await;
    check(None, true, built_in_policies().len(), "FailedFetch", "sampan/policies:v1").await;
}
