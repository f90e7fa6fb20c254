//! Checks of plain facts of fields (the values that an enum lists), which are columns of the schema, walked once for all
//! kinds. Rules that tie fields together are in each kind's own validation.

use sampan_api::field::{FieldError, FieldErrors, Path};
use serde_json::{Map, Value};

use crate::plan::Plan;
use crate::schema::Schema;
use crate::table::{Field, Shape, TypeId};

/// The errors of an object of the type, in the order of its fields. Fields that are unset have none.
pub fn validate(schema: &Schema, id: TypeId, object: &Map<String, Value>) -> FieldErrors {
    let mut errors = FieldErrors::new();
    walk(schema, id, object, &Path::root(), &mut errors);
    errors
}

/// Finds the fields that have facts, and which types lead to one that has any.
pub(crate) fn compile(schema: &Schema, plans: &mut [Plan]) {
    for ((_, ty), plan) in schema.added().zip(plans.iter_mut()) {
        let has_facts = |(_, field): &(usize, &Field)| !field.allowed.is_empty();
        plan.checked = ty.fields.iter().enumerate().filter(has_facts).map(|(at, _)| at).collect();
    }
    let first = schema.added().next().map_or(0, |(first, _)| first.0 as usize);
    let has = |id: TypeId| match (id.0 as usize).checked_sub(first) {
        Some(at) => !plans[at].checked.is_empty(),
        None => !schema.plan(id).checked.is_empty() || !schema.plan(id).look.is_empty(),
    };
    for (plan, look) in schema.leading_to(has).into_iter().enumerate() {
        plans[plan].look = look;
    }
}

/// The values that a field holds, each with its path.
fn values<'v>(field: &Field, value: &'v Value, path: &Path) -> Vec<(Path, &'v Value)> {
    match (field.shape, value) {
        (Shape::List, Value::Array(list)) => list.iter().enumerate().map(|(at, one)| (path.index(at), one)).collect(),
        (Shape::Map, Value::Object(map)) => map.iter().map(|(key, one)| (path.key(key), one)).collect(),
        (Shape::One, value) => vec![(path.clone(), value)],
        _ => Vec::new(),
    }
}

fn walk(schema: &Schema, id: TypeId, object: &Map<String, Value>, path: &Path, errors: &mut FieldErrors) {
    let plan = schema.plan(id);
    let fields = &schema.get(id).fields;
    let set = |at: &usize| {
        let field = &fields[*at];
        object.get(&*field.json_name).filter(|value| !value.is_null()).map(|value| (field, value))
    };
    for (field, value) in plan.checked.iter().filter_map(set) {
        for (path, value) in values(field, value, &path.child(&field.json_name)) {
            if !field.allowed.contains(value) {
                let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let supported: Vec<String> = field.allowed.iter().map(text).collect();
                errors.push(FieldError::not_supported(&path, value, &supported));
            }
        }
    }
    for (at, inner) in &plan.look {
        let Some((field, value)) = set(at) else { continue };
        for (path, value) in values(field, value, &path.child(&field.json_name)) {
            if let Value::Object(object) = value {
                walk(schema, *inner, object, &path, errors);
            }
        }
    }
}
