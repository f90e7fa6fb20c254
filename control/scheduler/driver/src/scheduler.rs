//! The scheduler without I/O: what it knows of the cluster, which pod is next, what was decided. The driver's thread and
//! the simulation run the same.

use crate::limits;
use crate::queue::{ClusterEvent, Queue, WaitsFor};
use sampan_api::k8s::api::core::v1::{Node, Pod};
use sampan_scheduler_core::{
    CycleResult, Cycler, Fault, LivePolicies, Object, ObjectKind, ObjectRef, Objects, Outcome, PodInfo, Profile, Run,
    Snapshot,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::time::Instant;

type Uid = Arc<str>;

/// State of one pod.
#[derive(Clone, Debug)]
struct Known {
    info: PodInfo,
    state: PodState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PodState {
    /// In the queue.
    Pending,
    /// Not ours, gated, or on its way out: it needs nothing of us.
    Ignored,
    /// Placed by us; its binding is not answered, or not seen, yet.
    Assumed {
        node: String,
        sequence: u64,
        answered: bool,
        /// Number of attempts.
        attempts: u32,
    },
    Bound {
        node: String,
    },
}

/// A pod as the watch shows it.
#[derive(Clone, Debug)]
pub struct PodChange {
    /// Its new form.
    pub pod: Arc<Pod>,
}

/// A pod that is to be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The pod's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: a later pod of that name is another one.
    pub uid: Arc<str>,
    /// The node that it gets.
    pub node: String,
}

/// The outcome of a binding. Only what is certain is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindResult {
    /// The pod has the node.
    Bound,
    /// The API server refused it for good; the pod has no node by it.
    Refused(String),
}

/// One cycle: what it decided on, from what, and how it ended.
#[derive(Clone, Debug)]
pub struct Cycled {
    /// The pod that was decided on.
    pub pod: PodInfo,
    /// By which policies.
    pub profile: Arc<Profile>,
    /// The outcome of the cycle.
    pub outcome: Outcome,
    /// Number of the cycle in this run, from 1.
    pub sequence: u64,
    /// The seed of the choice among equals.
    pub seed: u64,
    /// The node at which the search began.
    pub start: u32,
    /// Revision of the nodes that were seen.
    pub nodes_revision: u64,
    /// Revision of the pods that were seen.
    pub pods_revision: u64,
    /// Sequence numbers of the decisions that were assumed: ranges, both ends included.
    pub assumed: Vec<(u64, u64)>,
    /// The binding to make, if the pod was placed.
    pub bind: Option<Bind>,
}

/// Settings of a [`Scheduler`].
#[derive(Clone, Debug, Default)]
pub struct SchedulerSettings {
    /// Placed and unanswered pods at a time; 0: the limit.
    pub assumed_max: usize,
}

/// Not shared between threads. Time and seeds are handed in.
pub struct Scheduler {
    policies: Box<dyn LivePolicies>,
    snapshot: Snapshot,
    cycler: Cycler,
    queue: Queue,
    pods: HashMap<Uid, Known>,
    names: HashMap<(String, String), Uid>,
    unanswered: usize,
    assumed_max: usize,
    /// Sequence numbers of placements that the watch has not shown yet.
    assumed: BTreeSet<u64>,
    sequence: u64,
    start: u32,
    nodes_revision: u64,
    pods_revision: u64,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").field("pods", &self.pods.len()).field("sequence", &self.sequence).finish()
    }
}

fn ranges(numbers: &BTreeSet<u64>) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, end)) if *end + 1 == *number => *end = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    ranges
}

/// The events of a node's change that may help a refused pod.
fn node_events(old: Option<&Node>, new: &Node) -> Vec<ClusterEvent> {
    let Some(old) = old else { return vec![ClusterEvent::NodeAdd] };
    let spec = |node: &Node| node.spec.clone().unwrap_or_default();
    let allocatable = |node: &Node| node.status.as_ref().and_then(|status| status.allocatable.clone());
    let (old_spec, new_spec) = (spec(old), spec(new));
    let mut events = Vec::new();
    if old.metadata.labels != new.metadata.labels {
        events.push(ClusterEvent::NodeUpdateLabel);
    }
    if old_spec.taints != new_spec.taints || old_spec.unschedulable != new_spec.unschedulable {
        events.push(ClusterEvent::NodeUpdateTaint);
    }
    if allocatable(old) != allocatable(new) {
        events.push(ClusterEvent::NodeUpdateAllocatable);
    }
    if old.metadata.annotations != new.metadata.annotations {
        events.push(ClusterEvent::NodeUpdateAnnotation);
    }
    if events.is_empty() {
        events.push(ClusterEvent::NodeUpdateOther);
    }
    events
}

