//! Workers against an API server and a runtime that are simulated, in simulated time.

use crate::address::Addresses;
use crate::address::tests::Counted;
use crate::ledger::Ledger;
use crate::logs::Position;
use crate::observed::Observed;
use crate::patch::tests::patched;
use crate::runtime::{ContainerExit, ImageError, Launch, LaunchError, PodCapacity, PodRuntime, PulledImage, Running};
use crate::supervise::supervise;
use crate::worker::Shared;
use async_trait::async_trait;
use http::{Method, Request, Response};
use parking_lot::{Mutex, MutexGuard};
use sampan_api::UserInfo;
use sampan_api::k8s::api::core::v1::Pod;
use sampan_api::time::Seconds;
use sampan_client::{ApiService, Body, Client, EventRecorder, collect, full};
use sampan_env::{Env, Tasks};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// What the API server holds and has heard.
#[derive(Default)]
pub(crate) struct Api {
    pub(crate) pod: Value,
    pub(crate) node: Value,
    pub(crate) statuses: usize,
    pub(crate) deletes: usize,
    revision: u64,
    events: Vec<(String, String)>,
}

impl Api {
    fn answer(&mut self, method: &Method, path: &str, body: &Value) -> Value {
        match (method, path) {
            (&Method::PATCH, "/api/v1/namespaces/ns/pods/p/status") => {
                self.pod = patched("Pod", &self.pod, body);
                self.statuses += 1;
                self.bump();
                self.pod.clone()
            }
            (&Method::DELETE, "/api/v1/namespaces/ns/pods/p") => {
                self.deletes += 1;
                self.pod.clone()
            }
            (&Method::POST, "/api/v1/namespaces/ns/events") => {
                let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
                self.events.push((text("reason"), text("message")));
                body.clone()
            }
            (&Method::PATCH, path) if path.starts_with("/api/v1/namespaces/ns/events/") => body.clone(),
            (&Method::POST, "/api/v1/nodes") => {
                if self.node.is_null() {
                    self.node = body.clone();
                    self.node["metadata"]["uid"] = "uid-n".into();
                }
                self.node.clone()
            }
            (&Method::GET, "/api/v1/nodes/n") => self.node.clone(),
            (&Method::PATCH, "/api/v1/nodes/n/status") => {
                self.node = patched("Node", &self.node, body);
                self.statuses += 1;
                self.node.clone()
            }
            (&Method::PATCH, path) if path.ends_with("/namespaces/kube-node-lease/leases/n") => body.clone(),
            other => panic!("not simulated: {other:?}"),
        }
    }

    fn bump(&mut self) {
        self.revision += 1;
        self.pod["metadata"]["resourceVersion"] = self.revision.to_string().into();
    }
}

/// A runtime whose images and starts do as they are told.
#[derive(Default)]
pub(crate) struct Runtime {
    state: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// On this machine.
    present: bool,
    pull_error: Option<ImageError>,
    start_errors: VecDeque<LaunchError>,
    started: Vec<Arc<Run>>,
}

struct Run {
    exit: watch::Sender<Option<ContainerExit>>,
    graces: Mutex<Vec<Duration>>,
}

impl Runtime {
    pub(crate) fn starts(&self) -> usize {
        self.state.lock().started.len()
    }

    /// What the latest run was given to end in.
    pub(crate) fn graces(&self) -> Vec<Duration> {
        self.state.lock().started.last().map(|run| run.graces.lock().clone()).unwrap_or_default()
    }

    /// The latest run ends.
    pub(crate) fn end(&self, code: i32, reason: &str) {
        let exit = ContainerExit { code, reason: reason.into(), message: String::new() };
        let run = self.state.lock().started.last().cloned().expect("a run");
        run.exit.send_replace(Some(exit));
    }
}

#[async_trait]
impl Running for Run {
    async fn wait(&self) -> ContainerExit {
        let mut exit = self.exit.subscribe();
        let ended = exit.wait_for(Option::is_some).await.expect("the sender is here");
        ended.clone().expect("an exit")
    }

