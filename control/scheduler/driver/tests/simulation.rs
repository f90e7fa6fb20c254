//! A cluster, an API server that loses answers, a scheduler that crashes: all out of one seed. Never over-committed,
//! never bound twice, never past a policy whose faults are not ignored, whatever becomes of that policy, and in the end
//! every pod that fits somewhere runs.
//!
//! 200 seeds; SAMPAN_TIER=nightly: 10,000. SAMPAN_SEED=N runs one and says more.

#[path = "../../core/tests/native/mod.rs"]
mod native;

use native::Native;
use sampan_api::k8s::api::core::v1::{Node, Pod};
use sampan_policy_sdk as sdk;
use sampan_scheduler_core::{
    Answer, ColumnSet, Fault, Feed, FilterAnswer, HeldPolicy, LivePolicies, Normalize, Point, Points, Policies,
    Profile, ProfilePolicy, Question, Reason, Unanswered, amounts, pod_requests,
};
use sampan_scheduler_driver::{Bind, BindResult, PodChange, Scheduler, SchedulerSettings};
use sampan_testing::Dice;
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Pods of this label are kept off these nodes by a policy whose faults are not ignored.
const KEPT_OFF: &str = "kept-off";
const FORBIDDEN: [&str; 2] = ["n0", "n3"];

fn is_forbidden(pod: &Pod, node: &str) -> bool {
    pod.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(KEPT_OFF)) && FORBIDDEN.contains(&node)
}

struct Strict;

impl sdk::Policy for Strict {
    const NAME: &'static str = "Strict";
    const POINTS: &'static [sdk::Point] = &[sdk::Point::Filter];
    const COLUMNS: &'static [sdk::Column] = &[sdk::Column::NodeName, sdk::Column::PodLabels];
    type Args = sdk::NoArgs;
    fn new(_: sdk::NoArgs) -> Result<Self, String> {
        Ok(Self)
    }
    fn filter(&self, pod: &sdk::Pod, node: &sdk::Node) -> sdk::Verdict {
        if pod.label(KEPT_OFF).is_some() && FORBIDDEN.contains(&node.name()) {
            sdk::Verdict::unresolvable("node(s) were forbidden")
        } else {
            sdk::Verdict::Pass
        }
    }
}

/// What has become of the strict policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Live,
    /// After three faults, or since its component is compiled, or cannot be fetched: it cannot be asked.
    NotLive,
}

/// Shared with the simulation, which changes it between two cycles.
#[derive(Debug)]
struct Control {
    standing: Standing,
    /// Grows with each change, a swap for the same among them.
    generation: u64,
    faults: u32,
}

const STRICT_UNIT: u32 = 7;
const STRICT_ID: u32 = 70;

fn profile_with(standing: Standing, generation: u64) -> Profile {
    let mut policies = native::profile().policies().to_vec();
    if standing == Standing::Live {
        let strict = ProfilePolicy {
            id: STRICT_ID,
            unit: STRICT_UNIT,
            name: "strict".into(),
            generation: Some(1),
            digest: String::new(),
            args_digest: String::new(),
            points: Points::of([Point::Filter]),
            columns: ColumnSet::from_names(["node.name", "pod.labels"]).expect("columns of the contract"),
            weight: 1,
            normalize: Normalize::None,
            // Its answers are kept, or not.
            cacheable: generation.is_multiple_of(2),
            ignore_faults: false,
        };
        policies.insert(generation as usize % (policies.len() + 1), strict);
    }
    let mut profile = Profile::new("default-scheduler", policies, generation);
    if standing == Standing::NotLive {
        profile.held.push(HeldPolicy { name: "strict".into(), why: "it is not live".into() });
    }
    profile
}

/// The built-in policies natively and a strict one, with a fault now and then.
struct Simulated {
    native: Native,
    strict: Option<(sdk::Runtime, Feed)>,
    profile: Arc<Profile>,
    generation: u64,
    control: Rc<RefCell<Control>>,
    dice: Dice,
    faults: u64,
}

impl Simulated {
    fn boxed(seed: u64, faults: u64, control: &Rc<RefCell<Control>>) -> Box<Self> {
        let (generation, standing) = (control.borrow().generation, control.borrow().standing);
        let profile = Arc::new(profile_with(standing, generation));
        let native = Native::new(&profile);
        let (control, dice) = (Rc::clone(control), Dice::new(seed));
        Box::new(Self { native, strict: None, profile, generation, control, dice, faults })
    }

