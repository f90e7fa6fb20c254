//! The bounds of expressions, Kubernetes' where it has one.

/// Code points of an expression: `parser.ExpressionSizeCodePointLimit` of cel-go.
pub const EXPRESSION_CHARS_MAX: usize = 100_000;
/// Nested levels of an expression, as the parser counts them: cel-go's 250.
pub const DEPTH_MAX: usize = 250;
/// Syntax errors that are told of one expression.
pub const SYNTAX_ERRORS_MAX: usize = 100;
/// Types and substitutions looked at while types are joined in one expression: an expression whose types grow without
/// bound is refused, in Kubernetes it takes memory.
pub const TYPE_STEPS_MAX: usize = 2_000_000;
/// Nodes of an expression once its macros are expanded (`optMap` doubles its target at each level).
pub const NODES_MAX: usize = 200_000;
/// Cost units that one evaluation may take: `celconfig.PerCallLimit`.
pub const PER_CALL_COST_MAX: u64 = 1_000_000;
/// Cost units that all rules of a custom resource, or all expressions of a policy, may take at one write:
/// `celconfig.RuntimeCELCostBudget`.
pub const RUNTIME_COST_BUDGET: u64 = 10_000_000;
/// Cost units of all match conditions of a webhook at one write: `celconfig.RuntimeCELCostBudgetMatchConditions`.
pub const MATCH_CONDITIONS_COST_BUDGET: u64 = 2_500_000;
/// Bytes of the largest request that a size is estimated from: `celconfig.MaxRequestSizeBytes`.
pub const REQUEST_BYTES_MAX: u64 = 3 * 1024 * 1024;
/// Bytes that one evaluation may look at and make: cost units leave some of it unbounded.
pub const WORK_BYTES_MAX: usize = 256 << 20;
/// Bytes of the programs of patterns that one evaluation makes without being billed for them.
pub const PATTERN_BYTES_FREE: usize = 64 << 10;
/// Bytes of the programs of further patterns that cost a unit, so that what one write may cost bounds what is made for it: Kubernetes
/// counts the bytes of a pattern alone, few of which can stand for a large program.
pub const PATTERN_BYTES_PER_COST: usize = 64;
/// Cost units that one rule of a definition may be estimated at: `StaticEstimatedCostLimit`.
pub const STATIC_COST_MAX: u64 = 10_000_000;
/// Cost units that all rules of a definition may be estimated at: `StaticEstimatedCRDCostLimit`.
pub const STATIC_TOTAL_COST_MAX: u64 = 100_000_000;
/// Bytes of the patterns that one evaluation keeps, each with its text, its program and the states that it may take. Further
/// ones are made, and billed, at each use.
pub const PATTERNS_KEPT_BYTES_MAX: usize = 64 << 20;
/// Bytes of a message that an expression makes: `MaxEvaluatedMessageExpressionSizeBytes`.
pub const MESSAGE_BYTES_MAX: usize = 5 * 1024;
