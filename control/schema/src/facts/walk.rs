//! The walk over an object along the compiled facts of its type.

use std::collections::HashSet;

use sampan_api::field::FieldErrors;
use serde_json::{Map, Value};

use super::check::{Seen, same, set_among};
use super::way::Way;
use super::{Found, Part};
use crate::default::{holds, is_unset};
use crate::gates::Gates;
use crate::plan::{Entry, FieldFacts, Only, Set, Subject, Warning, Whole};
use crate::schema::Schema;
use crate::table::{Field, Shape, Type, TypeId};
use crate::zero;
use sampan_api::limits::WARNINGS_MAX;

static NULL: Value = Value::Null;

/// What stood at the same place before.
#[derive(Clone, Copy)]
pub(super) enum Before<'a> {
    /// Nothing: the object is new, or elements of lists are in no pairs.
    None,
    /// An object, or nothing in an object that was there.
    Object(Option<&'a Map<String, Value>>),
}

impl<'a> Before<'a> {
    fn field(self, name: &str) -> Before<'a> {
        match self {
            Before::None => Before::None,
            Before::Object(object) => Before::Object(object.and_then(|object| object.get(name)?.as_object())),
        }
    }
}

/// The walk that checks.
pub(super) struct Walk<'a> {
    /// The schema of the types.
    pub schema: &'a Schema,
    /// What was found so far.
    pub found: &'a mut Found,
    /// Only changes are checked, by what a type on the way here says.
    pub changes_only: bool,
}

impl Walk<'_> {
    /// Checks an object along a set of facts of its type.
    pub fn object(
        &mut self,
        set: &Set,
        id: TypeId,
        object: &Map<String, Value>,
        before: Before<'_>,
        way: &Way<'_>,
        part: Part<'_>,
    ) {
        let update = matches!(before, Before::Object(_));
        let outer = self.changes_only;
        self.changes_only |= set.changes_only && update;
        let fields = &self.schema.get(id).fields;
        for entry in &set.entries {
            if self.found.errors.is_full() {
                break;
            }
            let asked = match entry.only {
                None => true,
                Some(Only::Create) => !update,
                Some(Only::Update) => update,
            };
            if !asked || !applies(entry, object) {
                continue;
            }
            match &entry.subject {
                Subject::OneOf { fields, none, several } if !self.changes_only && part == Part::Whole => {
                    let told = match set_among(fields, object) {
                        0 => none,
                        1 => &None,
                        _ => several,
                    };
                    if let Some(told) = told {
                        self.found.errors.push(told.error(&way.path(), Value::Object(object.clone())));
                    }
                }
                Subject::OneOf { .. } => {}
                Subject::Field(facts) => {
                    let field = &fields[facts.at];
                    if part.has(&field.json_name) {
                        self.field(facts, field, object, before, way);
                    }
                }
            }
        }
        self.changes_only = outer;
    }

    fn field(
        &mut self,
        facts: &FieldFacts,
        field: &Field,
        object: &Map<String, Value>,
        before: Before<'_>,
        way: &Way<'_>,
    ) {
        let name = &*field.json_name;
        let way = &Way::Field(way, facts.called.as_deref().unwrap_or(name));
        let value = object.get(name).unwrap_or(&NULL);
        let unset = is_unset(field, Some(value));
        let set = (!unset).then_some(value);
        let check = |fact: &Whole, errors: &mut FieldErrors| fact.check(set, way, errors);
        let goes_on = self.changes_only || facts.whole.iter().all(|fact| check(fact, &mut self.found.errors));
        match (&facts.warning, unset) {
            (Some(Warning::Set(text)), false) | (Some(Warning::Unset(text)), true) => self.warn(text, value, way),
            _ => {}
        }
        if goes_on && !(unset && facts.optional) && !(self.changes_only && facts.inner.is_none()) {
            self.values(facts, field, value, before, way);
        }
        if let (Before::Object(old), Some(told)) = (before, &facts.fixed)
            && !same(Some(value), old.and_then(|old| old.get(name)))
        {
            // Go shows its own value of what is not set.
            let plain = field.shape == Shape::One && !field.pointer && zero::is_plain(field.ty);
            let shown = if value.is_null() && plain { zero::element(self.schema, field.ty) } else { value.clone() };
            self.found.errors.push(told.error(&way.path(), shown));
        }
    }

    /// The checks of each value that a field holds.
    fn values(&mut self, facts: &FieldFacts, field: &Field, value: &Value, before: Before<'_>, way: &Way<'_>) {
        let mut seen = facts.unique.as_deref().filter(|_| !self.changes_only).map(Seen::by);
        match (field.shape, value) {
            (Shape::List, Value::Array(list)) => {
                for (at, one) in list.iter().enumerate() {
                    let here = Way::Index(way, at);
                    let told = if facts.told_at_field { way } else { &here };
                    if facts.skips_repeated
                        && let Some(seen) = &mut seen
                        && !seen.note(one, told, &mut self.found.errors)
                    {
                        continue;
                    }
                    self.one(facts, one, None, Before::None, (way, &here));
                    if let (false, Some(seen)) = (facts.skips_repeated, &mut seen) {
                        seen.note(one, told, &mut self.found.errors);
                    }
                    if self.found.errors.is_full() {
                        return;
                    }
                }
            }
            (Shape::Map, Value::Object(map)) => {
                let before = before.field(&field.json_name);
                for (key, one) in map {
                    self.one(facts, one, Some(key), before.field(key), (way, &Way::Key(way, key)));
                    if self.found.errors.is_full() {
                        return;
                    }
                }
            }
            (Shape::One, Value::Null) => {
                if let Some(zero) = zero(field) {
                    self.one(facts, &zero, None, Before::None, (way, way));
                }
            }
            (Shape::One, value) => self.one(facts, value, None, before.field(&field.json_name), (way, way)),
            _ => {}
        }
    }

    fn one(
        &mut self,
        facts: &FieldFacts,
        value: &Value,
        key: Option<&str>,
        before: Before<'_>,
        ways: (&Way<'_>, &Way<'_>),
    ) {
        let (field, here) = ways;
        let told = if facts.told_at_field { field } else { here };
        if !self.changes_only {
            let errors = &mut self.found.errors;
            facts.each.iter().for_each(|fact| fact.check(value, key, field, told, errors));
        }
        if let (Some((id, set)), Value::Object(object)) = (facts.inner, value) {
            let schema = self.schema;
            self.object(&schema.plan(id).facts[set], id, object, before, here, Part::Whole);
        }
    }

    fn warn(&mut self, text: &str, value: &Value, way: &Way<'_>) {
        if self.found.warnings.len() < WARNINGS_MAX {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.found.warnings.push(text.replace("{path}", way.path().as_str()).replace("{value}", &shown));
        }
    }
}

