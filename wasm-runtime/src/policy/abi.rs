//! The contract's types as they cross. Lists of numbers cross as one copy each.

use wasmtime::component::{ComponentType, Lift, Lower};

/// See `changes` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, Default, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct PolicyChanges {
    /// UTF-8 of the new strings, one after the other.
    pub strings: Vec<u8>,
    /// The end of each new string.
    #[component(name = "string-ends")]
    pub string_ends: Vec<u32>,
    /// Ids of the columns with changed cells.
    pub columns: Vec<u32>,
    /// The end of each column's part of `rows`.
    #[component(name = "column-ends")]
    pub column_ends: Vec<u32>,
    /// Rows of changed cells.
    pub rows: Vec<u32>,
    /// The end of each row's part of `words`.
    #[component(name = "cell-ends")]
    pub cell_ends: Vec<u32>,
    /// The cells.
    pub words: Vec<i64>,
}

/// See `input` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, Default, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct PolicyInput {
    /// To be kept.
    pub changes: PolicyChanges,
    /// To be seen by this call only.
    pub overlay: PolicyChanges,
    /// Row of the pod.
    pub pod: u32,
    /// Slots of the policies to run, in order.
    pub policies: Vec<u32>,
    /// Rows of the nodes, in the order in which the answer has them.
    pub nodes: Vec<u32>,
}

/// See `reason` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct PolicyReason {
    /// Slot of the policy that refuses.
    pub policy: u32,
    /// Bit 0: no eviction of pods could change it.
    pub bits: u32,
    /// Counted one by one.
    pub texts: Vec<String>,
}

/// See `verdicts` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct PolicyVerdicts {
    /// A byte for each node: 0, or 1 + an index into `reasons`; empty: all pass.
    pub marks: Vec<u8>,
    /// The reasons that the marks point at.
    pub reasons: Vec<PolicyReason>,
    /// Slots of the policies that do not concern the pod.
    pub skipped: Vec<u32>,
}

/// See `scores` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct PolicyScores {
    /// Slots of the policies that do not concern the pod.
    pub skipped: Vec<u32>,
    /// For each policy that was not skipped: one score for each node.
    pub values: Vec<i64>,
}

/// See `failure` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Failure {
    /// Slot of the policy that failed.
    pub policy: u32,
    /// What it says of the failure, in its own words.
    pub message: String,
}