    fn ask_strict(&mut self, question: &Question<'_>) -> Answer {
        let (runtime, feed) = self.strict.get_or_insert_with(|| {
            let mut runtime = sdk::Runtime::new(vec![sdk::entry::<Strict>()]);
            runtime.configure(STRICT_ID, "Strict", "").expect("it takes no arguments");
            (runtime, Feed::new(ColumnSet::from_names(["node.name", "pod.labels"]).expect("columns")))
        });
        let (changes, pod) = feed.changes(question.snapshot, question.signature);
        let input = sdk::Input {
            changes: native::changes(changes),
            overlay: sdk::Changes::default(),
            pod,
            policies: question.policies.to_vec(),
            nodes: question.rows.to_vec(),
        };
        let answer = runtime.filter(&input).expect("an answer");
        let reasons = answer.reasons.into_iter();
        let reasons = reasons.map(|r| Reason { policy: r.policy, unresolvable: r.bits & 1 == 1, texts: r.texts });
        Answer::Filter(FilterAnswer { marks: answer.marks, reasons: reasons.collect(), skipped: answer.skipped })
    }
}

impl Policies for Simulated {
    fn ask(&mut self, point: Point, unit: u32, question: &Question<'_>) -> Result<Answer, Unanswered> {
        let is_strict = unit == STRICT_UNIT;
        if self.faults > 0 && self.dice.one_in(if is_strict { self.faults / 4 } else { self.faults }) {
            if is_strict {
                // Its mirror is gone with its instance.
                self.strict = None;
                let mut control = self.control.borrow_mut();
                control.faults += 1;
                if control.faults >= 3 {
                    control.standing = Standing::NotLive;
                    control.generation += 1;
                }
            }
            return Err(Fault::new(question.policies.to_vec(), "Trap", "simulated").into());
        }
        if is_strict { Ok(self.ask_strict(question)) } else { self.native.ask(point, unit, question) }
    }
}

impl LivePolicies for Simulated {
    fn adopt(&mut self) -> bool {
        let (generation, standing) = (self.control.borrow().generation, self.control.borrow().standing);
        if generation == self.generation {
            return false;
        }
        self.generation = generation;
        self.profile = Arc::new(profile_with(standing, generation));
        true
    }
    fn profile(&self, name: &str) -> Option<Arc<Profile>> {
        (name == self.profile.scheduler_name()).then(|| Arc::clone(&self.profile))
    }
    fn events(&self, _: u32) -> &[String] {
        static ALL: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
        ALL.get_or_init(|| ["Node/Add", "Node/Update", "Pod/Delete"].map(str::to_owned).to_vec())
    }
    fn ready(&self) -> bool {
        true
    }
}

/// A word of the watch, on its way.
#[derive(Clone)]
enum Word {
    Node(Arc<Node>),
    NodeGone(String),
    Pod(Arc<Pod>),
    PodGone(String, String),
}

/// The truth: what the API server has.
struct World {
    nodes: BTreeMap<String, Arc<Node>>,
    pods: BTreeMap<String, Arc<Pod>>,
    /// Words that the scheduler has not heard yet, in order.
    watch: Vec<Word>,
    /// Bindings under way.
    binding: Vec<Bind>,
    /// Bindings that this run of the scheduler has asked for and that were not refused, by uid.
    asked: BTreeMap<String, String>,
    next: u64,
}

impl World {
    fn cpu(pod: &Pod) -> i64 {
        pod_requests(pod).get("cpu").copied().unwrap_or(0)
    }

    fn node_of(pod: &Pod) -> Option<&str> {
        pod.spec.as_ref()?.node_name.as_deref()
    }

    fn add_node(&mut self, name: &str, cpu: u64, cordoned: bool) {
        let node = json!({"metadata": {"name": name}, "spec": {"unschedulable": cordoned},
            "status": {"allocatable": {"cpu": cpu.to_string(), "memory": "64Gi", "pods": "6"}}});
        let node: Arc<Node> = Arc::new(serde_json::from_value(node).expect("a node"));
        self.nodes.insert(name.to_owned(), Arc::clone(&node));
        self.watch.push(Word::Node(node));
    }

