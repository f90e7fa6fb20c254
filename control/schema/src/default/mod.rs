//! Kubernetes' defaulting, out of data: `data/defaults/**.yaml` has rules by type, `+default` markers of the sources
//! add theirs, and [`functions`] holds the few that data cannot say.
//!
//! A type's rules run before those of what it holds, as the generated defaulters of Kubernetes do. "Unset" is Go's: a
//! pointer that is nil, a value that is zero.

mod functions;
mod rules;

pub use functions::aggregate;

pub(crate) use rules::condition;

use std::cell::Cell;

use serde_json::{Map, Value};

use crate::limits::DEFAULTS_BYTES_MAX;
use crate::plan::{Action, Condition, Plan, Rule, Target};
use crate::schema::Schema;
use crate::table::{Field, Shape, TypeId};
use crate::zero;

/// The defaults alone would make the object longer than one may be: [`DEFAULTS_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the defaults of the object are longer than {DEFAULTS_BYTES_MAX} bytes")]
pub struct TooLong;

/// Sets what is unset in an object of the type, by the rules of the schema that is given: each has its own. Applying it
/// twice changes nothing more.
///
/// # Errors
/// `TooLong` when a short object with many elements would grow without measure; then it is defaulted in part.
pub fn apply(schema: &Schema, id: TypeId, object: &mut Map<String, Value>) -> Result<(), TooLong> {
    let walk = Walk { schema, left: Cell::new(Some(DEFAULTS_BYTES_MAX)) };
    walk.object(id, object);
    walk.left.get().map(drop).ok_or(TooLong)
}

/// Sets what follows from other parts of an object of the type, by the type's own rules: nothing that it holds is walked through.
pub fn apply_own(schema: &Schema, id: TypeId, object: &mut Map<String, Value>) {
    // A rule is applied once: what is added needs no bound.
    Walk { schema, left: Cell::new(Some(usize::MAX)) }.rules(schema.plan(id), object);
}

/// The rules of the data files, each for a type of the built-in schema.
pub(crate) fn rules(schema: &Schema) -> Vec<(TypeId, Vec<Rule>)> {
    rules::load(schema)
}

struct Walk<'a> {
    schema: &'a Schema,
    /// Bytes that may still be added; `None`: there were too many.
    left: Cell<Option<usize>>,
}

/// About the bytes of a field that a function adds.
const ADDED_BY_FUNCTION: usize = 32;

/// About the bytes of a value that is added under that name.
fn bytes(name: &str, value: &Value) -> usize {
    let inner = match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(|value| bytes("", value)).sum(),
        Value::Object(map) => map.iter().map(|(name, value)| bytes(name, value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    };
    name.len() + inner + 1
}

impl Walk<'_> {
    fn charge(&self, bytes: usize) {
        self.left.set(self.left.get().and_then(|left| left.checked_sub(bytes)));
    }

    fn object(&self, id: TypeId, map: &mut Map<String, Value>) {
        if self.left.get().is_none() {
            return;
        }
        let plan = self.schema.plan(id);
        let ty = self.schema.get(id);
        self.rules(plan, map);
        for (at, value) in &plan.declared {
            let field = &ty.fields[*at];
            if is_unset(field, map.get(&*field.json_name)) && !zero::omits(field, value) {
                self.charge(bytes(&field.json_name, value));
                map.insert(field.json_name.to_string(), value.clone());
            }
        }
        for at in &plan.rounded {
            if let Some(Value::Object(list)) = map.get_mut(&*ty.fields[*at].json_name) {
                list.values_mut().for_each(functions::round);
            }
        }
        for (at, default) in &plan.elements {
            let field = &ty.fields[*at];
            if let Some(whole) = map.get_mut(&*field.json_name) {
                self.elements(field, default, whole);
            }
        }
        for (at, inner) in &plan.descend {
            let field = &ty.fields[*at];
            if let Some(value) = map.get_mut(&*field.json_name) {
                self.whole(field, *inner, value);
            }
        }
    }

    fn rules(&self, plan: &Plan, map: &mut Map<String, Value>) {
        for rule in &plan.rules {
            if !rule.conditions.iter().all(|condition| holds(condition, map)) {
                continue;
            }
            match &rule.action {
                Action::Call(function) => {
                    let before = map.len();
                    function(map);
                    self.charge(map.len().saturating_sub(before) * ADDED_BY_FUNCTION);
                }
                Action::Set(target, value) => self.charge(set(self.schema, target, value, map)),
                Action::Remove(path) => drop(parent(path, map).and_then(|(map, name)| map.remove(name))),
            }
        }
    }

    /// Puts the default into elements that are null and may not be.
    fn elements(&self, field: &Field, default: &Value, whole: &mut Value) {
        let mut put = |one: &mut Value| {
            if one.is_null() {
                self.charge(bytes("", default));
                *one = default.clone();
            }
        };
        match (whole, field.shape) {
            (Value::Array(list), Shape::List) => list.iter_mut().for_each(&mut put),
            (Value::Object(map), Shape::Map) => map.values_mut().for_each(&mut put),
            _ => {}
        }
    }

    /// The values in a field's value.
    fn whole(&self, field: &Field, inner: TypeId, value: &mut Value) {
        match (value, field.shape) {
            (value, Shape::One) => self.value(inner, value),
            (Value::Array(list), Shape::List) => list.iter_mut().for_each(|one| self.value(inner, one)),
            (Value::Object(map), Shape::Map) => map.values_mut().for_each(|one| self.value(inner, one)),
            _ => {}
        }
    }

    fn value(&self, id: TypeId, value: &mut Value) {
        let Some(field) = self.schema.get(id).nested() else {
            if let Value::Object(map) = value {
                self.object(id, map);
            }
            return;
        };
        if self.left.get().is_none() {
            return;
        }
        for (_, default) in &self.schema.plan(id).elements {
            self.elements(field, default, value);
        }
        for (_, inner) in &self.schema.plan(id).descend {
            self.whole(field, *inner, value);
        }
    }
}

