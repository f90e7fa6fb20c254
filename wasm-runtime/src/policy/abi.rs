//! The contract's types as they cross. Lists of numbers cross as one copy each.

use wasmtime::component::{ComponentType, Lift, Lower};

/// See `changes` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, Default, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct PolicyChanges {
    pub strings: Vec<u8>,
    #[component(name = "string-ends")]
    pub string_ends: Vec<u32>,
    pub columns: Vec<u32>,
    #[component(name = "column-ends")]
    pub column_ends: Vec<u32>,
    pub rows: Vec<u32>,
    #[component(name = "cell-ends")]
    pub cell_ends: Vec<u32>,
    pub words: Vec<i64>,
}

/// See `input` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, Default, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct PolicyInput {
    pub changes: PolicyChanges,
    pub overlay: PolicyChanges,
    pub pod: u32,
    pub policies: Vec<u32>,
    pub nodes: Vec<u32>,
}

/// See `reason` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct PolicyReason {
    pub policy: u32,
    pub bits: u32,
    pub texts: Vec<String>,
}

/// See `verdicts` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct PolicyVerdicts {
    pub marks: Vec<u8>,
    pub reasons: Vec<PolicyReason>,
    pub skipped: Vec<u32>,
}

/// See `scores` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct PolicyScores {
    pub skipped: Vec<u32>,
    pub values: Vec<i64>,
}

/// See `failure` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Failure {
    pub policy: u32,
    pub message: String,
}
