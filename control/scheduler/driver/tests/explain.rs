//! Explanations on an API server in this process: what is on record outlives the scheduler and the history, and a matrix
//! is of the policies that decided or is not shown.

#[path = "../../core/tests/native/mod.rs"]
mod native;

use futures::future::BoxFuture;
use native::Native;
use sampan_api::k8s::api::core::v1::{Node, Pod};
use sampan_api::scheduling::{Decision, Explanation};
use sampan_api::user::{Attributes, Authorizer, Decision as Authorized, UserInfo};
use sampan_client::{Client, EventRecorder, Informers, ListParams, Patch};
use sampan_env::{Clock, Env, SystemClock, SystemRandom, Tasks};
use sampan_scheduler_core::{Answer, LivePolicies, Point, Policies, PolicyHosts, Profile, Question, Unanswered};
use sampan_scheduler_driver::{Driver, DriverConfig, Explainer, Metrics};
use sampan_testing::server::{Server, guarded_through};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);
const PODS: usize = 6;
/// Older history is read by those alone who have the right to it.
const LONG_AGO: Duration = Duration::from_secs(600);

/// The built-in policies natively.
struct Host {
    native: Native,
    profile: Arc<Profile>,
}

impl Policies for Host {
    fn ask(&mut self, point: Point, unit: u32, question: &Question<'_>) -> Result<Answer, Unanswered> {
        self.native.ask(point, unit, question)
    }
}

impl LivePolicies for Host {
    fn adopt(&mut self) -> bool {
        false
    }
    fn profile(&self, _: &str) -> Option<Arc<Profile>> {
        Some(Arc::clone(&self.profile))
    }
    fn events(&self, _: u32) -> &[String] {
        &[]
    }
    fn ready(&self) -> bool {
        true
    }
}

/// What is live: the built-in policies, the last of them in the form that a test chooses.
#[derive(Default)]
struct Hosts {
    form: AtomicU64,
}

/// Forms of a policy: as it decides, of another weight, of other arguments, of another component.
const FORMS: [&str; 4] = ["", "weight", "arguments", "component"];

impl Hosts {
    fn made(&self) -> Box<Host> {
        let form = FORMS[self.form.load(Ordering::Relaxed) as usize];
        let mut policies = native::profile().policies().to_vec();
        let last = policies.last_mut().expect("a policy");
        match form {
            "weight" => last.weight += 1,
            "arguments" => last.args_digest = "sha256:other".to_owned(),
            "component" => last.digest = "sha256:other".to_owned(),
            _ => {}
        }
        let profile = Profile::new("default-scheduler", policies, 1);
        Box::new(Host { native: Native::new(&profile), profile: Arc::new(profile) })
    }
}

impl PolicyHosts for Hosts {
    fn host(&self) -> Box<dyn LivePolicies> {
        self.made()
    }
    fn explaining_host(&self) -> Box<dyn LivePolicies> {
        self.made()
    }
}

/// Everybody may do what a cluster's roles allow, and a binding once it is told so.
struct Gate {
    roles: Arc<dyn Authorizer>,
    bindings: watch::Receiver<bool>,
}

impl Authorizer for Gate {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Authorized> {
        Box::pin(async move {
            if attributes.subresource == "binding" {
                let mut opened = self.bindings.clone();
                opened.wait_for(|is_open| *is_open).await.expect("the gate is there");
            }
            self.roles.authorize(attributes).await
        })
    }
}

/// The machine's clock, ahead by so many seconds.
#[derive(Default)]
struct Ahead {
    machine: SystemClock,
    seconds: AtomicU64,
}

impl Clock for Ahead {
    fn now(&self) -> SystemTime {
        self.machine.now() + Duration::from_secs(self.seconds.load(Ordering::Relaxed))
    }
    fn instant(&self) -> Instant {
        self.machine.instant()
    }
}

struct Cluster {
    server: Server,
    client: Client,
    hosts: Arc<Hosts>,
    bindings: watch::Sender<bool>,
    clock: Arc<Ahead>,
}

fn of<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).expect("an object of this test")
}

