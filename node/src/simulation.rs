//! Pods that come and go at random moments, over an API server and a runtime that take their time, fail and panic. What is
//! left at the end is nothing.

use crate::address::Addresses;
use crate::address::tests::Counted;
use crate::agent::Dispatcher;
use crate::ledger::Ledger;
use crate::patch::tests::patched;
use crate::runtime::{
    ContainerExit, ImageError, Launch, LaunchError, PodCapacity, PodRuntime, PodSandbox, PulledImage, Running,
};
use crate::worker::Shared;
use async_trait::async_trait;
use http::{Method, Request, Response};
use parking_lot::Mutex;
use sampan_api::k8s::api::core::v1::Pod;
use sampan_api::{Status, UserInfo};
use sampan_client::{ApiService, Body, Client, EventRecorder, collect, full};
use sampan_env::{Env, Tasks};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, watch};

/// True once in `one_in` calls, on the average.
fn chance(env: &Env, one_in: u64) -> bool {
    env.random_u64().is_multiple_of(one_in)
}

/// An await of a length that nobody knows, zero among them.
async fn a_while(env: &Env, most: Duration) {
    let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX).max(1);
    match env.random_u64() % 4 {
        0 => tokio::task::yield_now().await,
        _ => env.sleep(Duration::from_micros(env.random_u64() % most)).await,
    }
}

const SHORT: Duration = Duration::from_millis(30);

/// A message to a watcher of pods.
enum Heard {
    Applied(Arc<Pod>),
    Deleted(String),
}

/// The API server: pods by name.
struct Api {
    env: Env,
    pods: Mutex<BTreeMap<String, Value>>,
    revision: Mutex<u64>,
    watch: mpsc::UnboundedSender<Heard>,
    events: Mutex<HashMap<String, usize>>,
}

impl Api {
    fn applied(&self, pod: &mut Value) {
        let mut revision = self.revision.lock();
        *revision += 1;
        pod["metadata"]["resourceVersion"] = revision.to_string().into();
        let typed = serde_json::from_value(pod.clone()).expect("a pod");
        // At the end of the test nobody listens any more.
        self.watch.send(Heard::Applied(Arc::new(typed))).unwrap_or_default();
    }

