//! A form of a policy that takes the place of another is shown the cluster before it decides anything; the old one decides
//! meanwhile, and stays where the new one cannot be shown it.

#[expect(dead_code, reason = "these tests need less of the guests than others")]
mod guests;

use guests::{World, install};
use sampan_api::scheduling::{Budget, SchedulingPolicySpec};
use sampan_env::Tasks;
use sampan_policy::{Host, HostConfig, Live, Prepared, Slot, prepare};
use sampan_policy_host::limits;
use sampan_scheduler_core::{CycleResult, Cycler, LivePolicies, Outcome, PodInfo, Snapshot};
use sampan_wasm_runtime::policy::{PolicyCause, PolicyComponent};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// So many labels take longer to be fed than the scheduling thread waits.
const NODES: usize = 6_000;
const LABELS: usize = 150;
const PATIENCE: Duration = Duration::from_secs(60);
const NAME: &str = "quiet";

fn form(component: &PolicyComponent, mebibytes: usize, weight: i32) -> Prepared {
    let memory = Budget { memory: Some(format!("{mebibytes}Mi")), ..Budget::default() };
    let spec = SchedulingPolicySpec { budget: Some(memory), weight: Some(weight), ..SchedulingPolicySpec::default() };
    prepare(component, &spec).expect("a good policy")
}

/// The scheduler's part, as the driver has it.
struct Scheduling {
    snapshot: Snapshot,
    cycler: Cycler,
    host: Host,
    changed: Arc<Notify>,
    pods: u64,
}

impl Scheduling {
    fn new(live: &Live) -> Self {
        Self::of(live, NODES, LABELS)
    }

