use super::*;
use sampan_api::k8s::api::apps::v1::ReplicaSetStatus;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn deployment(replicas: i32, image: &str, more: Value) -> Deployment {
    let mut value = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "d", "generation": 1},
        "spec": {"replicas": replicas, "progressDeadlineSeconds": 600, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}},
    });
    for (key, one) in more.as_object().into_iter().flatten() {
        value["spec"][key] = one.clone();
    }
    serde_json::from_value(value).expect("a Deployment")
}

fn rolling(surge: Value, unavailable: Value) -> Value {
    json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}})
}

/// A cluster of one Deployment whose ReplicaSets come and go at once.
struct World {
    deployment: Deployment,
    sets: Vec<ReplicaSet>,
    made: u32,
    now: SystemTime,
    /// Pods that start and never get ready, by image.
    broken: Vec<&'static str>,
    events: Vec<String>,
}

impl World {
    fn new(deployment: Deployment) -> Self {
        Self { deployment, sets: Vec::new(), made: 0, now: now(), broken: Vec::new(), events: Vec::new() }
    }

    fn image(set: &ReplicaSet) -> String {
        let template = set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
        template.spec.and_then(|spec| spec.containers[0].image.clone()).unwrap_or_default()
    }

    fn change(&mut self, change: impl FnOnce(&mut Deployment)) {
        change(&mut self.deployment);
        *self.deployment.metadata.generation.get_or_insert(0) += 1;
    }

    /// One step; answers whether anything was written.
    fn step(&mut self, old_pods_run: bool) -> bool {
        let plan = plan(&self.deployment, &self.sets, old_pods_run, self.now);
        let acted = !plan.actions.is_empty() || condition::differs(self.deployment.status.as_ref(), &plan.status);
        for action in plan.actions {
            let event = match action {
                Action::Create { mut set, event } => {
                    self.made += 1;
                    set.metadata.uid = Some(format!("set-{}", self.made));
                    set.metadata.generation = Some(1);
                    set.metadata.creation_timestamp =
                        Some(crate::time::of(now() + Duration::from_secs(self.made.into())));
                    self.sets.push(*set);
                    event
                }
                Action::Update { set, event } => {
                    let there = self.sets.iter_mut().find(|one| one.metadata.uid == set.metadata.uid).expect("there");
                    *there = *set;
                    event
                }
                Action::Delete { name, .. } => {
                    self.sets.retain(|one| owner::name(&one.metadata) != name);
                    None
                }
            };
            self.events.extend(event);
        }
        self.deployment.status = Some(plan.status);
        if let Some(revision) = plan.revision {
            annotations::set(&mut self.deployment.metadata, annotations::REVISION, &revision.to_string());
        }
        acted
    }

    /// The ReplicaSets' controller: every pod is made, and ready unless it is broken.
    fn settle_pods(&mut self) {
        for set in &mut self.sets {
            let size = replicas::size(set);
            let serving = if self.broken.contains(&Self::image(set).as_str()) { 0 } else { size };
            set.status = Some(ReplicaSetStatus {
                replicas: size,
                ready_replicas: Some(serving),
                available_replicas: Some(serving),
                observed_generation: set.metadata.generation,
                ..ReplicaSetStatus::default()
            });
        }
    }

    /// Steps and pods until nothing moves; checks the surge_and_unavailable on the way.
    fn settle(&mut self) {
        for _ in 0..100 {
            let acted = self.step(false);
            let wanted = replicas::wanted(&self.deployment);
            let (surge, missing) = replicas::surge_and_unavailable(&self.deployment);
            let total = replicas::total(&self.sets, replicas::size);
            assert!(total <= wanted + surge, "{total} pods of {wanted}+{surge}: {:?}", self.sizes());
            let serving: i32 = self.sets.iter().map(|set| replicas::available(set).min(replicas::size(set))).sum();
            // The first rollout has nothing to keep.
            if self.made > 1 && replicas::is_rolling(&self.deployment) {
                assert!(serving >= wanted - missing, "{serving} of {wanted}-{missing}: {:?}", self.sizes());
            }
            let before = self.sets.clone();
            self.settle_pods();
            if !acted && before == self.sets {
                return;
            }
        }
        panic!("it never settles: {:?}", self.sizes());
    }

