//! The columns of custom kinds' tables: `additionalPrinterColumns`, or the age alone.

use crate::kinds::age;
use crate::resource::{Column, Columns, Name};
use sampan_api::jsonpath::JsonPath;
use sampan_api::object::Object;
use sampan_api::time::{Fraction, UnixTime};
use sampan_schema::Schema;
use serde_json::Value;
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
    let cells = move |object: &Object, now: SystemTime| {
        let whole = Value::Object(object.fields().clone());
        let name = Value::from(object.name());
        std::iter::once(name).chain(cells.iter().map(|cell| cell.of(&whole, now))).collect()
    };
    Columns::new(definitions, cells)
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
            ("string", Value::String(text)) => text.as_str().into(),
            ("string", other) => other.to_string().into(),
            ("integer", Value::Number(number)) => {
                number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)).map_or(Value::Null, Value::from)
            }
            ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
            ("date", Value::String(text)) => match UnixTime::parse(text, Fraction::Any) {
                Ok(_) => age(text, now).into(),
                Err(_) => "<invalid>".into(),
            },
            _ => Value::Null,
        }
    }
}
