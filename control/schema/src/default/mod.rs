//! Kubernetes' defaulting, out of data: `data/defaults/**.yaml` has rules by type, `+default` markers of the sources
//! add theirs, and [`functions`] holds the few that data cannot say.
//!
//! A type's rules run before those of what it holds, as the generated defaulters of Kubernetes do. "Unset" is Go's: a
//! pointer that is nil, a value that is zero.

mod functions;
mod rules;

use std::sync::OnceLock;

use serde_json::{Map, Value};

use crate::table::{Field, Schema, Shape, Type, TypeId};
use crate::zero;
use rules::{Action, Condition, Rule, Target};

/// Sets what is unset in a value of the type. Applying it twice changes nothing more.
pub fn apply(schema: &Schema, id: TypeId, value: &mut Value) {
    static PLANS: OnceLock<Vec<Plan>> = OnceLock::new();
    // Types added at run time carry defaults of their own; the rules are about the built-in ones.
    let plans = PLANS.get_or_init(|| compile(Schema::builtin()));
    if let Value::Object(map) = value
        && (id.0 as usize) < plans.len()
    {
        Walk { schema, plans }.object(id, map);
    }
}

/// What is to be done to one type.
#[derive(Default)]
struct Plan {
    rules: Vec<Rule>,
    /// Fields with a declared default: their index, and it.
    declared: Vec<(usize, Value)>,
    /// Fields that hold types with something to do.
    descend: Vec<(usize, TypeId)>,
    /// Resource lists, whose quantities are rounded up to thousandths.
    rounded: Vec<usize>,
}

impl Plan {
    fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.declared.is_empty() && self.descend.is_empty() && self.rounded.is_empty()
    }
}

struct Walk<'a> {
    schema: &'a Schema,
    plans: &'a [Plan],
}

impl Walk<'_> {
    fn object(&self, id: TypeId, map: &mut Map<String, Value>) {
        let plan = &self.plans[id.0 as usize];
        let ty = self.schema.get(id);
        for rule in &plan.rules {
            if !rule.conditions.iter().all(|condition| holds(condition, map)) {
                continue;
            }
            match &rule.action {
                Action::Call(function) => function(map),
                Action::Set(target, value) => set(self.schema, target, value, map),
                Action::Remove(path) => drop(parent(path, map).and_then(|(map, name)| map.remove(name))),
            }
        }
        for (at, value) in &plan.declared {
            let field = &ty.fields[*at];
            if is_unset(field, map.get(&*field.json_name)) && !zero::omits(field, value) {
                map.insert(field.json_name.to_string(), value.clone());
            }
        }
        for at in &plan.rounded {
            if let Some(Value::Object(list)) = map.get_mut(&*ty.fields[*at].json_name) {
                list.values_mut().for_each(functions::round);
            }
        }
        for (at, inner) in &plan.descend {
            let field = &ty.fields[*at];
            match (map.get_mut(&*field.json_name), field.shape) {
                (Some(Value::Object(map)), Shape::One) => self.object(*inner, map),
                (Some(Value::Array(list)), Shape::List) => list.iter_mut().for_each(|one| self.value(*inner, one)),
                (Some(Value::Object(map)), Shape::Map) => map.values_mut().for_each(|one| self.value(*inner, one)),
                _ => {}
            }
        }
    }

    fn value(&self, id: TypeId, value: &mut Value) {
        if let Value::Object(map) = value {
            self.object(id, map);
        }
    }
}

fn is_unset(field: &Field, value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
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

fn holds(condition: &Condition, map: &Map<String, Value>) -> bool {
    let found = get(map, &condition.path);
    match &condition.wanted {
        None => found.is_none_or(|v| v.as_str() == Some("")),
        Some(any) if any.is_empty() => found.is_some_and(|v| !matches!(v, Value::Array(list) if list.is_empty())),
        Some(any) => found.is_some_and(|v| any.contains(v)),
    }
}

fn set(schema: &Schema, target: &Target, value: &Value, map: &mut Map<String, Value>) {
    let Some((map, name)) = parent(&target.path, map) else { return };
    let field = schema.get(target.owner).field(name);
    if field.is_some_and(|f| is_unset(f, map.get(name))) {
        map.insert(name.clone(), value.clone());
    }
}

/// Binds the rules to types, and finds which types lead to one that has any.
fn compile(schema: &Schema) -> Vec<Plan> {
    let mut plans: Vec<Plan> = schema.types().map(|_| Plan::default()).collect();
    for (id, rules) in rules::load(schema) {
        plans[id.0 as usize].rules = rules;
    }
    for (id, ty) in schema.types() {
        let plan = &mut plans[id.0 as usize];
        for (at, field) in ty.fields.iter().enumerate() {
            if !field.default.is_empty() {
                let value = serde_json::from_str(&field.default);
                plan.declared.push((at, value.unwrap_or_else(|e| panic!("{}.{}: {e}", ty.name, field.json_name))));
            }
            if field.go_type == "v1.ResourceList" {
                plan.rounded.push(at);
            }
        }
    }
    // Until nothing changes: a type leads somewhere when a field of it does.
    loop {
        let mut changed = false;
        for (id, ty) in schema.types() {
            for (at, field) in ty.fields.iter().enumerate() {
                let Type::Struct(inner) = field.ty else { continue };
                let known = plans[id.0 as usize].descend.iter().any(|(known, _)| *known == at);
                if !known && !plans[inner.0 as usize].is_empty() {
                    plans[id.0 as usize].descend.push((at, inner));
                    changed = true;
                }
            }
        }
        if !changed {
            return plans;
        }
    }
}