    fn create(&self, name: &str, spec: Value) {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "ns", "uid": self.env.uuid()},
            "spec": spec,
        });
        self.applied(&mut pod);
        self.pods.lock().insert(name.to_owned(), pod);
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Value)) {
        if let Some(pod) = self.pods.lock().get_mut(name) {
            change(pod);
            self.applied(pod);
        }
    }

    /// As the API server has it: a pod that goes can only go sooner; without grace it is gone at once.
    fn delete(&self, name: &str, grace: i64) {
        let mut pods = self.pods.lock();
        let Some(pod) = pods.get_mut(name) else { return };
        if grace == 0 {
            let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
            pods.remove(name);
            self.watch.send(Heard::Deleted(uid)).unwrap_or_default();
            return;
        }
        if pod["metadata"]["deletionGracePeriodSeconds"].as_i64().is_none_or(|before| grace < before) {
            pod["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:30Z".into();
            pod["metadata"]["deletionGracePeriodSeconds"] = grace.into();
            self.applied(pod);
        }
    }

    fn answer(&self, method: &Method, path: &str, body: &Value) -> Result<Value, Status> {
        let words: Vec<&str> = path.trim_start_matches("/api/v1/namespaces/ns/").split('/').collect();
        match (method, words.as_slice()) {
            (&Method::PATCH, ["pods", name, "status"]) => {
                let mut pods = self.pods.lock();
                let pod = pods.get_mut(*name).ok_or_else(|| self.not_found(name))?;
                if pod["metadata"]["uid"] != body["metadata"]["uid"] {
                    return Err(self.conflict(name));
                }
                *pod = patched("Pod", pod, body);
                self.applied(pod);
                Ok(pod.clone())
            }
            (&Method::DELETE, ["pods", name]) => {
                let pod = self.pods.lock().get(*name).cloned().ok_or_else(|| self.not_found(name))?;
                if pod["metadata"]["uid"] != body["preconditions"]["uid"] {
                    return Err(self.conflict(name));
                }
                self.delete(name, 0);
                Ok(pod)
            }
            (_, ["events", ..]) => {
                *self.events.lock().entry(body["reason"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
                Ok(body.clone())
            }
            other => panic!("not simulated: {other:?}"),
        }
    }

    fn not_found(&self, name: &str) -> Status {
        Status::not_found(&sampan_api::GroupResource::new("", "pods"), name)
    }

    fn conflict(&self, name: &str) -> Status {
        Status::conflict(&sampan_api::GroupResource::new("", "pods"), name, "the UID in the precondition is another's")
    }

    async fn serve(self: Arc<Self>, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = collect(body, usize::MAX).await.expect("a body");
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        a_while(&self.env, SHORT).await;
        let busy = || Err(Status::internal("simulated"));
        let mut answer = if chance(&self.env, 40) { busy() } else { self.answer(&head.method, head.uri.path(), &body) };
        if chance(&self.env, 60) {
            // It was done, and the answer is lost.
            answer = busy();
        }
        a_while(&self.env, SHORT).await;
        let (code, body) = match answer {
            Ok(value) => (200, value),
            Err(status) => (status.code(), status.to_value()),
        };
        let response = Response::builder().status(code).header("content-type", "application/json");
        response.body(full(body.to_string())).expect("a response")
    }
}

/// The holders of things for pods, and the errors that were seen.
#[derive(Default)]
struct Held {
    prepared: BTreeSet<String>,
    /// Runs by pod UID and container, with the pod's address.
    runs: BTreeMap<(String, String), Ipv4Addr>,
    started: usize,
    wrong: Vec<String>,
}

struct Runtime {
    env: Env,
    tasks: Tasks,
    held: Arc<Mutex<Held>>,
    /// One step in so many panics; None: none does.
    panics: Option<u64>,
}

impl Runtime {
    async fn step(&self) {
        a_while(&self.env, SHORT).await;
        if self.panics.is_some_and(|one_in| chance(&self.env, one_in)) {
            panic!("simulated");
        }
    }
}

/// A run that is over when this is dropped.
struct RunGuard {
    held: Arc<Mutex<Held>>,
    key: (String, String),
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        self.held.lock().runs.remove(&self.key);
    }
}

struct Run {
    exit: watch::Receiver<Option<ContainerExit>>,
    /// In what time it is to end; zero kills it.
    told: watch::Sender<Option<Duration>>,
}

/// A guest: it ends by itself, when it is told, at the end of its grace, or when it is killed.
async fn guest(
    env: Env,
    guard: RunGuard,
    mut told: watch::Receiver<Option<Duration>>,
    exit: watch::Sender<Option<ContainerExit>>,
) {
    let lives = Duration::from_millis(env.random_u64() % 60_000);
    let listens = chance(&env, 2);
    let mut due = env.instant() + lives;
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(due) => break,
            changed = told.changed() => {
                let Some(grace) = *told.borrow_and_update() else { continue };
                let wait = if listens { grace.min(Duration::from_millis(env.random_u64() % 100)) } else { grace };
                due = env.instant().checked_add(wait).unwrap_or(due).min(due);
                if changed.is_err() {
                    // Nobody holds it any more: it goes on until it ends by itself.
                    tokio::time::sleep_until(due).await;
                    break;
                }
            }
        }
    }
    drop(guard);
    let code = i32::from(chance(&env, 2));
    exit.send_replace(Some(ContainerExit { code, reason: "Error".into(), message: String::new() }));
}

#[async_trait]
impl Running for Run {
    async fn wait(&self) -> ContainerExit {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        ended.unwrap_or(ContainerExit { code: 137, reason: "Error".into(), message: String::new() })
    }
    fn terminate(&self, grace: Duration) {
        self.told.send_replace(Some(grace));
    }
    fn kill(&self) {
        self.told.send_replace(Some(Duration::ZERO));
    }
}

