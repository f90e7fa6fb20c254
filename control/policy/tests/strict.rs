//! A policy whose failurePolicy is Fail, out of one seed: its image is bad, its component falls over pods that ask for
//! it, it is suspended, swapped, deleted and made again, and the process is started anew. No pod is ever placed past it.
//!
//! 30 seeds; SAMPAN_TIER=nightly: 1,000. SAMPAN_SEED=N runs one.

#[expect(dead_code, reason = "these tests need less of the guests than others")]
mod guests;

use guests::{World, install};
use sampan_api::scheduling::{Budget, FailurePolicy, Mode, SchedulingPolicy, SchedulingPolicySpec};
use sampan_policy::{Feeding, Host, HostConfig, Live, Prepared, ProfileConfig, prepare};
use sampan_scheduler_core::{CycleResult, Cycler, LivePolicies, Outcome, PodInfo, Snapshot};
use sampan_testing::Dice;
use sampan_wasm_runtime::policy::PolicyComponent;
use serde_json::json;
use std::sync::Arc;

const NAME: &str = "guard";
const HOST: HostConfig = HostConfig { audit_every: 0, counts: true, feeding: Feeding::AtOnce, passing: false };
const STEPS: usize = 80;

/// Components that pods can be placed by.
struct Components {
    built_in: PolicyComponent,
    /// The same policy in different forms: each is asked by an instance of its own.
    forms: Vec<Prepared>,
}

impl Components {
    async fn new(world: &World) -> Self {
        let component = world.component("sampan-hostile-policy").await;
        let form = |mebibytes: usize| {
            let spec = SchedulingPolicySpec {
                component: "c".to_owned(),
                args: Some(json!({"what": "guard", "at": "filter"})),
                budget: Some(Budget { memory: Some(format!("{mebibytes}Mi")), ..Budget::default() }),
                ..SchedulingPolicySpec::default()
            };
            prepare(&component, &spec).expect("good arguments")
        };
        Self { built_in: world.component("sampan-policies").await, forms: (64..67).map(form).collect() }
    }
}

/// The cluster of one seed, and what the API server has of the policy.
struct Simulation<'a> {
    world: &'a World,
    components: &'a Components,
    dice: Dice,
    live: Live,
    host: Host,
    snapshot: Snapshot,
    cycler: Cycler,
    /// The policy's object, if there is one.
    object: Option<SchedulingPolicy>,
    /// Why the API server's status says that it is suspended, and in which form.
    suspended: Option<(usize, Arc<str>)>,
    form: usize,
    pods: u64,
    /// Pods placed while the object was there, held, and failed.
    counts: [u64; 3],
}

fn started(world: &World, components: &Components) -> Live {
    let live = Live::new(&world.env, vec![ProfileConfig::default()]);
    for object in sampan_policy::built_in_policies() {
        let prepared = prepare(&components.built_in, &object.spec).expect("a built-in policy");
        install(&live, object.metadata.name.as_deref().expect("a name"), prepared);
    }
    live
}

impl<'a> Simulation<'a> {
    fn new(world: &'a World, components: &'a Components, seed: u64) -> Self {
        let live = started(world, components);
        live.set_ready();
        let host = Host::new(&live, HOST);
        let mut snapshot = Snapshot::default();
        for name in ["guarded-a", "guarded-b", "open"] {
            let node = json!({"metadata": {"name": name},
                "status": {"allocatable": {"cpu": "64", "memory": "64Gi", "pods": "1000"}}});
            snapshot.set_node(Arc::new(serde_json::from_value(node).expect("a node")));
        }
        let (dice, cycler) = (Dice::new(seed), Cycler::default());
        let (object, suspended, form, pods, counts) = (None, None, 0, 0, [0; 3]);
        Self { world, components, dice, live, host, snapshot, cycler, object, suspended, form, pods, counts }
    }

    fn is_strict(&self) -> bool {
        self.object.as_ref().is_some_and(|object| object.spec.failure_policy == FailurePolicy::Fail)
    }

    /// It can be asked.
    fn is_asked(&self) -> bool {
        self.live.slot(NAME).is_some_and(|slot| slot.suspension().is_none())
    }

    fn put_object(&mut self, failure_policy: FailurePolicy) {
        let mut object = SchedulingPolicy::default();
        object.metadata.name = Some(NAME.to_owned());
        object.spec.failure_policy = failure_policy;
        self.live.expect(&object);
        self.object = Some(object);
    }

    /// Its component was compiled and checked. `form`: which of them.
    fn go_live(&mut self, form: usize) {
        let Some(object) = &self.object else { return };
        let mut prepared = self.components.forms[form].clone();
        prepared.ignore_faults = object.spec.failure_policy == FailurePolicy::Ignore;
        // A restart gives no further tries to the same component.
        let suspended = self.suspended.clone().filter(|(of, _)| *of == form).map(|(_, why)| why);
        self.live.install(NAME, prepared, Some(form as i64), suspended).expect("there is room");
        self.form = form;
    }

