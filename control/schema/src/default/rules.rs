//! The rules as the data files write them.
//!
//! ```yaml
//! apps/v1.Deployment:              # a type: package (`api/` may be left out) and name
//!   - set: {spec.replicas: 1}      # what is unset is set; parents are not made
//!   - if: {spec.strategy.type: RollingUpdate}   # all must hold: a value, one of a list, null (unset), "*" (set)
//!     set: {spec.strategy.rollingUpdate: {}}
//!   - call: image-pull-policy      # a function of `functions.rs`
//!   - remove: [spec.x]
//! ```
//!
//! The data is ours and compiled in: what is wrong in it stops the first use, with its name.

use serde_json::{Map, Value};

use super::functions;
use crate::plan::{Action, Condition, Rule, Target};
use crate::schema::Schema;
use crate::table::{Type, TypeId};
use crate::yaml;

static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/defaults.rs"));

pub(super) fn load(schema: &Schema) -> Vec<(TypeId, Vec<Rule>)> {
    let mut all = Vec::new();
    for (file, text) in FILES {
        let (value, problems) = yaml::to_json(text.as_bytes()).unwrap_or_else(|e| panic!("defaults {file}: {e}"));
        assert!(problems.is_empty(), "defaults {file}: {problems:?}");
        for (name, rules) in value.as_object().unwrap_or_else(|| panic!("defaults {file}: not a map")) {
            let id = type_named(schema, name).unwrap_or_else(|| panic!("defaults {file}: no type {name}"));
            let rules = rules.as_array().unwrap_or_else(|| panic!("defaults {file}: {name} is a list"));
            let rules = rules.iter().flat_map(|rule| {
                read(schema, id, rule).unwrap_or_else(|error| panic!("defaults {file}: {name}: {error}"))
            });
            all.push((id, rules.collect()));
        }
    }
    all
}

fn type_named(schema: &Schema, name: &str) -> Option<TypeId> {
    let (package, name) = name.rsplit_once('.')?;
    let long = format!("api/{package}");
    schema.types().find(|(_, ty)| ty.name == name && (ty.package == package || ty.package == long)).map(|(id, _)| id)
}

/// One entry of a type's list. Each thing that it sets is a rule of its own, in the order of the keys, so that a
/// parent comes before its fields.
fn read(schema: &Schema, id: TypeId, rule: &Value) -> Result<Vec<Rule>, String> {
    let empty = Map::new();
    let rule = rule.as_object().ok_or("a rule is a map")?;
    let conditions = || {
        let all = rule.get("if").and_then(Value::as_object).unwrap_or(&empty);
        all.iter().map(|(path, wanted)| condition(path, wanted)).collect::<Vec<_>>()
    };
    let mut actions = Vec::new();
    for (key, value) in rule {
        match (key.as_str(), value) {
            ("if", Value::Object(_)) => {}
            ("set", Value::Object(map)) => {
                for (path, value) in map {
                    actions.push(Action::Set(target(schema, id, path)?, value.clone()));
                }
            }
            ("call", Value::String(name)) => {
                actions.push(Action::Call(functions::named(name).ok_or(format!("no function {name}"))?));
            }
            ("remove", Value::Array(paths)) => {
                let paths = paths.iter().filter_map(Value::as_str);
                actions.extend(paths.map(|path| Action::Remove(split(path))));
            }
            _ => return Err(format!("{key} is not understood")),
        }
    }
    Ok(actions.into_iter().map(|action| Rule { conditions: conditions(), action }).collect())
}

/// A condition as the data writes it.
pub(crate) fn condition(path: &str, wanted: &Value) -> Condition {
    let wanted = match wanted {
        Value::Null => None,
        Value::String(any) if any == "*" => Some(Vec::new()),
        Value::Array(list) => Some(list.clone()),
        one => Some(vec![one.clone()]),
    };
    Condition { path: split(path), wanted }
}

fn split(path: &str) -> Vec<String> {
    path.split('.').map(String::from).collect()
}

fn target(schema: &Schema, id: TypeId, path: &str) -> Result<Target, String> {
    let path = split(path);
    let mut owner = id;
    for (at, name) in path.iter().enumerate() {
        let field = schema.field(owner, name).ok_or(format!("no field {name}"))?;
        match field.ty {
            _ if at + 1 == path.len() => {}
            Type::Struct(inner) => owner = inner,
            _ => return Err(format!("{name} has no fields")),
        }
    }
    Ok(Target { path, owner })
}