    fn add_pod(&mut self, dice: &mut Dice) {
        self.next += 1;
        let uid = format!("uid-{}", self.next);
        // Names come again: a later pod of the same name is another pod.
        let name = format!("p{}", self.next % 40);
        if self.pods.values().any(|pod| pod.metadata.name.as_deref() == Some(&name)) {
            return;
        }
        let cpu = format!("{}m", 100 * (1 + dice.roll(15)));
        let labels = if dice.one_in(2) { json!({KEPT_OFF: "true"}) } else { json!({}) };
        let pod = json!({"metadata": {"name": name, "namespace": "d", "uid": uid, "labels": labels}, "spec": {"schedulerName":
            "default-scheduler", "priority": dice.roll(3), "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
        self.put_pod(serde_json::from_value(pod).expect("a pod"));
    }

    fn put_pod(&mut self, pod: Pod) {
        let pod = Arc::new(pod);
        self.pods.insert(pod.metadata.uid.clone().expect("a uid"), Arc::clone(&pod));
        self.watch.push(Word::Pod(pod));
    }

    fn delete_pod(&mut self, uid: &str) {
        if let Some(pod) = self.pods.remove(uid) {
            self.watch.push(Word::PodGone(pod.metadata.name.clone().expect("a name"), uid.to_owned()));
        }
    }

    /// The scheduler asks for a binding: of a pod that it has not placed already.
    fn ask(&mut self, bind: Bind, seed: u64) {
        if let Some(pod) = self.pods.get(&*bind.uid) {
            assert!(!is_forbidden(pod, &bind.node), "seed {seed}: {} goes past the strict policy", bind.uid);
        }
        let before = self.asked.insert(bind.uid.to_string(), bind.node.clone());
        assert_eq!(before, None, "seed {seed}: {} is placed twice", bind.uid);
        self.binding.push(bind);
    }

    /// The scheduler hears what came of a binding.
    fn answer(&mut self, scheduler: &mut Scheduler, bind: &Bind, result: &BindResult, now: Instant) {
        if let BindResult::Refused(_) = result {
            self.asked.remove(&*bind.uid);
        }
        scheduler.bound(bind, result, now);
    }

    /// What the API server does with a binding.
    fn bind(&mut self, bind: &Bind, seed: u64) -> BindResult {
        let Some(pod) = self.pods.get(&*bind.uid).cloned() else {
            return BindResult::Refused("not found".into());
        };
        if let Some(node) = Self::node_of(&pod) {
            return if node == bind.node { BindResult::Bound } else { BindResult::Refused("conflict".into()) };
        }
        let mut pod = Pod::clone(&pod);
        pod.spec.as_mut().expect("a spec").node_name = Some(bind.node.clone());
        self.put_pod(pod);
        self.check(&bind.node, seed);
        BindResult::Bound
    }

    /// A node never holds more than it has: nothing else than this scheduler binds, and nothing shrinks.
    fn check(&self, node: &str, seed: u64) {
        let Some(found) = self.nodes.get(node) else { return };
        let there: Vec<&Arc<Pod>> =
            self.pods.values().filter(|pod| Self::node_of(pod) == Some(node) && !finished(pod)).collect();
        let status = found.status.as_ref().and_then(|status| status.allocatable.clone()).unwrap_or_default();
        let allocatable = amounts(&status);
        let used: i64 = there.iter().map(|pod| Self::cpu(pod)).sum();
        assert!(used <= allocatable["cpu"], "seed {seed}: node {node} has {used} of {}", allocatable["cpu"]);
        assert!(there.len() as i64 <= allocatable["pods"], "seed {seed}: node {node} has {} pods", there.len());
    }
}

fn finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn hear(scheduler: &mut Scheduler, word: Word, now: Instant) {
    match word {
        Word::Node(node) => scheduler.node_applied(node, now),
        Word::NodeGone(name) => scheduler.node_deleted(&name),
        Word::PodGone(name, uid) => scheduler.pod_deleted("d", &name, &uid, now),
        Word::Pod(pod) => {
            let uid = pod.metadata.uid.clone().expect("a uid");
            let quick = World::node_of(&pod).filter(|_| !finished(&pod)).map(str::to_owned);
            if quick.is_none_or(|node| !scheduler.confirms(&uid, &node)) {
                scheduler.pod_applied(PodChange { pod }, now);
            }
        }
    }
}

fn fresh(world: &mut World, seed: u64, now: Instant, faults: u64, control: &Rc<RefCell<Control>>) -> Scheduler {
    let settings = SchedulerSettings { assumed_max: 8 };
    let mut scheduler = Scheduler::new(Simulated::boxed(seed, faults, control), &settings);
    world.watch.clear();
    world.asked.clear();
    for node in world.nodes.values() {
        scheduler.node_applied(Arc::clone(node), now);
    }
    for pod in world.pods.values() {
        scheduler.pod_applied(PodChange { pod: Arc::clone(pod) }, now);
    }
    scheduler
}

fn simulate(seed: u64, begin: Instant) -> (u64, u64) {
    let mut dice = Dice::new(seed);
    let mut now = begin;
    let faults = [0, 40][dice.roll(2) as usize];
    let mut world = World {
        nodes: BTreeMap::new(),
        pods: BTreeMap::new(),
        watch: Vec::new(),
        binding: Vec::new(),
        asked: BTreeMap::new(),
        next: 0,
    };
    // At the first start its component is not compiled yet.
    let control = Rc::new(RefCell::new(Control { standing: Standing::NotLive, generation: seed, faults: 0 }));
    let mut scheduler = fresh(&mut world, seed, now, faults, &control);
    let (mut placed, mut refused) = (0, 0);
    for _ in 0..400 {
        now += Duration::from_millis(dice.roll(400));
        scheduler.adopt(now);
        match dice.roll(13) {
            0 => {
                let number = dice.roll(6);
                let name = format!("n{number}");
                if !world.nodes.contains_key(&name) {
                    // A node that comes again is as large as it was: against one that shrinks unseen no scheduler helps.
                    world.add_node(&name, 1 + number % 4, dice.one_in(5));
                } else if dice.one_in(4) {
                    world.nodes.remove(&name);
                    // A node's pods go with it.
                    let there: Vec<String> = world
                        .pods
                        .iter()
                        .filter(|(_, pod)| World::node_of(pod) == Some(&name))
                        .map(|(uid, _)| uid.clone())
                        .collect();
                    there.iter().for_each(|uid| world.delete_pod(uid));
                    world.watch.push(Word::NodeGone(name));
                }
            }
            1..=3 => world.add_pod(&mut dice),
            4 => {
                let uids: Vec<String> = world.pods.keys().cloned().collect();
                if !uids.is_empty() {
                    let uid = &uids[dice.roll(uids.len() as u64) as usize];
                    if dice.one_in(2) {
                        world.delete_pod(uid);
                    } else if let Some(pod) = world.pods.get(uid).filter(|pod| World::node_of(pod).is_some()).cloned() {
                        let mut pod = Pod::clone(&pod);
                        pod.status = Some(serde_json::from_value(json!({"phase": "Succeeded"})).expect("a status"));
                        world.put_pod(pod);
                    }
                }
            }
            5..=7 => {
                let count = dice.roll(4).min(world.watch.len() as u64) as usize;
                for word in world.watch.drain(..count).collect::<Vec<_>>() {
                    hear(&mut scheduler, word, now);
                }
            }
            8 | 9 if !world.binding.is_empty() => {
                let at = dice.roll(world.binding.len() as u64) as usize;
                let bind = world.binding[at].clone();
                let result = world.bind(&bind, seed);
                // Now and then the answer is lost: the binder asks again, later.
                if !dice.one_in(5) {
                    world.binding.swap_remove(at);
                    world.answer(&mut scheduler, &bind, &result, now);
                }
            }
            10 if dice.one_in(8) => {
                // A crash: what was under way may or may not have reached the server.
                for bind in std::mem::take(&mut world.binding) {
                    if dice.one_in(2) {
                        world.bind(&bind, seed);
                    }
                }
                // It may be compiled again before it is live.
                if dice.one_in(2) {
                    change(&control, Standing::NotLive);
                }
                scheduler =
                    fresh(&mut world, seed ^ now.duration_since(begin).as_millis() as u64, now, faults, &control);
            }
            12 => match dice.roll(4) {
                // Its component is gone.
                0 => change(&control, Standing::NotLive),
                // It goes live, or is swapped.
                _ => change(&control, Standing::Live),
            },
            _ => {
                if let Some(cycled) = scheduler.cycle(now, dice.roll(u64::MAX)) {
                    match cycled.bind {
                        Some(bind) => {
                            placed += 1;
                            world.ask(bind, seed);
                        }
                        None => refused += 1,
                    }
                }
            }
        }
    }
    settle(&mut world, &mut scheduler, &mut dice, now, (seed, &control));
    (placed, refused)
}

fn change(control: &Rc<RefCell<Control>>, standing: Standing) {
    let mut control = control.borrow_mut();
    control.standing = standing;
    control.generation += 1;
    control.faults = 0;
}

/// With nothing more happening, every pod that fits on some node ends up on one.
fn settle(
    world: &mut World,
    scheduler: &mut Scheduler,
    dice: &mut Dice,
    mut now: Instant,
    (seed, control): (u64, &Rc<RefCell<Control>>),
) {
    for _ in 0..3000 {
        now += Duration::from_secs(2);
        if control.borrow().standing == Standing::NotLive {
            change(control, Standing::Live);
        }
        scheduler.adopt(now);
        for word in std::mem::take(&mut world.watch) {
            hear(scheduler, word, now);
        }
        for bind in std::mem::take(&mut world.binding) {
            let result = world.bind(&bind, seed);
            world.answer(scheduler, &bind, &result, now);
        }
        let mut any = !world.watch.is_empty();
        while let Some(cycled) = scheduler.cycle(now, dice.roll(u64::MAX)) {
            any = true;
            if let Some(bind) = cycled.bind {
                world.ask(bind, seed);
            }
        }
        let is_live = control.borrow().standing == Standing::Live;
        if !any && is_live && world.binding.is_empty() && scheduler.queue_lengths().1 == 0 {
            break;
        }
    }
    for pod in world.pods.values().filter(|pod| World::node_of(pod).is_none()) {
        for (name, node) in &world.nodes {
            if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) || is_forbidden(pod, name) {
                continue;
            }
            let there: Vec<&Arc<Pod>> =
                world.pods.values().filter(|other| World::node_of(other) == Some(name) && !finished(other)).collect();
            let allocatable = amounts(&node.status.as_ref().and_then(|s| s.allocatable.clone()).unwrap_or_default());
            let free = allocatable["cpu"] - there.iter().map(|pod| World::cpu(pod)).sum::<i64>();
            assert!(
                World::cpu(pod) > free || there.len() as i64 >= allocatable["pods"],
                "seed {seed}: {:?} is left though {name} has {free} free; queue {:?}",
                pod.metadata.name,
                scheduler.queue_lengths()
            );
        }
    }
    // What the scheduler counts is what is there.
    for name in world.nodes.keys() {
        let cpu: i64 = world
            .pods
            .values()
            .filter(|pod| World::node_of(pod) == Some(name) && !finished(pod))
            .map(|pod| World::cpu(pod))
            .sum();
        let counted =
            scheduler.snapshot().requested(name).iter().find(|(name, _)| *name == "cpu").map_or(0, |(_, n)| *n);
        assert_eq!(counted, cpu, "seed {seed}: node {name}");
    }
}

#[tokio::test(start_paused = true)]
async fn never_over_committed_never_bound_twice() {
    let begin = sampan_env::Env::system().instant();
    if let Some(seed) = std::env::var("SAMPAN_SEED").ok().and_then(|seed| seed.parse().ok()) {
        println!("seed {seed}: placed, refused: {:?}", simulate(seed, begin));
        return;
    }
    let nightly = std::env::var("SAMPAN_TIER").is_ok_and(|tier| tier == "nightly");
    let seeds = if nightly { 10_000 } else { 200 };
    let (mut placed, mut refused) = (0, 0);
    for seed in 0..seeds {
        let counts = simulate(seed, begin);
        placed += counts.0;
        refused += counts.1;
    }
    println!("{seeds} seeds: {placed} placed, {refused} refused");
    assert!(placed > seeds * 10 && refused > seeds, "the simulation lost its bite: {placed}, {refused}");
}
