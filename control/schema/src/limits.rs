//! Every limit of this crate.

/// Bytes that defaults may add to an object: where an element of a list is two bytes long and its defaults are a hundred,
/// they would otherwise take fifty times what a body may be. A Pod's containers come to it with some 2,500 of them.
pub const DEFAULTS_BYTES_MAX: usize = sampan_api::limits::OBJECT_MAX / 4;
/// Unknown and duplicate fields reported for one body; later ones are dropped silently, as sigs.k8s.io/json does.
pub const PROBLEMS_MAX: usize = 100;

/// Bytes of the paths of these: problems beyond it are dropped.
pub const PROBLEM_BYTES_MAX: usize = 256 * 1024;

/// Nodes of a YAML document after its aliases are expanded. A 3 MiB body without aliases stays below it.
pub const YAML_NODES_MAX: usize = 3_000_000;

/// Nodes that anchors and aliases alone may add to a YAML document: a copy is kept of each anchored node, and each
/// alias makes another.
pub const YAML_ALIAS_NODES_MAX: usize = 100_000;

/// Bytes of text in those copies.
pub const YAML_ALIAS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes that the `copy` operations of one JSON patch may make, as kube-apiserver's `JSONPatchMaxCopyBytes`.
pub const JSON_PATCH_COPY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Passes over the object and the patch together that the lists of one strategic merge patch may cost. A patch whose
/// elements have keys of their own stays below it.
pub const STRATEGIC_MERGE_PASSES_MAX: usize = 4;

/// Managers with operation Update kept apart in one object; the oldest are merged into one.
pub const UPDATE_MANAGERS_MAX: usize = 10;

const _: () = assert!(YAML_ALIAS_NODES_MAX < YAML_NODES_MAX);

/// Bytes of a pattern: compiling takes 50 ns a byte. Go has no such limit.
pub const PATTERN_BYTES_MAX: usize = 16 * 1024;

/// Bytes of the program that a pattern is compiled to: far above what Go's limit of 1,000 repetitions allows.
pub const PATTERN_PROGRAM_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of the programs of all patterns of one definition, as far as they can be told beforehand: making a mebibyte takes some
/// five milliseconds.
pub const PATTERNS_PROGRAM_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes that a pattern's states may take while it is matched.
pub const PATTERN_STATES_BYTES_MAX: usize = 64 * 1024;