    /// `image=size@revision` by age.
    fn sizes(&self) -> Vec<String> {
        let text = |set: &ReplicaSet| {
            format!("{}={}@{}", Self::image(set), replicas::size(set), annotations::revision(&set.metadata))
        };
        self.sets.iter().map(text).collect()
    }

    fn condition(&self, kind: &str) -> String {
        let conditions =
            self.deployment.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        conditions
            .iter()
            .find(|one| one.type_ == kind)
            .map(|one| format!("{} {}", one.status, one.reason.as_deref().unwrap_or_default()))
            .unwrap_or_default()
    }
}

fn set_image(deployment: &mut Deployment, image: &str) {
    let spec = deployment.spec.get_or_insert_default();
    spec.template.spec.get_or_insert_default().containers[0].image = Some(image.into());
}

#[test]
fn a_rollout_stays_within_its_fences_and_ends() {
    for (surge, unavailable) in [
        (json!("25%"), json!("25%")),
        (json!(1), json!(0)),
        (json!(0), json!(1)),
        (json!(0), json!(0)),
        (json!("100%"), json!("100%")),
        (json!(3), json!("10%")),
    ] {
        let mut world = World::new(deployment(10, "v1", rolling(surge, unavailable)));
        world.settle();
        assert_eq!(world.sizes(), ["v1=10@1"]);
        assert_eq!(world.condition("Progressing"), "True NewReplicaSetAvailable");
        assert_eq!(world.condition("Available"), "True MinimumReplicasAvailable");
        world.change(|one| set_image(one, "v2"));
        world.settle();
        assert_eq!(world.sizes(), ["v1=0@1", "v2=10@2"]);
        let status = world.deployment.status.clone().expect("a status");
        assert_eq!((status.updated_replicas, status.unavailable_replicas), (Some(10), Some(0)));
        assert_eq!(annotations::get(&world.deployment.metadata, annotations::REVISION), Some("2"));
    }
}

#[test]
fn events_tell_each_scaling_in_kubernetes_words() {
    let mut world = World::new(deployment(2, "v1", rolling(json!(1), json!(0))));
    world.settle();
    let first = owner::name(&world.sets[0].metadata).to_owned();
    world.change(|one| set_image(one, "v2"));
    world.settle();
    let second = owner::name(&world.sets[1].metadata).to_owned();
    assert_eq!(
        world.events,
        [
            format!("Scaled up replica set {first} from 0 to 2"),
            format!("Scaled up replica set {second} from 0 to 1"),
            format!("Scaled down replica set {first} from 2 to 1"),
            format!("Scaled up replica set {second} from 1 to 2"),
            format!("Scaled down replica set {first} from 1 to 0"),
        ]
    );
    let set = &world.sets[1];
    let hash = set.metadata.labels.as_ref().expect("labels")[replicas::TEMPLATE_HASH].clone();
    assert_eq!(second, format!("web-{hash}"));
    assert_eq!(set.spec.as_ref().expect("a spec").selector.match_labels.as_ref().expect("labels")["app"], "web");
}

#[test]
fn a_rollback_is_a_new_revision_of_the_old_set() {
    let mut world = World::new(deployment(2, "v1", Value::Null));
    world.settle();
    for image in ["v2", "v1"] {
        world.change(|one| set_image(one, image));
        world.settle();
    }
    assert_eq!(world.sizes(), ["v1=2@3", "v2=0@2"]);
    assert_eq!(annotations::get(&world.sets[0].metadata, annotations::REVISION_HISTORY), Some("1"));
}

#[test]
fn history_is_as_long_as_it_may_be() {
    let mut world = World::new(deployment(1, "v0", json!({"revisionHistoryLimit": 2})));
    world.settle();
    for number in 1..5 {
        world.change(|one| set_image(one, &format!("v{number}")));
        world.settle();
    }
    assert_eq!(world.sizes(), ["v2=0@3", "v3=0@4", "v4=1@5"]);
}