impl Cluster {
    /// Three nodes, and pods that wait for a scheduler: the last one fits nowhere.
    async fn new() -> Self {
        let (bindings, opened) = watch::channel(false);
        let clock = Arc::new(Ahead::default());
        let env = Env::new(clock.clone(), Arc::new(SystemRandom));
        let server = guarded_through(env, |roles| Arc::new(Gate { roles, bindings: opened })).await;
        let client = server.client(UserInfo::apiserver());
        for name in ["a", "b", "c"] {
            client.all::<Node>().create(&of(json!({"metadata": {"name": name}}))).await.expect("created");
            let status = json!({"status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}});
            client.all::<Node>().patch_status(name, &Patch::Merge(status)).await.expect("patched");
            // New nodes are tainted not-ready; the controller that would take it away does not run here.
            let untainted = Patch::Merge(json!({"spec": {"taints": null}}));
            client.all::<Node>().patch(name, &untainted).await.expect("patched");
        }
        for at in 0..=PODS {
            let cpu = if at == PODS { "64" } else { "500m" };
            let containers = json!([{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]);
            let pod = json!({"metadata": {"name": format!("p{at}")}, "spec": {"containers": containers}});
            client.namespaced::<Pod>("default").create(&of(pod)).await.expect("created");
        }
        Self { server, client, hosts: Arc::default(), bindings, clock }
    }

    /// A scheduler that knows of nothing but what the API server has.
    fn scheduler(&self) -> (Tasks, Explainer, Arc<Metrics>) {
        let (tasks, env) = (Tasks::new("scheduler"), self.server.env.clone());
        let client = self.server.client(UserInfo::scheduler());
        let driver = Driver::new(DriverConfig {
            client: client.clone(),
            informers: Informers::new(client.clone(), &env, &tasks),
            events: EventRecorder::new(client, "default-scheduler", None, &env, &tasks),
            policies: self.hosts.clone(),
            env,
            tasks: tasks.clone(),
        });
        let driver = driver.expect("informers");
        let (explainer, metrics) = (driver.explainer(), driver.metrics());
        driver.start().expect("a thread");
        (tasks, explainer, metrics)
    }

    /// Waits until the decisions about all pods are on record. No pod is bound before all were decided on: each decision
    /// builds on those before it.
    async fn decided(&self, metrics: &Metrics) -> Vec<Decision> {
        let wait = async {
            while metrics.cycles.load(Ordering::Relaxed) <= PODS as u64 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            self.bindings.send_replace(true);
            loop {
                let listed = self.client.all::<Decision>().list(&ListParams::default()).await.expect("listed");
                if listed.items.len() > PODS {
                    return listed.items;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("every decision is posted")
    }
}

async fn explain(explainer: &Explainer, at: usize) -> Explanation {
    explainer.explain("default", &format!("p{at}")).await.unwrap_or_else(|status| panic!("p{at}: {}", status.message))
}

/// Every pod's decision is told, and the whole of it computed again.
async fn whole(explainer: &Explainer, when: &str) {
    for at in 0..=PODS {
        let explained = explain(explainer, at).await;
        let matrix = explained.matrix.unwrap_or_else(|| panic!("{when}: p{at}: {}", explained.note));
        assert!(matrix.agrees, "{when}: p{at}: {}", matrix.difference);
        assert_eq!(explained.decision.outcome.node.is_some(), at < PODS, "{when}: p{at}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explanation_outlives_the_scheduler_and_the_history() {
    let cluster = Cluster::new().await;
    let (tasks, explainer, metrics) = cluster.scheduler();
    let decided = cluster.decided(&metrics).await;
    let builds_on_others = decided.iter().filter(|decision| !decision.inputs.assumed.is_empty()).count();
    assert_eq!(builds_on_others, PODS, "all but the first build on what was not seen to be bound");
    whole(&explainer, "at once").await;

    tasks.drain(Duration::from_secs(5)).await.expect("it ends");
    let (tasks, explainer, _) = cluster.scheduler();
    assert!(explainer.records().latest("default", "p0").is_none(), "another process remembers nothing");
    whole(&explainer, "after a restart").await;

    for (form, what) in FORMS.iter().enumerate().skip(1) {
        cluster.hosts.form.store(form as u64, Ordering::Relaxed);
        for at in [0, PODS] {
            let explained = explain(&explainer, at).await;
            assert!(explained.matrix.is_none(), "a matrix of another {what} explains nothing");
            assert!(explained.note.contains("when they decided: NodeResourcesFit"), "{what}: {}", explained.note);
        }
    }
    cluster.hosts.form.store(0, Ordering::Relaxed);
    whole(&explainer, "by what decided").await;

    // What every decision saw is history by now, long ago, and then gone.
    cluster.clock.seconds.store(LONG_AGO.as_secs(), Ordering::Relaxed);
    let later = Patch::Merge(json!({"metadata": {"labels": {"later": "true"}}}));
    cluster.client.namespaced::<Pod>("default").patch("p0", &later).await.expect("patched");
    whole(&explainer, "long after").await;
    cluster.server.compact("/registry/core/pods/").await;
    for at in 0..=PODS {
        let Explanation { decision, matrix, note, text, .. } = explain(&explainer, at).await;
        assert!(matrix.is_none() && note.contains("the pods of that moment cannot be read"), "p{at}: {note}");
        let told = match &decision.outcome.node {
            Some(node) => format!("Pod default/p{at} was placed on {node}."),
            None => "3 nodes refused by NodeResourcesFit: Insufficient cpu".to_owned(),
        };
        assert!(text.contains(&told) && text.contains("cannot be computed again"), "p{at}: {text}");
    }
    tasks.drain(Duration::from_secs(5)).await.expect("it ends");
}