/// The zero that Go holds where a scalar is not given: it is checked as if it were.
fn zero(field: &Field) -> Option<Value> {
    match field.ty {
        _ if field.pointer => None,
        Type::String => Some(Value::from("")),
        Type::Int32 | Type::Int64 => Some(Value::from(0)),
        _ => None,
    }
}

fn applies(entry: &Entry, object: &Map<String, Value>) -> bool {
    entry.conditions.iter().all(|condition| holds(condition, object))
        && !entry.exceptions.iter().any(|condition| holds(condition, object))
}

/// The walk that drops fields of features that are off.
pub(super) struct Gated<'a> {
    /// The schema of the types.
    pub schema: &'a Schema,
    /// Which features are on.
    pub gates: &'a Gates,
    /// The old object, and its type.
    pub old: Option<(TypeId, &'a Map<String, Value>)>,
    /// The gates whose fields the old object has; found when the first is asked about.
    pub used: Option<HashSet<usize>>,
}

impl Gated<'_> {
    /// Drops them from an object of the type.
    pub fn object(&mut self, id: TypeId, object: &mut Map<String, Value>) {
        let plan = self.schema.plan(id);
        let fields = &self.schema.get(id).fields;
        for (at, gate) in &plan.gated {
            let name = &*fields[*at].json_name;
            if !self.gates.is_on(*gate) && object.contains_key(name) && !self.is_used(*gate) {
                object.remove(name);
            }
        }
        for (at, inner) in &plan.gated_within {
            match object.get_mut(&*fields[*at].json_name) {
                Some(Value::Object(map)) if fields[*at].shape == Shape::Map => {
                    map.values_mut().filter_map(Value::as_object_mut).for_each(|one| self.object(*inner, one));
                }
                Some(Value::Object(one)) => {
                    let was = one.len();
                    self.object(*inner, one);
                    // A struct behind a pointer goes with the last of its fields.
                    if was > 0 && one.is_empty() && !fields[*at].by_value {
                        object.remove(&*fields[*at].json_name);
                    }
                }
                Some(Value::Array(list)) => {
                    list.iter_mut().filter_map(Value::as_object_mut).for_each(|one| self.object(*inner, one));
                }
                _ => {}
            }
        }
    }

    fn is_used(&mut self, gate: usize) -> bool {
        let Some((id, old)) = self.old else { return false };
        let schema = self.schema;
        self.used
            .get_or_insert_with(|| {
                let mut used = HashSet::new();
                collect(schema, id, old, &mut used);
                used
            })
            .contains(&gate)
    }
}

fn collect(schema: &Schema, id: TypeId, object: &Map<String, Value>, used: &mut HashSet<usize>) {
    let plan = schema.plan(id);
    let fields = &schema.get(id).fields;
    for (at, gate) in &plan.gated {
        if !is_unset(&fields[*at], object.get(&*fields[*at].json_name)) {
            used.insert(*gate);
        }
    }
    for (at, inner) in &plan.gated_within {
        match object.get(&*fields[*at].json_name) {
            Some(Value::Object(map)) if fields[*at].shape == Shape::Map => {
                map.values().filter_map(Value::as_object).for_each(|one| collect(schema, *inner, one, used));
            }
            Some(Value::Object(one)) => collect(schema, *inner, one, used),
            Some(Value::Array(list)) => {
                list.iter().filter_map(Value::as_object).for_each(|one| collect(schema, *inner, one, used));
            }
            _ => {}
        }
    }
}
