//! Custom resources by the schemas of their definitions: what is pruned, defaulted, refused, and what rules say.

use crate::{Answer, Compared, Known};
use sampan_cel::rules::Rules;
use sampan_schema::{ObjectType, Schema, default, json as codec, values};
use sampan_testing::Dice;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Schemas inside each other.
const DEEP: usize = 3;
const KIND: &str = "Thing";

pub(crate) const STRUCTURAL: Compared = Compared {
    of: "structural",
    input: |dice| {
        let mut schema = object_schema(dice, 0);
        // Never the root's own metadata.
        schema["x-kubernetes-preserve-unknown-fields"].take();
        let map = schema.as_object_mut().expect("an object");
        map.retain(|name, value| !value.is_null() && name != "nullable" && name != "default");
        map.remove("additionalProperties");
        let mut object = value_of(dice, &schema, 0);
        if !object.is_object() {
            object = json!({});
        }
        object["apiVersion"] = "example.com/v1".into();
        object["kind"] = KIND.into();
        object["metadata"] = json!({"name": "a"});
        json!({"schema": schema, "object": object})
    },
    ours,
    errors: &[
        "Required value",
        "Unsupported value:",
        "should match '",
        "should be at least",
        "may not be more than",
        "should be greater than or equal to",
        "should be less than or equal to",
        "should be a multiple of",
        "must be of type",
        "Duplicate value:",
        "Too many:",
        "must have at most",
        "should have at least",
        "failed rule: ",
        "must validate one and only one schema",
        "must not validate the schema",
        "must validate at least one schema",
    ],
    known: &[Known {
        why: "a whole number that is sent with a point is kept as it came; Go writes it without (encoding/json, encode.go: \
              floatEncoder)",
        is: |_, ours, theirs| match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => ours != theirs && same_numbers(ours, theirs),
            _ => false,
        },
    }],
    ..Compared::NOTHING
};

/// Whether two values are the same but for how their numbers are written.
fn same_numbers(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(ours), Value::Number(theirs)) => ours == theirs || ours.as_f64() == theirs.as_f64(),
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same_numbers(ours, theirs))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            let same = |(name, ours): (&String, &Value)| theirs.get(name).is_some_and(|one| same_numbers(ours, one));
            ours.len() == theirs.len() && ours.iter().all(same)
        }
        _ => ours == theirs,
    }
}

fn ours(input: &Value) -> Answer {
    let definition = &input["schema"];
    let kinds = Map::from_iter([(KIND.to_owned(), definition.clone())]);
    let schema = Schema::extend(Schema::builtin(), "example.com", "v1", &kinds, |kind| format!("{kind}List"));
    let schema = Arc::new(schema.expect("a structural schema"));
    let ty = ObjectType::find(&schema, "example.com", "v1", KIND).expect("its type");
    let decoded = codec::from_value(&schema, ty.id(), &input["object"]).map_err(|error| error.to_string())?;
    let Value::Object(mut object) = decoded.value else { return Err("no object".to_owned()) };
    default::apply(&schema, ty.id(), &mut object).map_err(|error| error.to_string())?;
    let mut wrong = values::validate(&schema, ty.id(), &object, None);
    wrong.extend(values::repeated(&schema, ty.id(), &object));
    let object = Value::Object(object);
    if wrong.is_empty()
        && let Some(rules) = Rules::compile(definition)
    {
        wrong = rules.validate(&object, None).errors;
    }
    if wrong.is_empty() {
        return Ok(object);
    }
    let mut lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    lines.sort_unstable();
    Err(lines.join("\n"))
}

fn one_of<'a, T>(dice: &mut Dice, of: &'a [T]) -> &'a T {
    &of[dice.roll(of.len() as u64) as usize]
}

const NAMES: [&str; 5] = ["a", "b", "c", "x-y", "long"];

