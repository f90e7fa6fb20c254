//! Policies as the cycle sees them: entries of a profile, and someone who asks them.

use crate::cells::PodView;
use crate::columns::ColumnSet;
use crate::normalize::Normalize;
use crate::snapshot::Snapshot;
use std::sync::Arc;

/// A policy's part in a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfilePolicy {
    /// Its slot; unique among the live policies.
    pub id: u32,
    /// What answers for it: policies of one unit are asked together.
    pub unit: u32,
    /// Name of the `SchedulingPolicy`.
    pub name: String,
    /// Digest of its component.
    pub digest: String,
    pub filter: bool,
    pub score: bool,
    pub weight: i64,
    pub normalize: Normalize,
    /// Its answer about a node depends on the pod and that node alone, and is always the same.
    pub cacheable: bool,
    /// A fault counts as if it had not been asked.
    pub ignore_faults: bool,
}

/// What pods of one `spec.schedulerName` are scheduled by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    pub scheduler_name: String,
    /// In order: the first that refuses a node is the one that is named.
    pub policies: Vec<ProfilePolicy>,
    /// Differs between any two profiles that ever lived in this process: what verdicts are kept under.
    pub generation: u64,
    /// Stop looking for nodes at this share of them; `None`: look at all.
    pub percentage_of_nodes_to_score: Option<u32>,
    /// What the policies want to know.
    pub columns: ColumnSet,
}

impl Profile {
    pub fn policy(&self, id: u32) -> Option<&ProfilePolicy> {
        self.policies.iter().find(|policy| policy.id == id)
    }
}

/// One question to one unit.
pub struct Ask<'a> {
    pub snapshot: &'a Snapshot,
    pub pod: &'a PodView,
    /// Ids of policies of that unit.
    pub policies: &'a [u32],
    pub rows: &'a [u32],
}

/// Why a node was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub policy: u32,
    /// No eviction of pods could change it.
    pub unresolvable: bool,
    pub texts: Vec<String>,
}

/// The filters' answer: for each row 0 or 1 + an index of `reasons`; no marks at all when every row passed. An
/// implementation of [`Policies`] checks that it is well formed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfit {
    pub marks: Vec<u8>,
    pub reasons: Vec<Reason>,
    pub skipped: Vec<u32>,
}

/// The scores' answer: for each policy that was not skipped, in the order of the question, one value a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scores {
    pub skipped: Vec<u32>,
    pub values: Vec<i64>,
}

/// A policy that gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The policies that were asked.
    pub policies: Vec<u32>,
    /// `Trap`, `CpuBudget`, ...: one of a fixed set.
    pub cause: String,
    pub message: String,
}

/// Asks policies. The answer must be a function of the question, faults apart.
pub trait Policies {
    fn filter(&mut self, unit: u32, ask: &Ask<'_>) -> Result<Unfit, Fault>;
    fn score(&mut self, unit: u32, ask: &Ask<'_>) -> Result<Scores, Fault>;
}

/// Policies that come and go, as the driver needs them. It stays on the thread that made it.
pub trait LivePolicies: Policies {
    /// Takes up what is live now. Called between two cycles; returns whether anything changed.
    fn adopt(&mut self) -> bool;
    /// The profile of a `spec.schedulerName`, if there is one.
    fn profile(&self, scheduler_name: &str) -> Option<Arc<Profile>>;
    /// Events that may help a pod that this policy refused.
    fn events(&self, policy: u32) -> &[String];
    /// Whether pods may be placed: every policy that was there at the start has been looked at, and one is live.
    fn ready(&self) -> bool;
    /// Forgets all mirrors: another snapshot comes.
    fn clear(&mut self);
    /// Bytes that the smallest mirror may take; `None`: nothing bounds them.
    fn memory(&self) -> Option<u64>;
}

/// Makes hosts of the live policies.
pub trait PolicyHosts: Send + Sync {
    /// For the cycles.
    fn host(&self) -> Box<dyn LivePolicies>;
    /// For an explanation: what goes wrong there, or takes long, is not held against the policies.
    fn explaining_host(&self) -> Box<dyn LivePolicies>;
}