#[test]
fn a_broken_template_stops_the_rollout_and_misses_its_deadline() {
    let mut world = World::new(deployment(4, "v1", Value::Null));
    world.settle();
    world.broken = vec!["bad"];
    world.change(|one| set_image(one, "bad"));
    world.settle();
    assert_eq!(world.sizes(), ["v1=3@1", "bad=2@2"]);
    assert_eq!(world.condition("Progressing"), "True ReplicaSetUpdated");
    let waits = plan(&world.deployment, &world.sets, false, world.now).requeue;
    assert!(matches!(waits, Requeue::After(wait) if wait > Duration::from_secs(600)), "{waits:?}");
    world.now += Duration::from_secs(601);
    world.settle();
    assert_eq!(world.condition("Progressing"), "False ProgressDeadlineExceeded");
    world.change(|one| set_image(one, "v1"));
    world.settle();
    assert_eq!(world.sizes(), ["v1=4@3", "bad=0@2"]);
    assert_eq!(world.condition("Progressing"), "True NewReplicaSetAvailable");
}

#[test]
fn scaling_in_the_middle_of_a_rollout_is_shared_out() {
    let mut world = World::new(deployment(10, "v1", rolling(json!(2), json!(2))));
    world.settle();
    world.broken = vec!["v2"];
    world.change(|one| set_image(one, "v2"));
    world.settle();
    assert_eq!(world.sizes(), ["v1=8@1", "v2=4@2"]);
    world.change(|one| one.spec.get_or_insert_default().replicas = Some(20));
    world.step(false);
    assert_eq!(world.sizes(), ["v1=15@1", "v2=7@2"]);
    world.change(|one| one.spec.get_or_insert_default().replicas = Some(0));
    world.settle();
    assert_eq!(world.sizes(), ["v1=0@1", "v2=0@2"]);
}

#[test]
fn a_paused_deployment_scales_and_does_not_roll() {
    let mut world = World::new(deployment(2, "v1", Value::Null));
    world.settle();
    world.change(|one| {
        one.spec.get_or_insert_default().paused = Some(true);
        set_image(one, "v2");
    });
    world.settle();
    assert_eq!(world.sizes(), ["v1=2@1"]);
    assert_eq!(world.condition("Progressing"), "Unknown DeploymentPaused");
    world.change(|one| one.spec.get_or_insert_default().replicas = Some(3));
    world.settle();
    assert_eq!(world.sizes(), ["v1=3@1"]);
    world.change(|one| one.spec.get_or_insert_default().paused = None);
    world.settle();
    assert_eq!(world.sizes(), ["v1=0@1", "v2=3@2"]);
}

#[test]
fn recreate_waits_for_the_last_old_pod() {
    let mut world = World::new(deployment(3, "v1", json!({"strategy": {"type": "Recreate"}})));
    world.settle();
    world.change(|one| set_image(one, "v2"));
    world.step(true);
    world.settle_pods();
    world.step(true);
    assert_eq!(world.sizes(), ["v1=0@1"]);
    world.settle();
    assert_eq!(world.sizes(), ["v1=0@1", "v2=3@2"]);
}

#[test]
fn one_that_is_going_touches_nothing() {
    let mut world = World::new(deployment(3, "v1", Value::Null));
    world.settle();
    world.change(|one| {
        one.metadata.deletion_timestamp = Some(crate::time::of(now()));
        set_image(one, "v2");
    });
    world.settle();
    assert_eq!(world.sizes(), ["v1=3@1"]);
}

#[test]
fn hashes_are_stable_and_differ() {
    let template = |image: &str| replicas::spec(&deployment(1, image, Value::Null)).template;
    let one = hash::of(&template("v1"), 0);
    assert_eq!(one, hash::of(&template("v1"), 0));
    assert_ne!(one, hash::of(&template("v2"), 0));
    assert_ne!(one, hash::of(&template("v1"), 1));
    assert!(one.len() <= 10 && one.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
}

#[test]
fn fences_are_kubernetes_own() {
    let check = |replicas: i32, surge: Value, unavailable: Value, expected: (i32, i32)| {
        assert_eq!(replicas::surge_and_unavailable(&deployment(replicas, "v1", rolling(surge, unavailable))), expected);
    };
    check(10, json!("25%"), json!("25%"), (3, 2));
    check(1, json!("25%"), json!("25%"), (1, 0));
    check(10, json!(0), json!("1%"), (0, 1));
    check(2, json!(5), json!(5), (5, 2));
    assert_eq!(replicas::surge_and_unavailable(&deployment(4, "v1", Value::Null)), (1, 1));
}
