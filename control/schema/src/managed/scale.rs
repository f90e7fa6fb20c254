//! The owners of an object's replicas, between the object and its scale.

use serde_json::{Map, Value};

use super::entries::{
    Operation, entry, fields_of, identity, last_of_each, set_entries, text, with_fields, without_empty,
};
use crate::fields::FieldSet;

const SCALE_VERSION: &str = "autoscaling/v1";
const SCALE_REPLICAS: [&str; 2] = ["f:spec", "f:replicas"];

/// The place of the replicas in an object.
#[derive(Clone, Copy, Debug)]
pub struct Replicas<'a> {
    /// The object's version; entries in others are left out.
    pub api_version: &'a str,
    /// The names of the fields that lead to them: `["spec", "replicas"]`.
    pub path: &'a [&'a str],
}

impl Replicas<'_> {
    fn elements(&self) -> Vec<String> {
        self.path.iter().map(|name| format!("f:{name}")).collect()
    }

    fn are_of(&self, entry: &Value, elements: &[String]) -> bool {
        text(entry, "apiVersion") == self.api_version && fields_of(entry).has(elements.iter().map(String::as_str))
    }
}

/// The entries of an object that own its replicas, as entries of its scale.
pub fn to_scale(list: &[Value], replicas: &Replicas<'_>) -> Vec<Value> {
    let elements = replicas.elements();
    let list = last_of_each(list.to_vec());
    let own = list.iter().filter(|entry| replicas.are_of(entry, &elements));
    own.map(|one| {
        let time = Some(text(one, "time")).filter(|time| !time.is_empty());
        of(one, SCALE_VERSION, time, FieldSet::of_path(SCALE_REPLICAS))
    })
    .collect()
}

/// Sets the entries of an object after a write to its scale left these there: who has none there loses the replicas, and
/// who came to own them is noted, without a time, as the real server has it. It tells updaters apart by the version too, in
/// which a scale's entry never is the object's own: an updater's replicas always go to an entry of their own.
pub fn set_from_scale(object: &mut Map<String, Value>, scale: &[Value], replicas: &Replicas<'_>) {
    let list = match object.get_mut("metadata").and_then(Value::as_object_mut).map(|m| m.remove("managedFields")) {
        Some(Some(Value::Array(list))) => last_of_each(list),
        _ => Vec::new(),
    };
    let elements = replicas.elements();
    let path = FieldSet::of_path(elements.iter().map(String::as_str));
    // Whoever has an entry there keeps its own here, also where it owns the replicas no more: so does the real server.
    let mut owners: Vec<(&Value, [&str; 4])> = scale.iter().map(|entry| (entry, identity(entry))).collect();
    let mut out = Vec::with_capacity(list.len() + owners.len());
    for mut entry in list.into_iter().filter(|entry| text(entry, "apiVersion") == replicas.api_version) {
        if replicas.are_of(&entry, &elements) {
            let known = owners.iter().position(|(_, owner)| *owner == identity(&entry));
            match known {
                Some(at) => drop(owners.remove(at)),
                None => with_fields(&mut entry, |fields| fields.subtract(&path)),
            }
        }
        out.push(entry);
    }
    let owners = owners.into_iter().filter(|(owner, _)| fields_of(owner).has(SCALE_REPLICAS));
    out.extend(owners.map(|(owner, _)| of(owner, replicas.api_version, None, path.clone())));
    without_empty(&mut out);
    set_entries(object, out);
}

/// An entry of the same manager.
fn of(one: &Value, api_version: &str, time: Option<&str>, fields: FieldSet) -> Value {
    let operation = if text(one, "operation") == "Apply" { Operation::Apply } else { Operation::Update };
    entry(operation, api_version, text(one, "manager"), text(one, "subresource"), time, fields)
}
