//! What an expression runs over.

use crate::compiled::Compiled;
use crate::error::{EvalError, Question};
use crate::value::Value;
use sampan_api::user::Decision;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// Answers of the authorizer that are known so far.
#[derive(Debug, Default)]
pub struct Decisions(Vec<(Question, Decision)>);

impl Decisions {
    /// Keeps an answer.
    pub fn add(&mut self, question: Question, decision: Decision) {
        self.0.push((question, decision));
    }
}

/// Expressions that are only evaluated when they are asked for, by the names of the variables that they are.
#[derive(Debug, Default)]
struct Lazy<'a> {
    programs: Vec<(&'a str, &'a Compiled)>,
    found: RefCell<HashMap<&'a str, Result<Value<'a>, EvalError>>>,
    cost: Cell<u64>,
}

/// What a program runs over.
#[derive(Debug, Default)]
pub struct Inputs<'a> {
    values: Vec<(&'a str, Value<'a>)>,
    lazy: Lazy<'a>,
    decisions: Option<&'a Decisions>,
}

impl<'a> Inputs<'a> {
    /// These values by their names.
    pub fn new(values: impl IntoIterator<Item = (&'a str, Value<'a>)>) -> Self {
        Self { values: values.into_iter().collect(), lazy: Lazy::default(), decisions: None }
    }

    /// Also variables that are expressions themselves, each evaluated at most once.
    #[must_use]
    pub fn with_lazy(mut self, programs: Vec<(&'a str, &'a Compiled)>) -> Self {
        self.lazy = Lazy { programs, ..Lazy::default() };
        self
    }

    /// Without the values of these names: who names one of them anyway is told that there is none.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Self {
        self.values.retain(|(name, _)| !names.contains(name));
        self
    }

    /// Also the answers of the authorizer.
    #[must_use]
    pub fn with_decisions(mut self, decisions: &'a Decisions) -> Self {
        self.decisions = Some(decisions);
        self
    }

    /// The cost of expressions that were asked for by others since this was last called.
    pub fn take_lazy_cost(&self) -> u64 {
        self.lazy.cost.take()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.iter().any(|(known, _)| *known == name) || self.lazy_program(name).is_some()
    }

    pub(crate) fn get(&self, name: &str) -> Option<Value<'a>> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    /// The expression that gives a name its value when it is asked for.
    pub(crate) fn lazy_program(&self, name: &str) -> Option<(&'a str, &'a Compiled)> {
        self.lazy.programs.iter().find(|(known, _)| *known == name).copied()
    }

    pub(crate) fn lazy_value(&self, name: &str) -> Option<Result<Value<'a>, EvalError>> {
        self.lazy.found.borrow().get(name).cloned()
    }

    pub(crate) fn keep_lazy(&self, name: &'a str, value: Result<Value<'a>, EvalError>, cost: u64) {
        self.lazy.cost.set(self.lazy.cost.get().saturating_add(cost));
        self.lazy.found.borrow_mut().insert(name, value);
    }

    pub(crate) fn decision(&self, question: &Question) -> Option<&Decision> {
        let known = self.decisions.into_iter().flat_map(|all| &all.0).find(|(asked, _)| asked == question);
        known.map(|(_, decision)| decision)
    }
}
