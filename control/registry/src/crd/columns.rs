//! The columns of custom kinds' tables: `additionalPrinterColumns`, or the age alone.

use crate::kinds::age;
use crate::resource::{Column, Columns, Name};
use sampan_api::jsonpath::JsonPath;
use sampan_api::limits::NESTING_MAX;
use sampan_api::object::Object;
use sampan_api::outline::Outline;
use sampan_api::time::{Fraction, UnixTime};
use sampan_schema::{Schema, go_print};
use serde_json::{Number, Value};
use std::time::SystemTime;

struct Cell {
    path: JsonPath,
    type_: Name,
}

/// The columns of a version. A column whose path cannot be read ends them, as it does in Kubernetes.
pub(super) fn of_version(version: &Value) -> Columns {
    let described = |field: &str| Name::Owned(description(field));
    let mut definitions = vec![column("Name", "string", "name", described("name"), 0)];
    let mut cells = Vec::new();
    let more = version["additionalPrinterColumns"].as_array().filter(|columns| !columns.is_empty());
    if let Some(more) = more {
        for one in more {
            let text = |name: &str| one[name].as_str().unwrap_or_default();
            let Ok(path) = JsonPath::parse(text("jsonPath")) else { break };
            let description = match text("description") {
                "" => format!("Custom resource definition column (in JSONPath format): {}", text("jsonPath")),
                given => given.to_owned(),
            };
            let priority = one["priority"].as_i64().and_then(|p| i32::try_from(p).ok()).unwrap_or_default();
            definitions.push(column(text("name"), text("type"), text("format"), description.into(), priority));
            cells.push(Cell { path, type_: text("type").to_owned().into() });
        }
    } else if let Ok(path) = JsonPath::parse(".metadata.creationTimestamp") {
        definitions.push(column("Age", "date", "", described("creationTimestamp"), 0));
        cells.push(Cell { path, type_: "date".into() });
    }
    let reads = part(&cells);
    let cells = move |object: &Object, now: SystemTime| {
        let whole = object.to_value();
        let name = Value::from(object.name());
        std::iter::once(name).chain(cells.iter().map(|cell| cell.of(&whole, now))).collect()
    };
    Columns::new(definitions, cells).reading(reads)
}

/// The part of an object that the cells are made of: everything, where a path does more than to name fields.
fn part(cells: &[Cell]) -> Outline {
    let mut part = Outline::default();
    part.add(["metadata", "name"], Outline::Whole);
    for cell in cells {
        match cell.path.fields() {
            // No object is that deep: there is nothing to be read.
            Some(fields) if fields.len() > NESTING_MAX => {}
            Some(fields) => part.add(fields, Outline::Whole),
            None => return Outline::Whole,
        }
    }
    part
}

fn column(name: &str, type_: &str, format: &str, description: Name, priority: i32) -> Column {
    let owned = |text: &str| Name::Owned(text.to_owned());
    Column { name: owned(name), type_: owned(type_), format: owned(format), description, priority }
}

/// What a field of the metadata is described as.
fn description(field: &str) -> String {
    let schema = Schema::builtin();
    let meta = schema.types().find(|(_, ty)| ty.package == "apimachinery/pkg/apis/meta/v1" && ty.name == "ObjectMeta");
    meta.and_then(|(_, ty)| ty.field(field)).map(|field| field.description.to_string()).unwrap_or_default()
}

impl Cell {
    fn of(&self, object: &Value, now: SystemTime) -> Value {
        let Some(value) = self.path.find(object).first().copied() else { return Value::Null };
        match (self.type_.as_ref(), value) {
            ("string", value) => text(value).into(),
            ("integer", Value::Number(number)) => number.as_i64().unwrap_or_else(|| whole(number)).into(),
            ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
            ("date", Value::String(text)) if text.is_empty() => "<unknown>".into(),
            ("date", Value::String(text)) => match UnixTime::parse(text, Fraction::Any) {
                Ok(_) => age(text, now).into(),
                Err(_) => "<invalid>".into(),
            },
            _ => Value::Null,
        }
    }
}

/// A value in a column of texts.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => go_print::json(value),
        Value::Number(number) if number.as_i64().is_none() => go_print::plain(value, go_print::Numbers::Floats),
        other => other.to_string(),
    }
}

/// A number without its fraction, as Go converts it on amd64: what is too large is the least.
fn whole(number: &Number) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let float = number.as_f64().unwrap_or_default();
    if (-LIMIT..LIMIT).contains(&float) { float as i64 } else { i64::MIN }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The cells of kube-apiserver v1.35.0.
    #[test]
    fn a_column_reads_what_it_names_and_no_more() {
        let reads = |path: &str| {
            let column = serde_json::json!({"name": "a", "type": "string", "jsonPath": path});
            of_version(&serde_json::json!({"additionalPrinterColumns": [column]})).reads
        };
        let has = |path: &str, read: &[&str]| reads(path).has(read);
        assert!(
            has(".spec.a", &["spec", "a"]) && !has(".spec.a", &["spec", "b"]) && has(".spec.a", &["metadata", "name"])
        );
        assert!(has(".status.conditions[?(@.type==\"Ready\")].status", &["spec", "b"]));
        // What no object can hold is not looked for, however long its path is.
        assert!(!has(&".a".repeat(200_000), &["a"]));
    }

    #[test]
    fn cells_are_those_of_the_real_server() {
        let check = |type_: &'static str, value: Value, expected: Value| {
            let path = JsonPath::parse(".v").expect("a path");
            let cell = Cell { path, type_: type_.into() };
            assert_eq!(cell.of(&json!({"v": value}), SystemTime::UNIX_EPOCH), expected, "{type_} {value}");
        };
        check("string", Value::Null, json!("<no value>"));
        check("string", json!("a<b>&c"), json!("a<b>&c"));
        check("string", json!({"a": "<b>&"}), json!(r#"{"a":"\u003cb\u003e\u0026"}"#));
        check("string", json!([1, "<x>", null]), json!(r#"[1,"\u003cx\u003e",null]"#));
        check("string", json!([]), json!("[]"));
        check("string", json!(true), json!("true"));
        check("string", json!(1.5), json!("1.5"));
        check("string", json!(100_000_000), json!("100000000"));
        check("string", json!(12_345_678_901_234_567_890_u64), json!("1.2345678901234567e+19"));
        check("string", json!(""), json!(""));
        check("integer", json!(1.5), json!(1));
        check("integer", json!(1e21), json!(i64::MIN));
        check("integer", Value::Null, Value::Null);
        check("integer", json!("1"), Value::Null);
        check("number", json!(1.5), json!(1.5));
        check("boolean", json!("true"), Value::Null);
        check("date", json!(""), json!("<unknown>"));
        check("date", json!("nope"), json!("<invalid>"));
        check("date", Value::Null, Value::Null);
    }
}
