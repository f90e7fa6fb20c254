//! What an evaluation has spent: cost units, bytes, patterns.

use crate::error::EvalError;
use crate::limits::{PATTERN_BYTES_FREE, PATTERN_BYTES_PER_COST, PATTERNS_KEPT_BYTES_MAX, WORK_BYTES_MAX};
use crate::value::Value;
use regex::Regex;
use sampan_schema::limits::PATTERN_STATES_BYTES_MAX;
use sampan_schema::pattern::Budget;
use std::collections::HashMap;

/// What an evaluation has cost.
pub(crate) struct Meter {
    pub(crate) cost: u64,
    limit: u64,
    work: usize,
    patterns: HashMap<String, Regex>,
    /// Bytes that these may take.
    kept: usize,
    /// What may still be made of patterns.
    budget: Budget,
    /// Bytes of the programs that were made of patterns.
    programs: usize,
}

impl Meter {
    /// Nothing was spent yet; `limit` in cost units.
    pub(crate) fn new(limit: u64) -> Self {
        Self { cost: 0, limit, work: 0, patterns: HashMap::new(), kept: 0, budget: Budget::default(), programs: 0 }
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

    /// The compiled form of a pattern. Kubernetes' costs do not count the making of it: what exceeds what an expression needs is
    /// billed besides.
    ///
    /// # Errors
    /// `CostExceeded` when the patterns of this evaluation come to more than a [`Budget`]; `Failed` when it is no pattern.
    pub(crate) fn regex(&mut self, pattern: &str) -> Result<Regex, EvalError> {
        if let Some(known) = self.patterns.get(pattern) {
            return Ok(known.clone());
        }
        self.work(pattern.len())?;
        let left = self.budget.left();
        let made = self.budget.compile(pattern);
        let program = left - self.budget.left();
        self.bill(program)?;
        if self.budget.left() == 0 {
            return Err(EvalError::CostExceeded);
        }
        let made = made.map_err(EvalError::failed)?;
        let kept = self.kept.saturating_add(pattern.len() + program + PATTERN_STATES_BYTES_MAX);
        if kept <= PATTERNS_KEPT_BYTES_MAX {
            self.kept = kept;
            self.patterns.insert(pattern.to_owned(), made.clone());
        }
        Ok(made)
    }

    /// Bills the bytes of a program.
    fn bill(&mut self, bytes: usize) -> Result<(), EvalError> {
        let before = self.programs.max(PATTERN_BYTES_FREE);
        self.programs = self.programs.saturating_add(bytes);
        let beyond = self.programs.max(PATTERN_BYTES_FREE) - before;
        self.charge((beyond / PATTERN_BYTES_PER_COST) as u64)
    }
}