fn schema(dice: &mut Dice, deep: usize) -> Value {
    let mut schema = match dice.roll(if deep < DEEP { 9 } else { 5 }) {
        0 | 1 => text_schema(dice),
        2 => integer_schema(dice),
        3 => number_schema(dice),
        4 if dice.one_in(2) => json!({"type": "boolean"}),
        4 => json!({"x-kubernetes-int-or-string": true}),
        5 | 6 => list_schema(dice, deep),
        _ => object_schema(dice, deep),
    };
    if dice.one_in(8) {
        schema["nullable"] = true.into();
    }
    schema
}

fn text_schema(dice: &mut Dice) -> Value {
    let mut schema = json!({"type": "string"});
    match dice.roll(8) {
        0 => schema["enum"] = json!(["a", "bb", "ccc"]),
        1 => schema["pattern"] = "^[a-c]+$".into(),
        2 => schema["minLength"] = 2.into(),
        3 => schema["maxLength"] = 2.into(),
        4 => {
            schema["format"] =
                (*one_of(dice, &["date-time", "ipv4", "uri", "byte", "duration", "email", "uuid"])).into()
        }
        5 => schema["anyOf"] = json!([{"maxLength": 1}, {"pattern": "^cc"}]),
        6 => schema["oneOf"] = json!([{"minLength": 1}, {"maxLength": 2}]),
        _ => {}
    }
    if dice.one_in(5) {
        schema["default"] = "ccc".into();
        schema
            .as_object_mut()
            .expect("a map")
            .retain(|name, _| matches!(name.as_str(), "type" | "enum" | "default" | "minLength"));
    }
    if dice.one_in(6) {
        schema["maxLength"] = 9.into();
        schema["x-kubernetes-validations"] = json!([{"rule": "self.size() < 3 || self == 'ccc'"}]);
    }
    schema
}

fn integer_schema(dice: &mut Dice) -> Value {
    let mut schema = json!({"type": "integer"});
    match dice.roll(7) {
        0 => schema["minimum"] = 2.into(),
        1 => schema["maximum"] = 5.into(),
        2 => schema["multipleOf"] = 2.into(),
        3 => schema["enum"] = json!([0, 4]),
        4 => schema["not"] = json!({"minimum": 3}),
        5 => schema["format"] = (*one_of(dice, &["int32", "int64"])).into(),
        _ => {}
    }
    if dice.one_in(5) {
        schema["default"] = 0.into();
        schema
            .as_object_mut()
            .expect("a map")
            .retain(|name, _| matches!(name.as_str(), "type" | "enum" | "default" | "format"));
    }
    if dice.one_in(6) {
        schema["x-kubernetes-validations"] = json!([{"rule": "self % 2 == 0", "message": "should be even"}]);
    }
    schema
}

fn number_schema(dice: &mut Dice) -> Value {
    match dice.roll(4) {
        0 => json!({"type": "number", "minimum": 1.5, "exclusiveMinimum": true}),
        1 => json!({"type": "number", "maximum": 2.5}),
        2 => json!({"type": "number", "default": 0.5}),
        _ => json!({"type": "number"}),
    }
}

fn list_schema(dice: &mut Dice, deep: usize) -> Value {
    let mut schema = json!({"type": "array"});
    match dice.roll(4) {
        0 => {
            schema["x-kubernetes-list-type"] = "set".into();
            schema["items"] = json!({"type": "string"});
        }
        1 => {
            let mut key = json!({"type": "string"});
            let mut required = vec!["k"];
            if dice.one_in(2) {
                key["default"] = "ccc".into();
                required.clear();
            }
            schema["x-kubernetes-list-type"] = "map".into();
            schema["x-kubernetes-list-map-keys"] = json!(["k"]);
            schema["items"] = json!({"type": "object", "properties": {"k": key, "v": self::schema(dice, deep + 1)}});
            if !required.is_empty() {
                schema["items"]["required"] = json!(required);
            }
        }
        _ => schema["items"] = self::schema(dice, deep + 1),
    }
    match dice.roll(5) {
        0 => schema["minItems"] = 1.into(),
        1 => schema["maxItems"] = 2.into(),
        _ => {}
    }
    if dice.one_in(6) {
        schema["default"] = json!([]);
        schema.as_object_mut().expect("a map").remove("minItems");
    }
    schema
}

