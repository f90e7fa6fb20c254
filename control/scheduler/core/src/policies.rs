//! Policies as the cycle sees them: entries of a profile, and someone who asks them.

use crate::answer::{Answer, Fault, Question};
use crate::columns::ColumnSet;
use crate::normalize::Normalize;
use crate::objects::ObjectRef;
use crate::snapshot::Snapshot;
use std::sync::Arc;

/// The points of a cycle at which policies take part (kube-scheduler's extension points).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// May the pod run on a node?
    Filter,
    /// A number for how well the pod would run on a node.
    Score,
}

impl Point {
    /// Every point that a cycle has, in its order.
    pub const ALL: [Self; 2] = [Self::Filter, Self::Score];

    /// Its name as `SchedulingPolicy` and decision records have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Score => "score",
        }
    }

    /// Its name in kube-scheduler's messages.
    pub fn title(self) -> &'static str {
        match self {
            Self::Filter => "Filter",
            Self::Score => "Score",
        }
    }
}

/// The points at which a policy takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Points(u8);

impl Points {
    /// The points of the list.
    pub fn of(points: impl IntoIterator<Item = Point>) -> Self {
        Self(points.into_iter().fold(0, |set, point| set | 1 << point as u8))
    }

    /// Whether the point is among them.
    pub fn has(self, point: Point) -> bool {
        self.0 & (1 << point as u8) != 0
    }

    /// Their names, in the order of a cycle.
    pub fn names(self) -> Vec<String> {
        Point::ALL.into_iter().filter(|point| self.has(*point)).map(|point| point.name().to_owned()).collect()
    }
}

/// A policy's part in a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfilePolicy {
    /// Its slot; unique among the live policies.
    pub id: u32,
    /// The unit that answers for it: policies of one unit are asked together.
    pub unit: u32,
    /// Name of the `SchedulingPolicy`.
    pub name: String,
    /// Generation of the `SchedulingPolicy` that this was made of.
    pub generation: Option<i64>,
    /// Digest of its component.
    pub digest: String,
    /// Digest of its arguments; "" when it has none.
    pub args_digest: String,
    /// The points at which it is asked.
    pub points: Points,
    /// The columns of nodes and pods that it reads.
    pub columns: ColumnSet,
    /// The factor of its normalised score.
    pub weight: i64,
    /// The mapping of its raw scores to 0 to 100.
    pub normalize: Normalize,
    /// Its answer about a node depends on the pod and that node alone, and is always the same.
    pub cacheable: bool,
    /// A fault counts as if it had not been asked.
    pub ignore_faults: bool,
}

/// A policy that may not be left out and cannot be asked now: no pod of the profile is placed meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPolicy {
    /// Name of the `SchedulingPolicy`.
    pub name: String,
    /// The reason why it cannot be asked.
    pub why: String,
}

/// Neighbours in a profile's order that are asked in one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// The component that answers for all of them.
    pub unit: u32,
    /// Indexes of `Profile::policies`.
    pub policies: Vec<usize>,
    /// Their ids, in the same order.
    pub ids: Vec<u32>,
    /// Answers hold until the node changes, and are kept.
    pub kept: bool,
}

/// The policies, in order, that pods of one `spec.schedulerName` are scheduled by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    scheduler_name: String,
    policies: Vec<ProfilePolicy>,
    generation: u64,
    /// Stop looking for nodes at this share of them; `None`: look at all.
    pub percentage_of_nodes_to_score: Option<u32>,
    /// Policies whose faults are not ignored and that cannot be asked: while there is one, pods wait.
    pub held: Vec<HeldPolicy>,
    columns: ColumnSet,
    units: Vec<(u32, ColumnSet)>,
    filters: Vec<Group>,
    scores: Vec<Group>,
}