#[async_trait]
impl PodRuntime for Runtime {
    fn version(&self) -> String {
        "simulated://1".into()
    }
    fn capacity(&self) -> PodCapacity {
        PodCapacity { pods_max: 10_000, bound_by: "simulation" }
    }
    async fn image_status(&self, image: &str) -> Result<Option<PulledImage>, ImageError> {
        self.step().await;
        Ok(chance(&self.env, 2).then(|| image_of(image)))
    }
    async fn pull_image(&self, image: &str) -> Result<PulledImage, ImageError> {
        self.step().await;
        if chance(&self.env, 10) {
            return Err(ImageError { reason: "ErrImagePull", message: "simulated".into() });
        }
        Ok(image_of(image))
    }
    async fn prepare_pod(&self, pod: &PodSandbox) -> Result<(), LaunchError> {
        self.step().await;
        self.held.lock().prepared.insert(pod.uid.clone());
        Ok(())
    }
    async fn start(&self, launch: Launch) -> Result<Arc<dyn Running>, LaunchError> {
        self.step().await;
        if chance(&self.env, 12) {
            return Err(LaunchError::Bind("simulated".into()));
        }
        if chance(&self.env, 12) {
            return Err(LaunchError::Failed("simulated".into()));
        }
        let key = (launch.sandbox.uid.clone(), launch.plan.name.clone());
        let guard = {
            let mut held = self.held.lock();
            held.started += 1;
            let ip = launch.sandbox.ip;
            let shared = held.runs.iter().any(|((uid, _), other)| *other == ip && *uid != key.0);
            if shared {
                held.wrong.push(format!("{ip} is of two pods"));
            }
            if held.runs.insert(key.clone(), ip).is_some() {
                held.wrong.push(format!("{key:?} runs twice"));
            }
            RunGuard { held: self.held.clone(), key }
        };
        // Given up here, the guard ends what was begun.
        self.step().await;
        let (exit, ended) = watch::channel(None);
        let (told, tells) = watch::channel(None);
        self.tasks.spawn(guest(self.env.clone(), guard, tells, exit));
        Ok(Arc::new(Run { exit: ended, told }))
    }
    async fn remove_pod(&self, uid: &str) {
        a_while(&self.env, SHORT).await;
        self.held.lock().prepared.remove(uid);
    }
}

fn image_of(image: &str) -> PulledImage {
    PulledImage { id: format!("{image}@sha256:1"), digest: "sha256:2".into(), size: 3 }
}

struct World {
    env: Env,
    tasks: Tasks,
    api: Arc<Api>,
    held: Arc<Mutex<Held>>,
    shared: Arc<Shared>,
    heard: mpsc::UnboundedReceiver<Heard>,
    _folder: tempfile::TempDir,
}

