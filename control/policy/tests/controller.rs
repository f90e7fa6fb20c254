//! The controller on an API server in this process: who is waited for, and how often an image is read.

#[expect(dead_code, reason = "these tests need less of the guests than others")]
mod guests;

use async_trait::async_trait;
use guests::{World, bytes};
use parking_lot::Mutex;
use sampan_api::scheduling::{Budget, Fixture, Mode, SchedulingPolicy, SchedulingPolicySpec, SchedulingPolicyStatus};
use sampan_api::user::UserInfo;
use sampan_client::{Blob, BlobError, BlobSource, Client, EventRecorder, Informers, Patch, Reference};
use sampan_env::Tasks;
use sampan_policy::{BUILT_IN_IMAGE, Live, PolicyController, PolicyControllerConfig, ProfileConfig, built_in_policies};
use sampan_testing::server::Parts;
use sampan_wasm_runtime::digest_of;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Longest anything takes to become what it should.
const PATIENCE: Duration = Duration::from_secs(60);

/// Images by name of the guest; one never comes.
#[derive(Default)]
struct Images {
    fetched: Mutex<BTreeMap<String, u32>>,
}

#[async_trait]
impl BlobSource for Images {
    async fn fetch(&self, reference: &Reference) -> Result<Blob, BlobError> {
        *self.fetched.lock().entry(reference.repository.clone()).or_default() += 1;
        let guest = match reference.repository.as_str() {
            "slow" => std::future::pending().await,
            "quiet" => "quiet-nodes",
            "hostile" => "sampan-hostile-policy",
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
