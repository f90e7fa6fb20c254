//! The work to do on a type's values, in a form that is quick to walk: defaults ([`crate::default`] makes and walks them) and
//! checks ([`crate::facts`]), and fields of features.

mod fact;

use serde_json::{Map, Value};

pub(crate) use fact::{Each, Entry, FieldFacts, Format, Only, Otherwise, Set, Subject, Told, Warning, Whole};

use crate::table::TypeId;

/// The work to do on the values of one type.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub rules: Vec<Rule>,
    /// Fields with a declared default: their index, and it.
    pub declared: Vec<(usize, Value)>,
    /// Lists and maps whose elements have a default where they are null: their index, and it.
    pub elements: Vec<(usize, Value)>,
    /// Fields that hold types with something to do.
    pub descend: Vec<(usize, TypeId)>,
    /// Resource lists, whose quantities are rounded up to thousandths.
    pub rounded: Vec<usize>,
    /// Sets of facts that are checked; at most one has no name.
    pub facts: Vec<Set>,
    /// Fields of a feature: their index, and that of the gate.
    pub gated: Vec<(usize, usize)>,
    /// Fields that hold types with fields of a feature.
    pub gated_within: Vec<(usize, TypeId)>,
}

impl Plan {
    /// Whether defaulting has nothing to do.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
            && self.declared.is_empty()
            && self.elements.is_empty()
            && self.descend.is_empty()
            && self.rounded.is_empty()
    }
}

#[derive(Debug)]
pub(crate) struct Rule {
    /// All must hold.
    pub conditions: Vec<Condition>,
    pub action: Action,
}

#[derive(Debug)]
pub(crate) struct Condition {
    pub path: Vec<String>,
    /// `None`: unset. Empty: set to anything.
    pub wanted: Option<Vec<Value>>,
}

/// A default that is computed: see `default/functions.rs`.
pub(crate) type Function = fn(&mut Map<String, Value>);

#[derive(Debug)]
pub(crate) enum Action {
    Call(Function),
    Set(Target, Value),
    Remove(Vec<String>),
}

#[derive(Debug)]
pub(crate) struct Target {
    pub path: Vec<String>,
    /// The struct that has the path's last field.
    pub owner: TypeId,
}