fn object_schema(dice: &mut Dice, deep: usize) -> Value {
    let mut schema = json!({"type": "object"});
    if deep > 0 && dice.one_in(4) {
        schema["additionalProperties"] = if dice.one_in(3) { json!(true) } else { self::schema(dice, deep + 1) };
        if dice.one_in(3) {
            schema["maxProperties"] = 1.into();
        }
        if dice.one_in(4) {
            schema["minProperties"] = 2.into();
        }
        return schema;
    }
    let names: Vec<&str> = NAMES.into_iter().filter(|_| !dice.one_in(3)).collect();
    let properties: Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), self::schema(dice, deep + 1))).collect();
    if dice.one_in(3) {
        let required: Vec<&&str> = names.iter().filter(|_| dice.one_in(3)).collect();
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
    }
    schema["properties"] = properties.into();
    if dice.one_in(6) {
        schema["x-kubernetes-preserve-unknown-fields"] = true.into();
    }
    if deep > 0 && dice.one_in(6) && schema.get("required").is_none() {
        schema["default"] = json!({});
    }
    if dice.one_in(5) && !names.is_empty() {
        let name = (*one_of(dice, &names)).replace("x-y", "x__dash__y");
        schema["x-kubernetes-validations"] =
            json!([{"rule": format!("!has(self.{name})"), "reason": "FieldValueForbidden"}]);
        if dice.one_in(2) {
            schema["x-kubernetes-validations"] =
                json!([{"rule": format!("has(self.{name})"), "messageExpression": "'not there'"}]);
        }
    }
    schema
}

/// A value that mostly is as the schema says.
fn value_of(dice: &mut Dice, schema: &Value, deep: usize) -> Value {
    if deep > 0 && dice.one_in(30) {
        let any = [
            json!(null),
            json!("a"),
            json!(4),
            json!(1.5),
            json!(true),
            json!([1]),
            json!({"a": 1}),
            json!([]),
            json!({}),
        ];
        return one_of(dice, &any).clone();
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return one_of(dice, &[json!(1), json!("50%"), json!("")]).clone();
    }
    match schema["type"].as_str() {
        Some("string") => {
            let texts =
                ["a", "bb", "ccc", "", "d", "2026-01-02T03:04:05Z", "10.0.0.1", "http://a/b", "aGk=", "1h", "é"];
            let count = if dice.one_in(3) { texts.len() } else { 3 };
            (*one_of(dice, &texts[..count])).into()
        }
        Some("integer") => one_of(dice, &[json!(0), json!(4), json!(4), json!(3), json!(-1), json!(i64::MAX)]).clone(),
        Some("number") => one_of(dice, &[json!(2), json!(2.25), json!(0.5), json!(-1e10)]).clone(),
        Some("boolean") => dice.one_in(2).into(),
        Some("array") => (0..dice.roll(4)).map(|_| value_of(dice, &schema["items"], deep + 1)).collect(),
        Some("object") => {
            let mut map = Map::new();
            for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
                let required = schema["required"].as_array().is_some_and(|all| all.contains(&json!(name)));
                if !dice.one_in(if required { 12 } else { 3 }) {
                    map.insert(name.clone(), value_of(dice, inner, deep + 1));
                }
            }
            let more = &schema["additionalProperties"];
            for name in NAMES.into_iter().filter(|_| !more.is_null()) {
                if dice.one_in(2) {
                    map.insert(name.to_owned(), value_of(dice, more, deep + 1));
                }
            }
            if dice.one_in(8) {
                map.insert("unknown".to_owned(), json!({"a": [null]}));
            }
            Value::Object(map)
        }
        _ => json!({"free": [1, null]}),
    }
}