impl Scheduler {
    /// Knows of no node and no pod yet.
    pub fn new(policies: Box<dyn LivePolicies>, settings: &SchedulerSettings) -> Self {
        let assumed_max = if settings.assumed_max == 0 { limits::ASSUMED_MAX } else { settings.assumed_max };
        Self {
            policies,
            snapshot: Snapshot::default(),
            cycler: Cycler::default(),
            queue: Queue::default(),
            pods: HashMap::new(),
            names: HashMap::new(),
            unanswered: 0,
            assumed_max,
            assumed: BTreeSet::new(),
            sequence: 0,
            start: 0,
            nodes_revision: 0,
            pods_revision: 0,
        }
    }

    /// The cluster as it is counted now.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Pods in line, backing off, waiting.
    pub fn queue_lengths(&self) -> (usize, usize, usize) {
        self.queue.lengths()
    }

    /// Time at which the next pod becomes due by time alone; while no cycle may run, none does.
    pub fn next_due(&self) -> Option<Instant> {
        if self.ready() { self.queue.next_due() } else { None }
    }

    /// Revisions only grow: what was seen of nodes, of pods.
    pub fn seen_nodes(&mut self, revision: u64) {
        self.nodes_revision = self.nodes_revision.max(revision);
    }
    /// Notes the revision that the pods have been seen at.
    pub fn seen_pods(&mut self, revision: u64) {
        self.pods_revision = self.pods_revision.max(revision);
    }

    /// A node is there, or has another form.
    pub fn node_applied(&mut self, node: Arc<Node>, now: Instant) {
        let name = node.metadata.name.clone().unwrap_or_default();
        let old = self.snapshot.node(&name).cloned();
        if !self.snapshot.set_node(Arc::clone(&node)) {
            return;
        }
        for event in node_events(old.as_deref(), &node) {
            self.happened(event, now);
        }
    }

    /// A node is gone.
    pub fn node_deleted(&mut self, name: &str) {
        self.snapshot.remove_node(name);
    }

    fn happened(&mut self, event: ClusterEvent, now: Instant) {
        let policies = &self.policies;
        self.queue.happened(event, now, |policy| policies.events(policy));
    }

    /// Whether it is known already that this pod is on this node and has not finished: then the change that says so need
    /// not be decoded. The watch has now shown it.
    pub fn confirms(&mut self, uid: &str, node: &str) -> bool {
        let Some(known) = self.pods.get_mut(uid) else { return false };
        match &known.state {
            PodState::Bound { node: bound } => bound == node,
            PodState::Assumed { node: assumed, sequence, answered, .. } if assumed == node => {
                self.assumed.remove(sequence);
                self.unanswered -= usize::from(!answered);
                known.state = PodState::Bound { node: node.to_owned() };
                true
            }
            _ => false,
        }
    }

    /// A pod is there, or has another form.
    pub fn pod_applied(&mut self, change: PodChange, now: Instant) {
        let info = PodInfo::new(change.pod, self.snapshot.strings_mut());
        let key = (info.namespace().to_owned(), info.name().to_owned());
        // Another pod of the same name: the old one's deletion was not seen.
        if let Some(old) = self.names.get(&key).filter(|old| **old != info.uid).cloned() {
            self.forget(&old, now);
        }
        self.names.insert(key, Arc::clone(&info.uid));
        let uid = Arc::clone(&info.uid);
        let old = self.pods.get(&uid).cloned();
        if info.finished() {
            self.leave_node(&uid, now);
            self.queue.remove(&uid);
            self.pods.insert(uid, Known { info, state: PodState::Ignored });
            return;
        }
        if let Some(node) = info.node_name().map(str::to_owned) {
            self.queue.remove(&uid);
            self.end_assumption(old.as_ref());
            self.snapshot.add_pod(&node, &uid, &info.usage);
            self.pods.insert(uid, Known { info, state: PodState::Bound { node } });
            return;
        }
        match old {
            // The watch is behind our own decision; but what it says of the pod is news.
            Some(Known { state: PodState::Assumed { node, sequence, answered, attempts }, .. }) => {
                self.snapshot.add_pod(&node, &uid, &info.usage);
                let state = PodState::Assumed { node, sequence, answered, attempts };
                self.pods.insert(uid, Known { info, state });
            }
            Some(old) if old.state == PodState::Pending && self.wants(&info) => {
                let changed = differs(&old.info.pod, &info.pod);
                self.pods.insert(Arc::clone(&uid), Known { info, state: PodState::Pending });
                if changed {
                    self.queue.changed(&uid, now);
                }
            }
            _ if self.wants(&info) => {
                self.queue.add(&uid, info.namespace(), info.priority());
                self.pods.insert(uid, Known { info, state: PodState::Pending });
            }
            _ => {
                self.queue.remove(&uid);
                self.pods.insert(uid, Known { info, state: PodState::Ignored });
            }
        }
    }