    fn terminate(&self, grace: Duration) {
        self.graces.lock().push(grace);
    }

    fn kill(&self) {
        self.exit.send_replace(Some(ContainerExit { code: 137, reason: "Error".into(), message: String::new() }));
    }
}

#[async_trait]
impl PodRuntime for Runtime {
    fn version(&self) -> String {
        "simulated://1".into()
    }

    fn capacity(&self) -> PodCapacity {
        PodCapacity { pods_max: 10, bound_by: "simulation" }
    }

    async fn image_status(&self, image: &str) -> Result<Option<PulledImage>, ImageError> {
        Ok(self.state.lock().present.then(|| image_of(image)))
    }

    async fn pull_image(&self, image: &str) -> Result<PulledImage, ImageError> {
        match self.state.lock().pull_error.clone() {
            Some(error) => Err(error),
            None => Ok(image_of(image)),
        }
    }

    async fn start(&self, launch: Launch) -> Result<Arc<dyn Running>, LaunchError> {
        let mut state = self.state.lock();
        if let Some(error) = state.start_errors.pop_front() {
            return Err(error);
        }
        let n = state.started.len() + 1;
        launch.log.write(crate::logs::Stream::Stdout, format!("run {n}\n").as_bytes());
        let run = Arc::new(Run { exit: watch::Sender::new(None), graces: Mutex::default() });
        state.started.push(run.clone());
        Ok(run)
    }
}

fn image_of(image: &str) -> PulledImage {
    PulledImage { id: format!("{image}@sha256:1"), digest: "sha256:2".into(), size: 3 }
}

