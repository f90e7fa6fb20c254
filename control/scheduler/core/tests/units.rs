//! What one unit wants to know changes nothing for the others; and what one policy may do to a cycle is bounded.

mod native;

use native::{Native, profile};
use sampan_scheduler_core::{
    Answer, ColumnSet, CycleResult, Cycler, Fault, FilterAnswer, Normalize, Object, ObjectKind, ObjectRef, Objects,
    Outcome, PodInfo, Point, Points, Policies, Profile, ProfilePolicy, Question, Reason, Run, ScoreAnswer, Snapshot,
    Step, Unanswered, column_id, cycle,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The unit of policies that a test makes itself: the built-ins are unit 0.
const OWN: u32 = 1;

fn policy(id: u32, unit: u32, name: &str, points: &[Point], columns: &[&str], cacheable: bool) -> ProfilePolicy {
    ProfilePolicy {
        id,
        unit,
        name: name.to_owned(),
        generation: Some(1),
        digest: String::new(),
        args_digest: String::new(),
        points: Points::of(points.iter().copied()),
        columns: ColumnSet::from_names(columns.iter().copied()).expect("columns of the contract"),
        weight: 1,
        normalize: Normalize::None,
        cacheable,
        ignore_faults: false,
    }
}

type Script = Box<dyn FnMut(Point, u32, &Question<'_>) -> Result<Answer, Unanswered>>;

/// The built-ins, and units that answer as a test says. What each unit is asked is counted.
struct Mixed {
    native: Native,
    script: Script,
    /// By unit: calls, and rows of all of them.
    asked: BTreeMap<u32, (usize, usize)>,
    /// Unit and policies of each call, in order.
    calls: Vec<(Point, u32, Vec<u32>)>,
}

impl Mixed {
    fn new(
        profile: &Profile,
        script: impl FnMut(Point, u32, &Question<'_>) -> Result<Answer, Unanswered> + 'static,
    ) -> Self {
        let (asked, calls) = (BTreeMap::new(), Vec::new());
        Self { native: Native::new(profile), script: Box::new(script), asked, calls }
    }

    fn of_built_ins(&mut self) -> (usize, usize) {
        std::mem::take(&mut self.asked).remove(&0).unwrap_or_default()
    }
}

impl Policies for Mixed {
    fn ask(&mut self, point: Point, unit: u32, question: &Question<'_>) -> Result<Answer, Unanswered> {
        let counts = self.asked.entry(unit).or_default();
        counts.0 += 1;
        counts.1 += question.rows.len();
        self.calls.push((point, unit, question.policies.to_vec()));
        if unit == 0 { self.native.ask(point, unit, question) } else { (self.script)(point, unit, question) }
    }
}

fn pass(point: Point, question: &Question<'_>) -> Answer {
    match point {
        Point::Filter => Answer::Filter(FilterAnswer::default()),
        Point::Score => Answer::Score(ScoreAnswer { values: vec![0; question.rows.len()], ..ScoreAnswer::default() }),
    }
}

fn cluster(columns: ColumnSet, nodes: usize) -> Snapshot {
    let mut snapshot = Snapshot::new(columns);
    for at in 0..nodes {
        let node = json!({"metadata": {"name": format!("n{at:04}"), "labels": {"zone": format!("z{}", at % 3)},
            "annotations": {"note": format!("of node {at}")}},
            "spec": {"unschedulable": at % 11 == 0}, "status": {"allocatable": {"cpu": "4", "pods": "40"}}});
        snapshot.set_node(Arc::new(serde_json::from_value(node).expect("a node")));
    }
    snapshot
}

fn info(snapshot: &mut Snapshot, name: &str, more: Value) -> PodInfo {
    let mut pod = json!({"metadata": {"name": name, "namespace": "d", "uid": name, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1m"}}}]}});
    for (key, value) in more.as_object().into_iter().flatten() {
        pod["spec"][key] = value.clone();
    }
    PodInfo::new(Arc::new(serde_json::from_value(pod).expect("a pod")), snapshot.strings_mut())
}

/// The default profile and these policies, behind it.
fn with(more: Vec<ProfilePolicy>) -> Profile {
    let mut policies = profile().policies().to_vec();
    policies.extend(more);
    Profile::new("default-scheduler", policies, 2)
}

/// Calls and rows that the built-ins get, and bytes that their mirror is sent, for each of some replicas.
fn counted(profile: &Profile) -> Vec<(usize, usize, usize)> {
    let mut snapshot = cluster(profile.columns(), 300);
    let (mut cycler, mut policies) =
        (Cycler::default(), Mixed::new(profile, |point, _, question| Ok(pass(point, question))));
    let mut counts = Vec::new();
    for at in 0..8 {
        let info = info(&mut snapshot, &format!("replica-{at}"), json!({}));
        let view = snapshot.view(&info, profile);
        let outcome = cycler.cycle(&snapshot, &view, profile, at, 0, &mut policies);
        let CycleResult::Placed(placed) = outcome.result else { panic!("{}", outcome.message) };
        snapshot.add_pod(&placed.node, &info.uid, &info.usage);
        let (calls, rows) = policies.of_built_ins();
        counts.push((calls, rows, std::mem::take(&mut policies.native.fed)));
    }
    counts
}

#[test]
fn what_one_unit_wants_to_know_changes_no_others_calls_rows_or_strings() {
    let alone = counted(&with(Vec::new()));
    let per_node_and_pod = (alone[7].0, alone[7].1);
    assert_eq!(per_node_and_pod, (2, 2), "a replica asks about the one node that changed, at each point");
    for (id, column) in sampan_scheduler_core::COLUMNS {
        if *id == column_id::NODE_ROW || *id == column_id::POD_ROW {
            continue;
        }
        for (points, cacheable) in [(&[Point::Filter][..], true), (&[Point::Filter, Point::Score], false)] {
            let other = policy(9, OWN, "noop", points, &[column], cacheable);
            assert_eq!(counted(&with(vec![other])), alone, "{column}, cacheable {cacheable}");
        }
    }
}

#[test]
fn the_order_of_the_profile_holds_whatever_is_kept() {
    let names = ["kept", "fresh", "also kept", "also fresh"];
    let refuse = |question: &Question<'_>| {
        let policy = question.policies[0];
        let reasons = vec![Reason { policy, unresolvable: false, texts: vec![format!("by {policy}")] }];
        let skipped = Vec::new();
        Answer::Filter(FilterAnswer { marks: vec![1; question.rows.len()], reasons, skipped })
    };
    for first in 0..names.len() as u32 {
        // From `first` on all refuse: the first is the one that is named, and the later ones are not even asked.
        let policies = names
            .iter()
            .enumerate()
            .map(|(at, name)| policy(at as u32, at as u32 + 10, name, &[Point::Filter], &["node.name"], at % 2 == 0));
        let profile = Profile::new("default-scheduler", policies.collect(), 3);
        let mut snapshot = cluster(profile.columns(), 20);
        let mut cycler = Cycler::default();
        let mut mixed = Mixed::new(&profile, move |point, _, question| {
            Ok(if question.policies[0] < first { pass(point, question) } else { refuse(question) })
        });
        for round in 0..3 {
            let info = info(&mut snapshot, &format!("p{round}"), json!({}));
            let view = snapshot.view(&info, &profile);
            mixed.calls.clear();
            let outcome = cycler.cycle(&snapshot, &view, &profile, 0, 0, &mut mixed);
            assert_eq!(outcome.refusals.len(), 1);
            assert_eq!((outcome.refusals[0].reason.policy, outcome.refusals[0].count), (first, 20), "round {round}");
            let asked: Vec<u32> = mixed.calls.iter().map(|(_, _, policies)| policies[0]).collect();
            let expected: Vec<u32> = (0..=first).filter(|at| round == 0 || at % 2 == 1).collect();
            assert_eq!(asked, expected, "round {round}: kept answers are not asked for again");
        }
    }
}

#[test]
fn a_policy_that_has_to_see_an_object_suspends_the_run_and_resumes_it() {
    let wanted = ObjectRef { kind: ObjectKind::Pod, namespace: "d".into(), name: "other".into() };
    let profile = with(vec![policy(9, OWN, "looks", &[Point::Filter], &["node.name"], false)]);
    let mut snapshot = cluster(profile.columns(), 10);
    let other = info(&mut snapshot, "other", json!({}));
    let pod = info(&mut snapshot, "p", json!({}));
    let view = snapshot.view(&pod, &profile);
    let needs = wanted.clone();
    let mut mixed = Mixed::new(&profile, move |point, _, question| match question.objects.get(&needs) {
        None => Err(Unanswered::Needs(vec![needs.clone()])),
        Some(Some(Object::Pod(_))) => Ok(pass(point, question)),
        Some(_) => Err(Fault::new(question.policies.to_vec(), "Refused", "there is no such pod").into()),
    });
    let mut cycler = Cycler::default();
    let mut run = Run::new(&view, &profile, 0, 0);
    let Step::Ask(names) = run.step(&mut cycler, &snapshot, &Objects::default(), &mut mixed) else {
        panic!("it has to see the other pod first")
    };
    assert_eq!(names, std::slice::from_ref(&wanted));
    mixed.calls.clear();
    let mut objects = Objects::default();
    objects.tell(wanted.clone(), Some(Object::Pod(Arc::clone(&other.pod))));
    let Step::Done(outcome) = run.step(&mut cycler, &snapshot, &objects, &mut mixed) else { panic!("it was told") };
    assert!(matches!(outcome.result, CycleResult::Placed(_)), "{}", outcome.message);
    assert_eq!(mixed.calls[0].1, OWN, "it goes on where it was: the built-ins' filters are not asked again");

    // The cluster changed meanwhile: what was found out before may no longer hold.
    let mut run = Run::new(&view, &profile, 0, 0);
    assert!(matches!(run.step(&mut cycler, &snapshot, &Objects::default(), &mut mixed), Step::Ask(_)));
    snapshot.remove_node("n0001");
    let Step::Done(outcome) = run.step(&mut cycler, &snapshot, &objects, &mut mixed) else { panic!("it was told") };
    assert_eq!(outcome, cycle_with(&snapshot, &view, &profile, &mut mixed, &objects));

    let run = Run::new(&view, &profile, 0, 0);
    let outcome = run.finish(&mut cycler, &snapshot, &mut mixed, |names| {
        let mut none = Objects::default();
        names.iter().for_each(|name| none.tell(name.clone(), None));
        none
    });
    assert_eq!(outcome.message, "running \"looks\" Filter plugin: Refused: there is no such pod");
    let outcome = cycle(&snapshot, &view, &profile, 0, 0, &mut mixed);
    assert_eq!(outcome.result, CycleResult::Failed, "nobody tells it: {}", outcome.message);
}

fn cycle_with(
    snapshot: &Snapshot,
    view: &sampan_scheduler_core::PodView,
    profile: &Profile,
    mixed: &mut Mixed,
    objects: &Objects,
) -> Outcome {
    Run::new(view, profile, 0, 0).finish(&mut Cycler::default(), snapshot, mixed, |_| objects.clone())
}

#[test]
fn a_fault_that_is_ignored_counts_as_if_nobody_had_been_asked() {
    for cacheable in [true, false] {
        let mut lenient = policy(9, OWN, "lenient", &[Point::Filter, Point::Score], &["node.name"], cacheable);
        lenient.ignore_faults = true;
        let profile = with(vec![lenient]);
        let mut snapshot = cluster(profile.columns(), 30);
        let mut mixed = Mixed::new(&profile, move |_, _, question| {
            Err(Fault::new(question.policies.to_vec(), "Trap", "it fell").into())
        });
        let mut cycler = Cycler::default();
        for at in 0..3 {
            let info = info(&mut snapshot, &format!("p{at}"), json!({}));
            let view = snapshot.view(&info, &profile);
            let outcome = cycler.cycle(&snapshot, &view, &profile, at, 0, &mut mixed);
            let alone = with(Vec::new());
            let plain = snapshot.view(&info, &alone);
            let expected = cycle(&snapshot, &plain, &alone, at, 0, &mut Native::new(&alone));
            assert_eq!((&outcome.result, &outcome.best), (&expected.result, &expected.best));
            assert_eq!(outcome.faults.len(), 2, "asked again each time");
        }
    }
}

#[test]
fn no_pod_is_placed_while_a_policy_that_may_not_be_left_out_cannot_be_asked() {
    let mut profile = with(Vec::new());
    let mut snapshot = cluster(profile.columns(), 30);
    let info = info(&mut snapshot, "p", json!({}));
    let view = snapshot.view(&info, &profile);
    let mut cycler = Cycler::default();
    let mut native = Native::new(&profile);
    // Verdicts are known already.
    assert!(matches!(cycler.cycle(&snapshot, &view, &profile, 0, 0, &mut native).result, CycleResult::Placed(_)));
    let why = "suspended after 3 faults in 600 s, the last one Trap: \u{1b}[2J".to_owned();
    profile.held.push(sampan_scheduler_core::HeldPolicy { name: "strict".into(), why });
    let outcome = cycler.cycle(&snapshot, &view, &profile, 0, 0, &mut native);
    assert_eq!(outcome.result, CycleResult::Held);
    assert_eq!(
        outcome.message,
        "0/30 nodes are available: the pod waits for scheduling policy \"strict\": suspended after 3 faults in 600 s, \
         the last one Trap: \\u{1b}[2J (its failurePolicy is Fail)."
    );
}
