//! What the core keeps at most.

/// Pods' cells that a mirror keeps at a time: past it the rows are used again from the first.
pub const MIRRORED_PODS: u32 = 1024;
/// Pod signatures whose verdicts are kept.
pub const SIGNATURES: usize = 256;
/// Reasons of one signature's verdicts; past it they are asked anew.
pub const REASONS: usize = 4096;
/// Best nodes that an outcome names.
pub const BEST: usize = 3;
/// What a string costs a mirror beside its text, about: its place in a list, an allocation, an entry of an index.
pub const STRING_BYTES: usize = 64;
/// Changes of rows that a snapshot remembers in order: whoever missed more looks at every row.
pub const CHANGES_LOGGED: usize = 4096;
/// Weight of a score, as kube-scheduler's configuration has it.
pub const WEIGHT_MAX: i64 = 100;
/// kube-scheduler never looks for fewer feasible nodes than this.
pub const FEASIBLE_MIN: usize = 100;