    /// Whether it is ours to place.
    fn wants(&self, info: &PodInfo) -> bool {
        !info.gated() && !info.deleting() && self.policies.profile(info.scheduler_name()).is_some()
    }

    /// No pod of that name is there any more: neither the one that the deletion is of, nor an older one whose end and whose
    /// successor's whole life the watch left out.
    pub fn pod_deleted(&mut self, namespace: &str, name: &str, uid: &str, now: Instant) {
        if let Some(known) = self.names.remove(&(namespace.to_owned(), name.to_owned())) {
            self.forget(&known, now);
        }
        self.forget(&Uid::from(uid), now);
    }

    fn forget(&mut self, uid: &Uid, now: Instant) {
        self.queue.remove(uid);
        self.leave_node(uid, now);
        self.pods.remove(uid);
    }

    fn end_assumption(&mut self, known: Option<&Known>) {
        if let Some(Known { state: PodState::Assumed { sequence, answered, .. }, .. }) = known {
            self.assumed.remove(sequence);
            self.unanswered -= usize::from(!answered);
        }
    }

    fn leave_node(&mut self, uid: &Uid, now: Instant) {
        let known = self.pods.get(uid).cloned();
        self.end_assumption(known.as_ref());
        if self.snapshot.remove_pod(uid) {
            self.happened(ClusterEvent::PodDelete, now);
        }
    }

    /// Takes up what policies are live. To be called between two cycles.
    pub fn adopt(&mut self, now: Instant) {
        let is_new = self.policies.adopt();
        // After it: what was fed and goes live now has given back the memory that it passed through.
        self.policies.warm(&mut self.snapshot);
        if !is_new {
            return;
        }
        self.happened(ClusterEvent::PoliciesChanged, now);
        // A profile may have come or gone.
        let ignored: Vec<Uid> = self
            .pods
            .iter()
            .filter(|(_, known)| known.state == PodState::Ignored)
            .map(|(uid, _)| Arc::clone(uid))
            .collect();
        for uid in ignored {
            let Some(known) = self.pods.get(&uid) else { continue };
            let free = known.info.node_name().is_none() && !known.info.finished();
            if free && self.wants(&known.info) {
                self.queue.add(&uid, known.info.namespace(), known.info.priority());
                if let Some(known) = self.pods.get_mut(&uid) {
                    known.state = PodState::Pending;
                }
            }
        }
    }

    /// Whether a cycle may run now.
    pub fn ready(&self) -> bool {
        self.unanswered < self.assumed_max && self.policies.ready()
    }

    /// Decides on the next pod, if there is one that is due.
    pub fn cycle(&mut self, now: Instant, seed: u64) -> Option<Cycled> {
        if !self.ready() {
            return None;
        }
        loop {
            let uid = self.queue.pop(now)?;
            let Some(known) = self.pods.get(&uid) else {
                self.queue.remove(&uid);
                continue;
            };
            let pod = known.info.clone();
            let Some(profile) = self.policies.profile(pod.scheduler_name()) else {
                self.queue.remove(&uid);
                // Its profile may come again.
                self.pods.insert(uid, Known { info: pod, state: PodState::Ignored });
                continue;
            };
            return Some(self.decide(pod, profile, now, seed));
        }
    }