    fn end_object(&mut self, by_mode: bool) {
        if by_mode && let Some(object) = &mut self.object {
            object.spec.mode = Mode::Off;
            self.live.expect(object);
        }
        self.object = None;
        self.suspended = None;
        self.live.remove(NAME);
        self.live.expect_no_more(NAME);
    }

    /// Another process on the same objects: pods wait until it has seen them.
    fn restart(&mut self) {
        self.live = started(self.world, self.components);
        if let Some(object) = &self.object {
            self.live.expect(object);
        }
        self.live.set_ready();
        self.host = Host::new(&self.live, HOST);
        self.cycler.clear();
    }

    fn step(&mut self) {
        match self.dice.roll(16) {
            0 => self.put_object(FailurePolicy::Fail),
            1 if self.object.is_none() => self.put_object(FailurePolicy::Ignore),
            2 if self.dice.one_in(3) => {
                let by_mode = self.dice.one_in(2);
                self.end_object(by_mode);
            }
            3 | 4 => {
                let form = self.dice.roll(self.components.forms.len() as u64) as usize;
                self.go_live(form);
            }
            5 => self.live.expected_fails(NAME, "FailedFetch: there is no such image"),
            6 if self.dice.one_in(2) => self.restart(),
            _ => self.place(),
        }
    }

    fn place(&mut self) {
        self.pods += 1;
        let kept_off = self.dice.one_in(2);
        let mut annotations = json!({});
        if kept_off {
            annotations["example.com/kept-off"] = json!("true");
        }
        if self.dice.one_in(4) {
            annotations["example.com/trap"] = json!("true");
        }
        let name = format!("p{}", self.pods);
        let pod = json!({"metadata": {"name": name, "namespace": "d", "uid": name, "annotations": annotations},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1m"}}}]}});
        let (strict, asked) = (self.is_strict(), self.is_asked());
        let outcome = self.cycle(pod);
        if let Some(why) = self.live.slot(NAME).and_then(|slot| slot.suspension()) {
            self.suspended = Some((self.form, why));
        }
        match &outcome.result {
            CycleResult::Placed(placed) => {
                let past = kept_off && placed.node.starts_with("guarded");
                assert!(!(strict && past), "placed on {}, past the policy", placed.node);
                assert!(!strict || asked, "placed on {} while the policy cannot be asked", placed.node);
                self.counts[0] += u64::from(strict);
            }
            CycleResult::Held => {
                assert!(strict && !asked, "nobody is to be waited for: {}", outcome.message);
                assert!(outcome.message.contains("\"guard\""), "the policy is named: {}", outcome.message);
                self.counts[1] += 1;
            }
            CycleResult::Failed => {
                assert!(strict && asked, "no other policy fails: {}", outcome.message);
                self.counts[2] += 1;
            }
            CycleResult::Unschedulable => panic!("one node is open to all: {}", outcome.message),
        }
    }

    fn cycle(&mut self, pod: serde_json::Value) -> Outcome {
        self.host.adopt();
        let profile = self.host.profile("default-scheduler").expect("the default profile");
        self.snapshot.want(profile.columns());
        let pod = Arc::new(serde_json::from_value(pod).expect("a pod"));
        let info = PodInfo::new(pod, self.snapshot.strings_mut());
        let view = self.snapshot.view(&info, &profile);
        let seed = self.dice.roll(1 << 20);
        let outcome = self.cycler.cycle(&self.snapshot, &view, &profile, seed, 0, &mut self.host);
        if let CycleResult::Placed(placed) = &outcome.result {
            self.snapshot.add_pod(&placed.node, &info.uid, &info.usage);
        }
        outcome
    }
}

#[tokio::test]
async fn no_pod_is_ever_placed_past_a_policy_that_may_not_be_left_out() {
    let world = World::new();
    let components = Components::new(&world).await;
    let nightly = std::env::var("SAMPAN_TIER").is_ok_and(|tier| tier == "nightly");
    let one = std::env::var("SAMPAN_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = one.map_or(0..if nightly { 1000 } else { 30 }, |seed: u64| seed..seed + 1);
    let (mut counts, count) = ([0; 3], seeds.end - seeds.start);
    for seed in seeds {
        println!("seed {seed}");
        let mut simulation = Simulation::new(&world, &components, seed);
        (0..STEPS).for_each(|_| simulation.step());
        for (sum, more) in counts.iter_mut().zip(simulation.counts) {
            *sum += more;
        }
    }
    let [placed, held, failed] = counts;
    println!("{count} seeds: {placed} placed by it, {held} held, {failed} failed");
    assert!(counts.iter().all(|sum| *sum > count), "the simulation lost its bite: {counts:?}");
}