/// One pod, its API server and its node.
pub(crate) struct World {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tasks: Tasks,
    pub(crate) runtime: Arc<Runtime>,
    api: Arc<Mutex<Api>>,
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let env = Env::simulated(7, SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let tasks = Tasks::new("test");
        let api: Arc<Mutex<Api>> = Arc::default();
        let served = api.clone();
        let service = ApiService::new(tower::service_fn(move |request: Request<Body>| {
            let served = served.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = collect(body, usize::MAX).await.expect("a body");
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let answer = served.lock().answer(&head.method, head.uri.path(), &body);
                let mut response = Response::new(full(answer.to_string()));
                response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
                Ok::<_, std::convert::Infallible>(response)
            }
        }));
        let client = Client::in_process(service, UserInfo::new("system:node:n", Vec::<String>::new()), "tests", &env);
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = Arc::new(Runtime::default());
        let shared = Shared {
            events: EventRecorder::new(client.clone(), "kubelet", Some("n"), &env, &tasks),
            env,
            client,
            runtime: runtime.clone(),
            addresses: Addresses::new(Counted::new(24, u32::MAX)),
            ledger: Ledger::open(&folder.path().join("ledger")).expect("a ledger"),
            host_ip: "127.0.0.1".into(),
            volumes: crate::projected::Volumes::default(),
            logs: Mutex::default(),
        };
        Self { shared: Arc::new(shared), tasks, runtime, api, folder }
    }

    pub(crate) fn api(&self) -> MutexGuard<'_, Api> {
        self.api.lock()
    }

    /// The pod with these fields of its spec, as the API server has it.
    pub(crate) fn pod(&self, spec: Value) -> Arc<Pod> {
        self.change(|pod| {
            *pod = json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "p", "namespace": "ns", "uid": "uid-1"},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            });
            for (field, value) in spec.as_object().expect("fields") {
                pod["spec"][field] = value.clone();
            }
        })
    }

    /// Somebody changes the pod.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Value)) -> Arc<Pod> {
        let mut api = self.api();
        change(&mut api.pod);
        api.bump();
        Arc::new(serde_json::from_value(api.pod.clone()).expect("a pod"))
    }

    pub(crate) fn phase(&self) -> String {
        self.api().pod["status"]["phase"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn condition(&self, kind: &str) -> String {
        let api = self.api();
        let conditions = api.pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.iter().find(|one| one["type"] == kind);
        found.and_then(|one| one["status"].as_str()).unwrap_or_default().to_owned()
    }

    /// Its container's status.
    fn container(&self) -> Value {
        self.api().pod["status"]["containerStatuses"][0].clone()
    }

    fn waits_for(&self, reason: &str) -> bool {
        self.container()["state"]["waiting"]["reason"] == reason
    }

    fn run(&self, pod: &Arc<Pod>) -> watch::Sender<Option<Arc<Pod>>> {
        self.run_after(pod, None)
    }

    /// As [`World::run`], with what the ledger knew.
    fn run_after(&self, pod: &Arc<Pod>, before: Option<Observed>) -> watch::Sender<Option<Arc<Pod>>> {
        let (send, feed) = watch::channel(Some(pod.clone()));
        self.tasks.spawn(supervise(self.shared.clone(), pod.clone(), before, feed, self.tasks.token().clone()));
        send
    }

    /// Lets simulated time pass until something has come about.
    pub(crate) async fn eventually(&self, what: &str, done: impl Fn() -> bool) {
        for _ in 0..100_000 {
            if done() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("in vain: {what}: {}", self.api().pod);
    }

    async fn events(&self) -> Vec<(String, String)> {
        self.shared.events.flush().await;
        std::mem::take(&mut self.api().events)
    }

    /// Whether the log that is current and the one before are those of these runs.
    fn logs(&self) -> [Option<String>; 2] {
        let logs = self.shared.logs.lock();
        let of = logs.get(&("ns".into(), "p".into())).and_then(|logs| logs.containers.get("c")).cloned();
        let of = of.unwrap_or_default();
        [of.current.as_ref(), of.before()].map(|log| {
            log.map(|log| String::from_utf8_lossy(&log.read(&mut Position::default(), 1).lines[0].text).into_owned())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_start_has_ended_and_the_restart_policy_says_what_then() {
    let check = async |policy: &str, waits_for: Option<&str>| {
        let world = World::new();
        world.runtime.state.lock().start_errors =
            (0..3).map(|_| LaunchError::Failed("it does not compile".into())).collect();
        let feed = world.run(&world.pod(json!({"restartPolicy": policy})));
        let ended = match waits_for {
            None => {
                world.eventually("it has failed", || world.phase() == "Failed").await;
                world.container()["state"]["terminated"].clone()
            }
            Some(reason) => {
                world.eventually(reason, || world.waits_for(reason)).await;
                world.container()["lastState"]["terminated"].clone()
            }
        };
        assert_eq!((&ended["exitCode"], &ended["reason"]), (&128.into(), &"StartError".into()), "{policy}");
        assert_eq!(ended["message"], "it does not compile");
        (world, feed)
    };
    check("Never", None).await;
    let (world, _feed) = check("OnFailure", Some("CrashLoopBackOff")).await;
    world.eventually("it starts at last", || world.runtime.starts() == 1).await;
    world.eventually("it runs", || world.phase() == "Running" && world.container()["ready"] == true).await;
    assert_eq!(world.container()["restartCount"], 3);
}

#[tokio::test(start_paused = true)]
async fn a_taken_port_and_a_full_disk_are_waited_after_and_are_no_runs() {
    for (error, reason) in [
        (LaunchError::Bind("taken".into()), "FailedBind"),
        (LaunchError::Unavailable("disk full".into()), "CreateContainerError"),
    ] {
        let world = World::new();
        world.runtime.state.lock().start_errors = [error].into();
        let _feed = world.run(&world.pod(json!({"restartPolicy": "Never"})));
        world.eventually(reason, || world.waits_for(reason)).await;
        world.eventually("it runs", || world.container()["ready"] == true).await;
        assert_eq!(world.container()["restartCount"], 0);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_started_that_the_ledger_does_not_know() {
    let world = World::new();
    let ledger = world.folder.path().join("ledger");
    std::fs::remove_dir(&ledger).expect("removed");
    let _feed = world.run(&world.pod(json!({"restartPolicy": "Never"})));
    world.eventually("it waits", || world.waits_for("CreateContainerError")).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.runtime.starts(), 0);
    let events = world.events().await;
    assert!(events.iter().any(|(reason, text)| reason == "Failed" && text.contains("ledger")), "{events:?}");
    std::fs::create_dir(&ledger).expect("made again");
    world.eventually("it runs", || world.phase() == "Running").await;
    let kept = world.shared.ledger.load().expect("readable");
    assert!(kept["uid-1"].observed.containers[0].is_running() || kept["uid-1"].observed.containers[0].is_starting());
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_the_start_is_no_run() {
    let world = World::new();
    let pod = world.pod(json!({"restartPolicy": "Never"}));
    let mut observed = Observed::new(["c"], world.shared.env.now());
    observed.containers[0].state = crate::ContainerState::Pulling { since: world.shared.env.now() };
    let _feed = world.run_after(&pod, Some(observed));
    world.eventually("it runs for the first time", || world.phase() == "Running").await;
    assert_eq!(world.container()["restartCount"], 0);
}

#[tokio::test(start_paused = true)]
async fn images_are_told_of_in_a_kubelets_words() {
    let world = World::new();
    let missing = ImageError { reason: "ErrImagePull", message: "image \"i\" not found".into() };
    world.runtime.state.lock().pull_error = Some(missing);
    let _feed = world.run(&world.pod(json!({})));
    world.eventually("the error is told", || world.waits_for("ErrImagePull")).await;
    assert_eq!(world.container()["state"]["waiting"]["message"], "image \"i\" not found");
    world.eventually("the wait is told", || world.waits_for("ImagePullBackOff")).await;
    let message = "Back-off pulling image \"i\": ErrImagePull: image \"i\" not found";
    assert_eq!(world.container()["state"]["waiting"]["message"], message);
    let pair = |reason: &str, text: &str| (reason.to_owned(), text.to_owned());
    assert_eq!(
        world.events().await,
        [
            pair("Pulling", "Pulling image \"i\""),
            pair("Failed", "Failed to pull image \"i\": image \"i\" not found"),
            pair("Failed", "Error: ErrImagePull"),
            pair("BackOff", "Back-off pulling image \"i\""),
            pair("Failed", "Error: ImagePullBackOff"),
        ]
    );
    world.runtime.state.lock().pull_error = None;
    world.eventually("it runs", || world.phase() == "Running").await;
    let events = world.events().await;
    let reasons: Vec<&str> = events.iter().map(|(reason, _)| reason.as_str()).collect();
    // `Pulling` is the same event once more, and counted.
    assert_eq!(reasons, ["Pulled", "Created", "Started"]);
    assert!(events[0].1.starts_with("Successfully pulled image \"i\" in "), "{events:?}");
    assert!(events[0].1.ends_with("Image size: 3 bytes."), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn the_pull_policy_decides() {
    let check = async |policy: &str, present: bool, expected: &[&str]| {
        let world = World::new();
        world.runtime.state.lock().present = present;
        let containers = json!([{"name": "c", "image": "i", "imagePullPolicy": policy}]);
        let _feed = world.run(&world.pod(json!({"containers": containers})));
        let settled = || world.phase() == "Running" || world.waits_for("ErrImageNeverPull");
        world.eventually("it runs or waits", settled).await;
        let events = world.events().await;
        let reasons: Vec<&str> = events.iter().map(|(reason, _)| reason.as_str()).collect();
        assert_eq!(reasons, expected, "{policy} {present}");
        events
    };
    let events = check("IfNotPresent", true, &["Pulled", "Created", "Started"]).await;
    assert!(events[0].1.contains("already present on machine"), "{events:?}");
    check("IfNotPresent", false, &["Pulling", "Pulled", "Created", "Started"]).await;
    check("Always", true, &["Pulling", "Pulled", "Created", "Started"]).await;
    check("Never", true, &["Pulled", "Created", "Started"]).await;
    check("Never", false, &["ErrImageNeverPull", "Failed"]).await;
}

#[tokio::test(start_paused = true)]
async fn failed_starts_take_no_log_away_and_previous_is_the_last_run() {
    let world = World::new();
    let _feed = world.run(&world.pod(json!({})));
    let run = |n: u32| Some(format!("run {n}"));
    world.eventually("it runs", || world.phase() == "Running").await;
    assert_eq!(world.logs(), [run(1), None]);
    world.runtime.end(1, "Error");
    world.eventually("it runs again", || world.runtime.starts() == 2 && world.container()["ready"] == true).await;
    assert_eq!(world.logs(), [run(2), run(1)]);
    world.runtime.state.lock().start_errors =
        [LaunchError::Bind("taken".into()), LaunchError::Failed("broken".into())].into();
    world.runtime.end(1, "Error");
    world.eventually("it backs off", || world.waits_for("CrashLoopBackOff")).await;
    assert_eq!(world.logs(), [run(2), run(2)]);
    world.eventually("the port is taken", || world.waits_for("FailedBind")).await;
    assert_eq!(world.logs(), [run(2), run(2)]);
    let broken = || world.container()["lastState"]["terminated"]["reason"] == "StartError";
    world.eventually("it does not start", broken).await;
    assert_eq!(world.logs(), [run(2), run(2)]);
    world.eventually("it runs at last", || world.runtime.starts() == 3 && world.container()["ready"] == true).await;
    assert_eq!(world.logs(), [run(3), run(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_ends_keeps_its_ledger() {
    let world = World::new();
    let feed = world.run(&world.pod(json!({})));
    world.eventually("it runs", || world.phase() == "Running").await;
    // The dispatcher may end before its workers hear of the node's end.
    drop(feed);
    world.eventually("the worker has ended", || world.tasks.len() == 1).await;
    assert!(world.shared.ledger.load().expect("readable").contains_key("uid-1"));
}

#[tokio::test(start_paused = true)]
async fn the_last_words_of_a_failed_run_are_its_message_where_its_definition_says_so() {
    let check = async |policy: &str, code: i32, expected: &Value| {
        let world = World::new();
        let container = json!({"name": "c", "image": "i", "terminationMessagePolicy": policy});
        let _feed = world.run(&world.pod(json!({"restartPolicy": "Never", "containers": [container]})));
        world.eventually("it runs", || world.phase() == "Running").await;
        world.runtime.end(code, "Error");
        let ended = || world.container()["state"]["terminated"].clone();
        world.eventually("it has ended", || !ended().is_null()).await;
        assert_eq!(&ended()["message"], expected, "{policy} {code}");
    };
    check("FallbackToLogsOnError", 1, &"run 1\n".into()).await;
    check("FallbackToLogsOnError", 0, &Value::Null).await;
    check("File", 1, &Value::Null).await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_image_ends_the_run_and_the_next_one_begins_at_once() {
    for policy in ["Always", "OnFailure", "Never"] {
        let world = World::new();
        let feed = world.run(&world.pod(json!({"restartPolicy": policy, "terminationGracePeriodSeconds": 9})));
        world.eventually("it runs", || world.phase() == "Running").await;
        world.events().await;
        let changed = world.change(|pod| pod["spec"]["containers"][0]["image"] = "j".into());
        feed.send_replace(Some(changed));
        world.eventually("it is told to end", || world.runtime.graces() == [Duration::from_secs(9)]).await;
        assert_eq!(world.container()["image"], "i", "what runs until then");
        let began = world.shared.env.instant();
        world.runtime.end(0, "Completed");
        world.eventually("it runs again", || world.runtime.starts() == 2 && world.container()["ready"] == true).await;
        assert!(world.shared.env.instant() - began < Duration::from_secs(1), "without a back-off");
        let one = world.container();
        assert_eq!((&one["image"], &one["restartCount"]), (&"j".into(), &1.into()), "{policy}");
        assert_eq!((world.phase(), one["lastState"]["terminated"]["exitCode"].clone()), ("Running".into(), 0.into()));
        let events = world.events().await;
        let killing = ("Killing".to_owned(), "Container c definition changed, will be restarted".to_owned());
        assert!(events.contains(&killing), "{events:?}");
        // From here on its policy holds again.
        world.runtime.end(0, "Completed");
        tokio::time::sleep(Duration::from_secs(30)).await;
        let (starts, ready) = if policy == "Always" { (3, true) } else { (2, false) };
        assert_eq!(world.container()["ready"], ready, "{policy}");
        assert_eq!(world.runtime.starts(), starts, "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_grace_of_any_length_is_waited_for_and_cut_short_by_force() {
    for seconds in [0, 1, i64::MAX / 2, i64::MAX] {
        let world = World::new();
        let feed = world.run(&world.pod(json!({"terminationGracePeriodSeconds": seconds})));
        world.eventually("it runs", || world.phase() == "Running").await;
        feed.send_replace(Some(world.change(|pod| {
            pod["metadata"]["deletionTimestamp"] = "9999-12-30T22:00:00Z".into();
            pod["metadata"]["deletionGracePeriodSeconds"] = seconds.into();
        })));
        let grace = Duration::from_secs(seconds.unsigned_abs()).min(Seconds::DURATION_MAX);
        world.eventually("it is told to end", || world.runtime.graces() == [grace]).await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(world.runtime.graces().len(), 1, "told once");
        let run = world.runtime.state.lock().started.last().cloned().expect("a run");
        assert!(run.exit.borrow().is_none());
        // Deleted by force: gone from the API.
        feed.send_replace(None);
        world.eventually("its container has ended", || run.exit.borrow().is_some()).await;
        world.eventually("it is forgotten", || world.shared.ledger.load().is_ok_and(|all| all.is_empty())).await;
        assert_eq!(world.shared.addresses.in_use(), 0);
        assert!(!world.events().await.iter().any(|(reason, _)| reason == "FailedSync"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_found_no_address_gets_one_when_there_is_one() {
    let world = World::new();
    let held: Vec<_> = std::iter::from_fn(|| world.shared.addresses.take()).collect();
    let _feed = world.run(&world.pod(json!({})));
    world.eventually("it waits", || world.waits_for("CreateContainerError")).await;
    drop(held);
    world.eventually("it runs", || world.phase() == "Running").await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_moves_has_its_new_address_alone() {
    let world = World::new();
    world.pod(json!({}));
    let former = "10.0.0.9";
    let moved = world.change(|pod| {
        pod["status"] = json!({
            "phase": "Running", "podIP": former, "podIPs": [{"ip": former}],
            "hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.1"}],
        });
    });
    let mut before = Observed::new(["c"], world.shared.env.now());
    before.ip = Some(former.parse().expect("an address"));
    let held: Vec<_> = std::iter::from_fn(|| world.shared.addresses.take()).collect();
    let _feed = world.run_after(&moved, Some(before));
    world.eventually("it waits", || world.waits_for("CreateContainerError")).await;
    assert_eq!(world.api().pod["status"]["podIP"], Value::Null, "the former one is no longer its own");
    assert_eq!(world.api().pod["status"]["podIPs"], Value::Null);
    drop(held);
    world.eventually("it runs", || world.phase() == "Running" && world.container()["ready"] == true).await;
    let status = world.api().pod["status"].clone();
    assert_ne!(status["podIP"], former);
    assert_eq!(status["podIPs"], json!([{"ip": status["podIP"]}]));
    assert_eq!(status["hostIPs"], json!([{"ip": "127.0.0.1"}]));
}