fn world(seed: u64, panics: Option<u64>) -> World {
    let env = Env::simulated(seed, SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let tasks = Tasks::new("simulation");
    let (watch, heard) = mpsc::unbounded_channel();
    let api = Arc::new(Api {
        env: env.clone(),
        pods: Mutex::default(),
        revision: Mutex::default(),
        watch,
        events: Mutex::default(),
    });
    let served = api.clone();
    let service = ApiService::new(tower::service_fn(move |request| {
        let served = served.clone();
        async move { Ok::<_, std::convert::Infallible>(served.serve(request).await) }
    }));
    let client = Client::in_process(service, UserInfo::new("system:node:n", Vec::<String>::new()), "tests", &env);
    let folder = tempfile::tempdir().expect("a folder");
    let held = Arc::new(Mutex::new(Held::default()));
    let runtime = Runtime { env: env.clone(), tasks: tasks.clone(), held: held.clone(), panics };
    let shared = Shared {
        events: EventRecorder::new(client.clone(), "kubelet", Some("n"), &env, &tasks),
        env: env.clone(),
        client,
        runtime: Arc::new(runtime),
        addresses: Addresses::new(Counted::new(24, u32::MAX)),
        ledger: Ledger::open(&folder.path().join("ledger")).expect("a ledger"),
        host_ip: "127.0.0.1".into(),
        volumes: crate::projected::Volumes::default(),
        logs: Mutex::default(),
    };
    World { env, tasks, api, held, shared: Arc::new(shared), heard, _folder: folder }
}

fn spec(env: &Env) -> Value {
    let one_of = |words: &[&str]| words[usize::try_from(env.random_u64()).unwrap_or(0) % words.len()].to_owned();
    let containers: Vec<Value> = (0..=env.random_u64() % 3)
        .map(|i| json!({"name": format!("c{i}"), "image": "i", "imagePullPolicy": one_of(&["Always", "IfNotPresent"])}))
        .collect();
    json!({
        "restartPolicy": one_of(&["Always", "OnFailure", "Never"]),
        "terminationGracePeriodSeconds": if chance(env, 4) { i64::MAX } else { 5 },
        "containers": containers,
    })
}

/// The life of a pod until it is told to go. What its grace would keep for ever goes by force at last.
async fn life(env: Env, api: Arc<Api>, name: String) {
    api.create(&name, spec(&env));
    a_while(&env, Duration::from_millis(400)).await;
    if chance(&env, 4) {
        api.change(&name, |pod| pod["spec"]["containers"][0]["image"] = "j".into());
        a_while(&env, Duration::from_millis(200)).await;
    }
    for grace in [[1, 30, 300, i64::MAX][usize::try_from(env.random_u64() % 4).unwrap_or(0)], 2] {
        if chance(&env, 5) {
            break;
        }
        api.delete(&name, grace);
        a_while(&env, Duration::from_millis(200)).await;
        if chance(&env, 3) {
            return; // Its graces are all short enough, or it has just been told 2 s.
        }
    }
    if chance(&env, 3) {
        api.delete(&name, 0);
    } else {
        api.delete(&name, 1);
    }
}

async fn come_and_go(seed: u64, pods: usize, panics: Option<u64>) -> World {
    let mut world = world(seed, panics);
    let mut dispatcher = Dispatcher::new(world.shared.clone(), world.tasks.clone(), HashMap::new());
    let own_tasks = world.tasks.len();
    let lives = Tasks::new("lives");
    let (env, api) = (world.env.clone(), world.api.clone());
    let spawner = lives.clone();
    lives.spawn(async move {
        for i in 0..pods {
            // Names come again, as a StatefulSet's do.
            let name = format!("p{}", i % (pods / 2).max(1));
            if !api.pods.lock().contains_key(&name) {
                spawner.spawn(life(env.clone(), api.clone(), name));
            }
            a_while(&env, Duration::from_millis(4)).await;
        }
    });
    let end = world.env.instant() + Duration::from_secs(3600);
    let mut told = world.env.instant();
    loop {
        let hurry = world.env.instant() > told + Duration::from_secs(400);
        if hurry && lives.is_empty() {
            // A grace without end, and a guest that does not listen: its owner loses patience.
            let left: Vec<String> = world.api.pods.lock().keys().cloned().collect();
            left.iter().for_each(|name| world.api.delete(name, 1));
            told = world.env.instant();
        }
        match tokio::time::timeout(Duration::from_secs(1), world.heard.recv()).await {
            Ok(Some(Heard::Applied(pod))) => dispatcher.apply(&pod),
            Ok(Some(Heard::Deleted(uid))) => dispatcher.gone(&uid),
            Ok(None) => unreachable!("the API server is here"),
            Err(_) => {
                let busy = world.tasks.len() > own_tasks || !world.api.pods.lock().is_empty() || !lives.is_empty();
                if !busy {
                    break;
                }
                let pods = world.api.pods.lock();
                assert!(world.env.instant() < end, "{} left: {:?}", pods.len(), pods.values().next());
            }
        }
    }
    assert_eq!(dispatcher.pods(), 0, "nobody is told of a pod that is gone");
    world
}

fn nothing_is_left(world: &World) {
    let held = world.held.lock();
    assert_eq!(held.wrong, Vec::<String>::new());
    assert!(held.runs.is_empty() && held.prepared.is_empty(), "{:?} {:?}", held.runs, held.prepared);
    assert_eq!(world.shared.addresses.in_use(), 0);
    assert!(world.shared.ledger.load().expect("readable").is_empty());
    assert!(world.shared.logs.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_ten_thousand_pods_that_come_and_go_nothing_is_left() {
    let world = come_and_go(1, 10_000, None).await;
    nothing_is_left(&world);
    let started = world.held.lock().started;
    assert!(started > 5_000, "most of them ran: {started}");
    assert!(world.api.events.lock().get("FailedSync").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_killed_at_any_step_leaves_nothing_either() {
    for seed in 2..6 {
        let world = come_and_go(seed, 500, Some(25)).await;
        nothing_is_left(&world);
        world.shared.events.flush().await;
        assert!(world.api.events.lock().get("FailedSync").is_some_and(|told| *told > 10), "events tell of panics");
    }
}
