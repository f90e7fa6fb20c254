//! The scheduler without I/O, step by step: what it does with refusals, late words and policies that come and go.

#[path = "../../core/tests/native/mod.rs"]
mod native;

use native::Native;
use sampan_api::k8s::api::core::v1::Pod;
use sampan_scheduler_core::{Answer, CycleResult, LivePolicies, Point, Policies, Profile, Question, Unanswered};
use sampan_scheduler_driver::{Bind, BindResult, Cycled, PodChange, Scheduler, SchedulerSettings};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// What a test makes of the policies.
#[derive(Default)]
struct Script {
    not_ready: AtomicBool,
    no_profile: AtomicBool,
}

/// The built-in policies natively.
struct Scripted {
    native: Native,
    profile: Arc<Profile>,
    script: Arc<Script>,
}

impl Policies for Scripted {
    fn ask(&mut self, point: Point, unit: u32, question: &Question<'_>) -> Result<Answer, Unanswered> {
        self.native.ask(point, unit, question)
    }
}

impl LivePolicies for Scripted {
    fn adopt(&mut self) -> bool {
        true
    }
    fn profile(&self, _: &str) -> Option<Arc<Profile>> {
        (!self.script.no_profile.load(Ordering::Relaxed)).then(|| Arc::clone(&self.profile))
    }
    fn events(&self, _: u32) -> &[String] {
        &[]
    }
    fn ready(&self) -> bool {
        !self.script.not_ready.load(Ordering::Relaxed)
    }
}

struct Bench {
    scheduler: Scheduler,
    script: Arc<Script>,
    now: Instant,
}

fn pod(name: &str, uid: &str, more: Value) -> Arc<Pod> {
    let mut pod = json!({"metadata": {"name": name, "namespace": "d", "uid": uid}, "spec": {"schedulerName":
        "default-scheduler", "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}});
    for part in ["metadata", "spec"] {
        for (key, value) in more[part].as_object().into_iter().flatten() {
            pod[part][key] = value.clone();
        }
    }
    Arc::new(serde_json::from_value(pod).expect("a pod"))
}

impl Bench {
    /// One node of 4 CPUs.
    fn new() -> Self {
        let (profile, script) = (Arc::new(native::profile()), Arc::new(Script::default()));
        let policies = Scripted { native: Native::new(&profile), profile, script: Arc::clone(&script) };
        let mut scheduler = Scheduler::new(Box::new(policies), &SchedulerSettings::default());
        let now = sampan_env::Env::system().instant();
        let node =
            json!({"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "9"}}});
        scheduler.node_applied(Arc::new(serde_json::from_value(node).expect("a node")), now);
        Self { scheduler, script, now }
    }

    fn tell(&mut self, pod: &Arc<Pod>) {
        self.scheduler.pod_applied(PodChange { pod: Arc::clone(pod) }, self.now);
    }

    fn cycle(&mut self) -> Option<Cycled> {
        self.scheduler.cycle(self.now, 0)
    }

    fn place(&mut self) -> Bind {
        self.cycle().and_then(|cycled| cycled.bind).expect("a pod is placed")
    }

    fn refuse(&mut self, bind: &Bind) {
        self.scheduler.bound(bind, &BindResult::Refused("no".into()), self.now);
    }

    fn cpu(&self) -> i64 {
        let requested = self.scheduler.snapshot().requested("n");
        requested.iter().find(|(name, _)| *name == "cpu").map_or(0, |(_, amount)| *amount)
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_due_while_no_cycle_may_run() {
    let mut bench = Bench::new();
    bench.tell(&pod("a", "a", json!({"spec": {"nodeSelector": {"no": "such"}}})));
    assert_eq!(bench.cycle().expect("a cycle").outcome.result, CycleResult::Unschedulable);
    assert!(bench.scheduler.next_due().is_some());
    bench.script.not_ready.store(true, Ordering::Relaxed);
    bench.now += Duration::from_secs(1000);
    assert_eq!(bench.scheduler.next_due(), None, "its time is over, and waiting for it would be no wait at all");
    assert!(bench.cycle().is_none());
    bench.script.not_ready.store(false, Ordering::Relaxed);
    assert!(bench.cycle().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_binding_is_refused_is_tried_less_and_less_often() {
    let mut bench = Bench::new();
    bench.tell(&pod("a", "a", json!({})));
    let mut waits = Vec::new();
    for _ in 0..5 {
        let bind = bench.place();
        bench.refuse(&bind);
        assert_eq!(bench.cpu(), 0, "it is on no node");
        assert!(bench.cycle().is_none());
        let due = bench.scheduler.next_due().expect("it backs off");
        waits.push(due.duration_since(bench.now).as_secs());
        bench.now = due;
    }
    assert_eq!(waits, [1, 2, 4, 8, 10]);
}

#[tokio::test(start_paused = true)]
async fn what_is_heard_of_a_pod_while_it_is_bound_counts_afterwards() {
    let check = |more: Value, expected: Option<CycleResult>| {
        let mut bench = Bench::new();
        bench.tell(&pod("a", "a", json!({})));
        let bind = bench.place();
        bench.tell(&pod("a", "a", more.clone()));
        assert_eq!(bench.cpu(), 1000, "it counts until its binding is known to have failed: {more}");
        bench.refuse(&bind);
        bench.now += Duration::from_secs(60);
        assert_eq!(bench.cycle().map(|cycled| cycled.outcome.result), expected, "{more}");
    };
    check(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}), None);
    check(json!({"spec": {"schedulingGates": [{"name": "example.com/wait"}]}}), None);
    check(json!({"spec": {"nodeSelector": {"no": "such"}}}), Some(CycleResult::Unschedulable));
}

#[tokio::test(start_paused = true)]
async fn the_last_word_on_a_name_ends_every_pod_that_had_it() {
    let mut bench = Bench::new();
    bench.tell(&pod("a", "first", json!({"spec": {"nodeName": "n"}})));
    assert_eq!(bench.cpu(), 1000);
    // The first was deleted, a second came and went, and only the end was told.
    let now = bench.now;
    bench.scheduler.pod_deleted("d", "a", "second", now);
    assert_eq!(bench.cpu(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_its_profile_to_come_again() {
    let mut bench = Bench::new();
    bench.tell(&pod("a", "a", json!({})));
    bench.script.no_profile.store(true, Ordering::Relaxed);
    assert!(bench.cycle().is_none());
    bench.script.no_profile.store(false, Ordering::Relaxed);
    let now = bench.now;
    bench.scheduler.adopt(now);
    assert_eq!(bench.place().name, "a");
}