    fn decide(&mut self, pod: PodInfo, profile: Arc<Profile>, now: Instant, seed: u64) -> Cycled {
        self.snapshot.want(profile.columns());
        let view = self.snapshot.view(&pod, &profile);
        let start = self.start;
        let (snapshot, pods, names) = (&self.snapshot, &self.pods, &self.names);
        let fetch = |asked: &[ObjectRef]| objects(asked, snapshot, pods, names);
        let run = Run::new(&view, &profile, seed, start);
        let outcome = run.finish(&mut self.cycler, snapshot, self.policies.as_mut(), fetch);
        self.sequence += 1;
        self.start = outcome.next_start;
        let mut cycled = Cycled {
            profile,
            sequence: self.sequence,
            seed,
            start,
            nodes_revision: self.nodes_revision,
            pods_revision: self.pods_revision,
            assumed: ranges(&self.assumed),
            bind: None,
            outcome,
            pod,
        };
        let uid = Arc::clone(&cycled.pod.uid);
        match &cycled.outcome.result {
            CycleResult::Placed(placed) => {
                let node = placed.node.clone();
                self.snapshot.add_pod(&node, &uid, &cycled.pod.usage);
                let attempts = self.queue.take(&uid);
                self.assumed.insert(self.sequence);
                self.unanswered += 1;
                let state =
                    PodState::Assumed { node: node.clone(), sequence: self.sequence, answered: false, attempts };
                self.pods.insert(Arc::clone(&uid), Known { info: cycled.pod.clone(), state });
                cycled.bind = Some(Bind {
                    namespace: cycled.pod.namespace().to_owned(),
                    name: cycled.pod.name().to_owned(),
                    uid,
                    node,
                });
            }
            CycleResult::Unschedulable => {
                let refused_by: BTreeSet<u32> =
                    cycled.outcome.refusals.iter().map(|refused| refused.reason.policy).collect();
                self.queue.wait(&uid, WaitsFor::Events(refused_by.into_iter().collect()), now);
            }
            CycleResult::Held => self.queue.wait(&uid, WaitsFor::Policies, now),
            CycleResult::Failed if cycled.outcome.faults.iter().any(Fault::is_costly) => {
                self.queue.cost_too_much(&uid, now);
            }
            CycleResult::Failed => self.queue.failed(&uid, now),
        }
        cycled
    }

    /// Notes the outcome of a binding. After a refusal the pod, if it is still there, is tried again.
    pub fn bound(&mut self, bind: &Bind, result: &BindResult, now: Instant) {
        let Some(known) = self.pods.get_mut(&bind.uid) else { return };
        let PodState::Assumed { node, answered, attempts, .. } = &mut known.state else { return };
        if *node != bind.node {
            return;
        }
        let attempts = *attempts;
        match result {
            BindResult::Bound => {
                self.unanswered -= usize::from(!*answered);
                *answered = true;
            }
            BindResult::Refused(_) => {
                let info = known.info.clone();
                self.leave_node(&bind.uid, now);
                let state = if self.wants(&info) {
                    self.queue.put_back(&bind.uid, info.namespace(), info.priority(), attempts, now);
                    PodState::Pending
                } else {
                    PodState::Ignored
                };
                self.pods.insert(Arc::clone(&bind.uid), Known { info, state });
            }
        }
    }
}

/// The known objects that a policy has to see.
fn objects(
    asked: &[ObjectRef],
    snapshot: &Snapshot,
    pods: &HashMap<Uid, Known>,
    names: &HashMap<(String, String), Uid>,
) -> Objects {
    let mut objects = Objects::default();
    for wanted in asked {
        let object = match wanted.kind {
            ObjectKind::Node => snapshot.node(&wanted.name).map(|node| Object::Node(Arc::clone(node))),
            ObjectKind::Pod => {
                let uid = names.get(&(wanted.namespace.clone(), wanted.name.clone()));
                uid.and_then(|uid| pods.get(uid)).map(|known| Object::Pod(Arc::clone(&known.info.pod)))
            }
        };
        objects.tell(wanted.clone(), object);
    }
    objects
}

/// Whether a pending pod changed in anything but its status.
fn differs(old: &Pod, new: &Pod) -> bool {
    old.spec != new.spec
        || old.metadata.labels != new.metadata.labels
        || old.metadata.annotations != new.metadata.annotations
}