/// Whether a field is unset as Go sees it.
pub(crate) fn is_unset(field: &Field, value: Option<&Value>) -> bool {
    match value {
        None => true,
        // Where a structural schema lets null be a value, it is one.
        Some(Value::Null) => !field.facts.as_deref().is_some_and(|facts| facts.nullable),
        Some(_) if field.keep_empty => false,
        Some(value) => {
            let plain = !field.pointer && zero::is_plain(field.ty);
            (plain || field.shape != Shape::One) && zero::is_empty(value)
        }
    }
}

fn get<'m>(map: &'m Map<String, Value>, path: &[String]) -> Option<&'m Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(map.get(first)?, |value, name| value.get(name)).filter(|v| !v.is_null())
}

fn parent<'m, 'p>(
    path: &'p [String],
    map: &'m mut Map<String, Value>,
) -> Option<(&'m mut Map<String, Value>, &'p String)> {
    let (last, way) = path.split_last()?;
    let mut map = map;
    for name in way {
        map = map.get_mut(name)?.as_object_mut()?;
    }
    Some((map, last))
}

/// Whether a condition holds in an object.
pub(crate) fn holds(condition: &Condition, map: &Map<String, Value>) -> bool {
    let found = get(map, &condition.path);
    match &condition.wanted {
        None => found.is_none_or(|v| v.as_str() == Some("")),
        Some(any) if any.is_empty() => found.is_some_and(|v| !matches!(v, Value::Array(list) if list.is_empty())),
        Some(any) => found.is_some_and(|v| any.contains(v)),
    }
}

/// Gives back how many bytes it has added.
fn set(schema: &Schema, target: &Target, value: &Value, map: &mut Map<String, Value>) -> usize {
    let Some((map, name)) = parent(&target.path, map) else { return 0 };
    let field = schema.get(target.owner).field(name);
    if !field.is_some_and(|f| is_unset(f, map.get(name))) {
        return 0;
    }
    map.insert(name.clone(), value.clone());
    bytes(name, value)
}

/// Binds rules to the types that a schema adds, and finds which of these lead to one that has any. Types of the schema
/// that it extends are compiled already, and lead to none of the new.
pub(crate) fn compile(schema: &Schema, rules: Vec<(TypeId, Vec<Rule>)>) -> Result<Vec<Plan>, String> {
    let Some((first, _)) = schema.added().next() else { return Ok(Vec::new()) };
    let at = |id: TypeId| (id.0 as usize).checked_sub(first.0 as usize);
    let mut plans: Vec<Plan> = schema.added().map(|_| Plan::default()).collect();
    for (id, rules) in rules {
        if let Some(plan) = at(id).and_then(|at| plans.get_mut(at)) {
            plan.rules = rules;
        }
    }
    for ((_, ty), plan) in schema.added().zip(&mut plans) {
        for (at, field) in ty.fields.iter().enumerate() {
            let read = |default: &str| {
                let value = serde_json::from_str(default);
                value.map_err(|error| format!("the default of {}.{}: {error}", ty.name, field.json_name))
            };
            // Of a list or map within another, the one around it has the default.
            if !field.default.is_empty() && !field.json_name.is_empty() {
                plan.declared.push((at, read(&field.default)?));
            }
            if let Some(element) = field.element.as_deref()
                && !element.default.is_empty()
                && !element.facts.nullable
            {
                plan.elements.push((at, read(&element.default)?));
            }
            if field.go_type == "v1.ResourceList" {
                plan.rounded.push(at);
            }
        }
    }
    let does = |id: TypeId| match at(id) {
        Some(at) => !plans[at].is_empty(),
        None => !schema.plan(id).is_empty(),
    };
    for (plan, descend) in schema.leading_to(does).into_iter().enumerate() {
        plans[plan].descend = descend;
    }
    Ok(plans)
}
