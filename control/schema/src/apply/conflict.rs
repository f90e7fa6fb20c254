//! Conflicts: fields that an applier sets and others own with other values, in the words and order of the real server.

use std::cmp::Ordering;

use sampan_api::field::go_quote;
use serde_json::{Map, Value};

use crate::fields::{FieldSet, View};
use crate::go_print;
use crate::managed::entries::{identity, text};

/// A field, and who owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What tells the manager apart from others.
    identity: [String; 4],
    /// The manager as it is told: `"kubectl" with subresource "scale" using apps/v1`.
    pub manager: String,
    /// The elements of the path, as `fieldsV1` has them.
    elements: Vec<String>,
    /// `.spec.containers[name="web"].image`.
    pub path: String,
}

impl Conflict {
    /// Whether a set has the field.
    pub(super) fn is_in(&self, set: &FieldSet) -> bool {
        set.has(self.elements.iter().map(String::as_str))
    }
}

/// The conflicts with one manager over a set of its fields.
pub(super) fn of_entry(entry: &Value, taken: &FieldSet) -> Vec<Conflict> {
    let mut paths = Vec::new();
    walk(taken.view(), &mut Vec::new(), &mut paths);
    let (identity, manager) = (identity(entry).map(str::to_owned), told(entry));
    let one = |elements: Vec<String>| {
        let path = elements.iter().map(|element| shown(element)).collect();
        Conflict { identity: identity.clone(), manager: manager.clone(), elements, path }
    };
    paths.into_iter().map(one).collect()
}

/// Orders conflicts by manager; of one manager they stay in the order of its fields.
pub(super) fn sort(conflicts: &mut [Conflict]) {
    conflicts.sort_by(|a, b| a.identity.cmp(&b.identity));
}

/// All of them, as the answer's message tells them.
pub fn message(conflicts: &[Conflict]) -> String {
    if let [only] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {}: {}", only.manager, only.path);
    }
    let mut lines = Vec::new();
    let mut before = None;
    for conflict in conflicts {
        if before.replace(&conflict.identity) != Some(&conflict.identity) {
            lines.push(format!("conflicts with {}:", conflict.manager));
        }
        lines.push(format!("- {}", conflict.path));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

fn told(entry: &Value) -> String {
    let mut told = go_quote(text(entry, "manager"));
    let subresource = text(entry, "subresource");
    if !subresource.is_empty() {
        told = format!("{told} with subresource {}", go_quote(subresource));
    }
    if text(entry, "operation") == "Update" {
        told = format!("{told} using {}", text(entry, "apiVersion"));
    }
    told
}

/// The paths of a set: at each step first what is in the set itself, then what is below.
fn walk(set: View<'_>, path: &mut Vec<String>, out: &mut Vec<Vec<String>>) {
    let mut children: Vec<(Element<'_>, &str, View<'_>)> =
        set.children().map(|(element, below)| (Element::read(element), element, below)).collect();
    children.sort_by(|a, b| a.0.cmp(&b.0));
    for (_, element, _) in children.iter().filter(|(_, _, below)| below.is_member()) {
        path.push((*element).to_owned());
        out.push(path.clone());
        path.pop();
    }
    for (_, element, below) in children.iter().filter(|(_, _, below)| below.has_children()) {
        path.push((*element).to_owned());
        walk(*below, path, out);
        path.pop();
    }
}

/// A path element as errors show it.
pub(super) fn shown(element: &str) -> String {
    match Element::read(element) {
        Element::Field(name) => format!(".{name}"),
        Element::Keys(keys) => {
            let keys: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={}", value_text(value))).collect();
            format!("[{}]", keys.join(","))
        }
        Element::Value(value) => format!("[={}]", value_text(&value)),
        Element::Other(text) => format!("[{text}]"),
    }
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => go_quote(text),
        Value::Number(number) if number.is_f64() => go_print::float(number),
        Value::Array(list) => format!("[{}]", list.iter().map(value_text).collect::<Vec<_>>().join(",")),
        Value::Object(map) => map.iter().map(|(name, value)| format!("{name}={}", value_text(value))).collect(),
        other => other.to_string(),
    }
}

/// A path element, in the order of structured-merge-diff.
#[derive(Debug)]
enum Element<'e> {
    Field(&'e str),
    Keys(Map<String, Value>),
    Value(Value),
    Other(&'e str),
}

impl<'e> Element<'e> {
    fn read(text: &'e str) -> Element<'e> {
        match text.split_once(':') {
            Some(("f", name)) => Element::Field(name),
            Some(("k", keys)) => Element::Keys(serde_json::from_str(keys).unwrap_or_default()),
            Some(("v", value)) => Element::Value(serde_json::from_str(value).unwrap_or_default()),
            Some((_, rest)) => Element::Other(rest),
            None => Element::Other(text),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Element::Field(_) => 0,
            Element::Keys(_) => 1,
            Element::Value(_) => 2,
            Element::Other(_) => 3,
        }
    }

    fn cmp(&self, other: &Element<'_>) -> Ordering {
        match (self, other) {
            (Element::Field(a), Element::Field(b)) => a.cmp(b),
            (Element::Keys(a), Element::Keys(b)) => {
                let each = |(a, b): ((&String, &Value), (&String, &Value))| a.0.cmp(b.0).then(compare(a.1, b.1));
                let first = a.iter().zip(b).map(each).find(|order| order.is_ne());
                first.unwrap_or_else(|| a.len().cmp(&b.len()))
            }
            (Element::Value(a), Element::Value(b)) => compare(a, b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

/// Numbers come before strings, these before truth values.
fn compare(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    };
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0)),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (a, b) => rank(a).cmp(&rank(b)),
    }
}
