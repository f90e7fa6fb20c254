//! Bounds of the core's memory and inputs.

/// Pods' cells that a mirror keeps at a time: past it the rows are used again from the first.
pub const MIRRORED_PODS: u32 = 1024;
/// Words of one pod's cells in the columns of one unit: a pod that brings more is not decided on.
pub const POD_WORDS: usize = 1 << 16;
/// Bytes of the texts in one pod's cells in the columns of one unit.
pub const POD_TEXT_BYTES: usize = 1 << 20;
/// Bytes of kept verdicts and scores together.
pub const KEPT_BYTES: usize = 32 << 20;
/// Reasons of one signature's verdicts; past it they are asked anew.
pub const REASONS: usize = 4096;
/// Best nodes that an outcome names.
pub const BEST: usize = 3;
/// Bytes of a string beside its text, about: its place in a list, an allocation, an entry of an index.
pub const STRING_BYTES: usize = 64;
/// Strings of a snapshot from which on it looks for those that nothing refers to, each time they have doubled.
pub const STRINGS_SWEPT: usize = 4096;
/// Changes of rows that a snapshot remembers in order: whoever missed more looks at every row.
pub const CHANGES_LOGGED: usize = 4096;
/// Weight of a score, as kube-scheduler's configuration has it.
pub const WEIGHT_MAX: i64 = 100;
/// kube-scheduler never looks for fewer feasible nodes than this.
pub const FEASIBLE_MIN: usize = 100;

/// Reasons of one answer: a mark is a byte, and 0 says yes (plugins/wit/scheduling.wit).
pub const ANSWER_REASONS: usize = 255;
/// Texts of one reason (plugins/wit/scheduling.wit).
pub const ANSWER_TEXTS: usize = 64;
/// Bytes of one text of a reason (plugins/wit/scheduling.wit).
pub const ANSWER_TEXT_BYTES: usize = 1024;
/// Bytes of all texts of one answer together (plugins/wit/scheduling.wit).
pub const ANSWER_TEXTS_BYTES: usize = 64 << 10;
/// Rounds in which one cycle may be told of objects that it asked for.
pub const ASKS: usize = 8;
/// Bytes of what a fault says.
pub const FAULT_BYTES: usize = 1024;
/// Bytes of an outcome's message: what a pod's condition holds.
pub const MESSAGE_BYTES: usize = 8 << 10;
/// Constraints that nothing serves which one message names.
pub const CONSTRAINTS_NAMED: usize = 8;