    fn of(live: &Live, nodes: usize, labels: usize) -> Self {
        let mut snapshot = Snapshot::default();
        for at in 0..nodes {
            let labels: serde_json::Map<String, serde_json::Value> =
                (0..labels).map(|label| (format!("example.com/l{label}"), json!(format!("{at}-{label}")))).collect();
            let node = json!({"metadata": {"name": format!("n{at:05}"), "labels": labels},
                "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "20"}}});
            snapshot.set_node(Arc::new(serde_json::from_value(node).expect("a node")));
        }
        let changed = Arc::new(Notify::new());
        let wake = Arc::clone(&changed);
        live.on_change(move || wake.notify_one());
        let host = Host::new(live, HostConfig::default());
        Self { snapshot, cycler: Cycler::default(), host, changed, pods: 0 }
    }

    async fn change(&mut self) {
        tokio::time::timeout(PATIENCE, self.changed.notified()).await.expect("something changes");
        self.host.warm(&mut self.snapshot);
        self.host.adopt();
    }

    /// Feeds a form that is to go live under that name, while nothing is asked.
    async fn warm(&mut self, live: &Live, name: &str, form: Prepared) -> Arc<Slot> {
        let slot = live.slot_for(name, form, Some(1), None).expect("there is room");
        let fed = {
            let warming = live.warm(&slot);
            tokio::pin!(warming);
            loop {
                tokio::select! {
                    biased;
                    fed = &mut warming => break fed,
                    () = self.change() => {}
                }
            }
        };
        fed.expect("it is fed");
        slot
    }

    fn place(&mut self) -> Outcome {
        self.pods += 1;
        let name = format!("p{}", self.pods);
        let pod = json!({"metadata": {"name": name, "namespace": "d", "uid": name, "annotations": {"n": name}}});
        let info = PodInfo::new(Arc::new(serde_json::from_value(pod).expect("a pod")), self.snapshot.strings_mut());
        let profile = self.host.profile("default-scheduler").expect("the default profile");
        self.snapshot.want(profile.columns());
        let view = self.snapshot.view(&info, &profile);
        self.cycler.cycle(&self.snapshot, &view, &profile, self.pods, 0, &mut self.host)
    }

    /// A pod is placed, and nobody has to be waited for; the weight of the form that decided.
    fn decided_by(&mut self) -> i64 {
        let outcome = self.place();
        assert!(matches!(outcome.result, CycleResult::Placed(_)), "{}", outcome.message);
        assert_eq!(outcome.faults, [], "answered at once");
        self.host.set().units[0].slots[0].prepared.weight
    }
}

async fn fed(live: &Live) -> Scheduling {
    let mut scheduling = Scheduling::new(live);
    while !matches!(scheduling.place().result, CycleResult::Placed(_)) {
        scheduling.change().await;
    }
    scheduling
}

#[tokio::test]
async fn what_takes_the_place_of_another_is_fed_before_it_decides() {
    let (world, tasks) = (World::new(), Tasks::new("warming"));
    let (live, component) = (world.live(), world.component("quiet-nodes").await);
    install(&live, NAME, form(&component, 512, 1));
    let mut scheduling = fed(&live).await;
    // On the instance that is there, and on one of its own.
    for (mebibytes, weight) in [(512, 2), (511, 3)] {
        let slot = live.slot_for(NAME, form(&component, mebibytes, weight), Some(2), None).expect("there is room");
        let warming = tasks.spawn({
            let (live, slot) = (live.clone(), Arc::clone(&slot));
            async move { live.warm(&slot).await }
        });
        while !warming.is_finished() {
            scheduling.change().await;
            assert_eq!(scheduling.decided_by(), i64::from(weight - 1), "the old form decides meanwhile");
            tokio::task::yield_now().await;
        }
        warming.await.expect("it ends").expect("it is fed");
        live.put(slot).expect("there is room");
        scheduling.change().await;
        assert_eq!(scheduling.decided_by(), i64::from(weight), "the new form answers its first question");
        assert_eq!(component.instances(), 1, "the old form's memory is given back");
    }
    let report = live.slot(NAME).expect("live").report();
    assert_eq!((report.suspended, report.faults.len()), (false, 0), "{report:?}");
}

#[tokio::test]
async fn what_cannot_be_fed_does_not_take_the_place() {
    let (world, tasks) = (World::new(), Tasks::new("warming"));
    let (live, component) = (world.live(), world.component("quiet-nodes").await);
    install(&live, NAME, form(&component, 512, 1));
    let mut scheduling = fed(&live).await;
    let slot = live.slot_for(NAME, form(&component, 8, 2), Some(2), None).expect("there is room");
    let warming = tasks.spawn({
        let (live, slot) = (live.clone(), Arc::clone(&slot));
        async move { live.warm(&slot).await }
    });
    while !warming.is_finished() {
        scheduling.change().await;
        tokio::task::yield_now().await;
    }
    let fault = warming.await.expect("it ends").expect_err("the labels do not fit into 8 MiB");
    assert_eq!(fault.cause, PolicyCause::Memory, "{fault}");
    drop(slot);
    assert_eq!(scheduling.decided_by(), 1);
    assert_eq!(component.instances(), 1);
    // Nothing is held against what decides.
    assert_eq!(live.slot(NAME).expect("live").report().faults.len(), 0);
}

#[tokio::test]
async fn who_gives_up_leaves_no_instance_behind() {
    let (world, tasks) = (World::new(), Tasks::new("warming"));
    let (live, component) = (world.live(), world.component("quiet-nodes").await);
    install(&live, NAME, form(&component, 512, 1));
    let mut scheduling = fed(&live).await;
    let slot = live.slot_for(NAME, form(&component, 511, 2), Some(2), None).expect("there is room");
    let warming = tasks.spawn(async move { live.warm(&slot).await.map(|()| slot) });
    scheduling.change().await;
    warming.abort();
    let gone = async {
        loop {
            scheduling.host.warm(&mut scheduling.snapshot);
            if component.instances() == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("its memory is given back");
}

/// What becomes of one form after the other, each fed before it goes live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Live,
    Deleted,
    GivenUp,
}

/// Puts forms of that memory and these names to work while nothing is asked. After each of them all of the passing memory
/// can be had, and as many instances are there as expected.
async fn check(mebibytes: usize, names: &[&str], end: End, instances: usize) {
    let world = World::new();
    let (live, component) = (world.live(), world.component("quiet-nodes").await);
    let mut scheduling = Scheduling::of(&live, 2, 2);
    for (at, name) in names.iter().enumerate() {
        let slot = scheduling.warm(&live, name, form(&component, mebibytes, 1 + at as i32)).await;
        if at == 0 {
            assert!(live.turns().try_memory(limits::MEMORY_PASSING).is_none(), "{name} was not fed");
        }
        match end {
            End::GivenUp => drop(slot),
            End::Live | End::Deleted => live.put(slot).expect("there is room"),
        }
        if end == End::Deleted {
            live.remove(name);
        }
        // It was told of what happened: nobody has to ask anything.
        scheduling.change().await;
        let free = live.turns().try_memory(limits::MEMORY_PASSING).is_some();
        assert!(free, "{name}, the {at}th of {mebibytes} MiB, {end:?}, keeps passing memory");
        assert_eq!(component.instances(), instances, "{name}, the {at}th of {mebibytes} MiB, {end:?}");
    }
}

#[tokio::test]
async fn what_was_fed_leaves_the_passing_memory_though_nothing_is_asked() {
    check(256, &["s1", "s2", "s3", "s4", "s5"], End::Live, 1).await;
    check(512, &["a", "a", "a", "a"], End::Live, 1).await;
    check(64, &["a", "b", "a", "b", "a", "b", "a", "b", "a", "b", "a", "b", "a", "b"], End::Live, 1).await;
    check(512, &["a", "b", "a"], End::Deleted, 0).await;
    check(512, &["a", "b", "a"], End::GivenUp, 0).await;
}

#[tokio::test]
async fn of_one_component_one_form_is_fed_at_a_time() {
    let world = World::new();
    let (live, component) = (world.live(), world.component("quiet-nodes").await);
    let mut scheduling = Scheduling::of(&live, 2, 2);
    let names: Vec<String> = (0..20).map(|at| format!("s{at}")).collect();
    let slots: Vec<Arc<Slot>> = names
        .iter()
        .map(|name| live.slot_for(name, form(&component, 32, 1), Some(1), None).expect("there is room"))
        .collect();
    {
        let fed = futures::future::join_all(slots.iter().map(|slot| live.warm(slot)));
        tokio::pin!(fed);
        let fed = loop {
            tokio::select! {
                biased;
                fed = &mut fed => break fed,
                () = scheduling.change() => assert!(component.instances() <= 1, "{} are fed", component.instances()),
            }
        };
        assert!(fed.iter().all(Result::is_ok), "{fed:?}");
    }
    slots.into_iter().for_each(|slot| live.put(slot).expect("there is room"));
    scheduling.change().await;
    assert!(live.turns().try_memory(limits::MEMORY_PASSING).is_some(), "passing memory is kept");
    assert_eq!(scheduling.decided_by(), 1);
    assert_eq!(component.instances(), 1);
}