impl Profile {
    /// `policies`: in order, since the first that refuses a node is the one that is named. `generation` differs between
    /// any two profiles that ever lived in this process: what verdicts are kept under.
    pub fn new(scheduler_name: impl Into<String>, policies: Vec<ProfilePolicy>, generation: u64) -> Self {
        let mut units: Vec<(u32, ColumnSet)> = Vec::new();
        for policy in &policies {
            match units.iter_mut().find(|(unit, _)| *unit == policy.unit) {
                Some((_, columns)) => *columns = columns.union(policy.columns),
                None => units.push((policy.unit, policy.columns)),
            }
        }
        let columns = units.iter().fold(ColumnSet::default(), |all, (_, columns)| all.union(*columns));
        let of_one_pod = |unit: u32| units.iter().any(|(id, columns)| *id == unit && columns.tells_pods_apart());
        let groups = |point: Point| {
            let mut groups: Vec<Group> = Vec::new();
            for (at, policy) in policies.iter().enumerate().filter(|(_, policy)| policy.points.has(point)) {
                // Answers about a pod that has no equal are of no use to another.
                let kept = policy.cacheable && !of_one_pod(policy.unit);
                if groups.last().is_none_or(|last| (last.unit, last.kept) != (policy.unit, kept)) {
                    groups.push(Group { unit: policy.unit, kept, ..Group::default() });
                }
                if let Some(last) = groups.last_mut() {
                    last.policies.push(at);
                    last.ids.push(policy.id);
                }
            }
            groups
        };
        let (filters, scores) = (groups(Point::Filter), groups(Point::Score));
        Self {
            scheduler_name: scheduler_name.into(),
            policies,
            generation,
            percentage_of_nodes_to_score: None,
            held: Vec::new(),
            columns,
            units,
            filters,
            scores,
        }
    }

    /// `spec.schedulerName` of its pods.
    pub fn scheduler_name(&self) -> &str {
        &self.scheduler_name
    }

    /// Its policies in order.
    pub fn policies(&self) -> &[ProfilePolicy] {
        &self.policies
    }

    /// The policy of that id.
    pub fn policy(&self, id: u32) -> Option<&ProfilePolicy> {
        self.policies.iter().find(|policy| policy.id == id)
    }

    /// The columns that its policies read, together.
    pub fn columns(&self) -> ColumnSet {
        self.columns
    }

    /// The columns that each of its units reads.
    pub fn units(&self) -> &[(u32, ColumnSet)] {
        &self.units
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn groups(&self, point: Point) -> &[Group] {
        match point {
            Point::Filter => &self.filters,
            Point::Score => &self.scores,
        }
    }
}

/// The reason why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The policy failed.
    Fault(Fault),
    /// The policy has to see these objects first: the same question comes again with them in [`Question::objects`].
    Needs(Vec<ObjectRef>),
}

impl From<Fault> for Unanswered {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Asks policies. The answer must be a function of the question, faults apart; the cycle checks it by
/// [`Answer::checked`].
pub trait Policies {
    /// Asks policies of one unit at one point.
    ///
    /// # Errors
    /// When there is no answer: a fault, or something that has to be seen first.
    fn ask(&mut self, point: Point, unit: u32, question: &Question<'_>) -> Result<Answer, Unanswered>;
}

/// Policies that come and go, as the driver needs them. It stays on the thread that made it.
pub trait LivePolicies: Policies {
    /// Takes up what is live now. Called between two cycles; returns whether anything changed.
    fn adopt(&mut self) -> bool;
    /// Shows the snapshot to what is about to go live, so that it answers from its first question on. Called after
    /// [`LivePolicies::adopt`].
    fn warm(&mut self, _snapshot: &mut Snapshot) {}
    /// The profile of a `spec.schedulerName`, if there is one.
    fn profile(&self, scheduler_name: &str) -> Option<Arc<Profile>>;
    /// Events that may help a pod that this policy refused.
    fn events(&self, policy: u32) -> &[String];
    /// Whether pods may be placed: every policy that was there at the start has been looked at, and one is
    /// live, or is waited for by pods that are told so.
    fn ready(&self) -> bool;
}

/// Makes hosts of the live policies.
pub trait PolicyHosts: Send + Sync {
    /// For the cycles.
    fn host(&self) -> Box<dyn LivePolicies>;
    /// For an explanation: what goes wrong there, or takes long, is not held against the policies.
    fn explaining_host(&self) -> Box<dyn LivePolicies>;
}
