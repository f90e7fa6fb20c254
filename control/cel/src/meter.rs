//! What an evaluation has spent: cost units, bytes, patterns.

use crate::error::EvalError;
use crate::limits::WORK_BYTES_MAX;
use crate::value::Value;
use regex::Regex;
use std::collections::HashMap;

/// What an evaluation has cost.
pub(crate) struct Meter {
    pub(crate) cost: u64,
    limit: u64,
    work: usize,
    patterns: HashMap<String, Regex>,
}

/// Distinct regular expressions that one evaluation keeps.
const PATTERNS_MAX: usize = 64;
/// What compiling a regular expression counts as, in bytes of work.
const PATTERN_WORK: usize = 1 << 20;

impl Meter {
    /// Nothing was spent yet; `limit` in cost units.
    pub(crate) fn new(limit: u64) -> Self {
        Self { cost: 0, limit, work: 0, patterns: HashMap::new() }
    }

    /// Counts cost units.
    pub(crate) fn charge(&mut self, cost: u64) -> Result<(), EvalError> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(EvalError::CostExceeded) } else { Ok(()) }
    }

    /// Counts bytes that are looked at or made, which cost units do not bound.
    pub(crate) fn work(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.work = self.work.saturating_add(bytes);
        if self.work > WORK_BYTES_MAX { Err(EvalError::CostExceeded) } else { Ok(()) }
    }

    /// Counts elements of lists and maps that are made.
    pub(crate) fn elements(&mut self, count: usize) -> Result<(), EvalError> {
        self.work(count.saturating_mul(size_of::<Value<'_>>()))
    }

    /// The compiled form of a pattern.
    pub(crate) fn regex(&mut self, pattern: &str) -> Result<Regex, EvalError> {
        if let Some(known) = self.patterns.get(pattern) {
            return Ok(known.clone());
        }
        self.work(PATTERN_WORK)?;
        let made = sampan_schema::pattern::compile(pattern).map_err(EvalError::failed)?;
        if self.patterns.len() < PATTERNS_MAX {
            self.patterns.insert(pattern.to_owned(), made.clone());
        }
        Ok(made)
    }
}
