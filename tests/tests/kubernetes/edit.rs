//! Values by chance: such as their schema allows, and others.

use sampan_schema::{Field, Schema, Shape, Type, TypeId};
use sampan_testing::Dice;
use serde_json::{Map, Value, json};

use crate::corpus::Words;

/// Structs within each other that one value has, at most.
const DEPTH_MAX: usize = 4;

/// Texts for any field.
const TEXTS: &[&str] = &[
    "",
    "a",
    "web",
    "Upper",
    "a_b",
    "-a",
    "a.b.c",
    "example.com/x",
    "example.com/X_y",
    "/x",
    "x/",
    "10",
    "10%",
    "-1",
    "::1",
    "10.0.0.1",
    "10.0.0.0/24",
    "256.1.1.1",
    "2001:db8::/64",
    "TCP",
    "udp",
    "None",
    "Always",
    "true",
    "1Gi",
    "500m",
    "http",
    "/path",
    "../x",
    "a b",
    "a,b",
    "a=b",
    "*",
    "*.example.com",
    "kubernetes.io/hostname",
    "node.kubernetes.io/x",
    "default",
    "In",
    "Exists",
    "é",
    " ",
    "a\nb",
    "https://example.com/x",
    "http://u:p@h/",
    "v1",
    "Pod",
    "2020-01-01T00:00:00Z",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];
const NUMBERS: &[i64] = &[
    -1,
    0,
    1,
    2,
    3,
    10,
    80,
    99,
    100,
    101,
    443,
    3600,
    30_000,
    65_535,
    65_536,
    100_001,
    2_147_483_647,
    -2_147_483_648,
    2_147_483_648,
];
const QUANTITIES: &[&str] =
    &["1", "100m", "1Gi", "0", "-1", "1.5", "0.5Gi", "1m", "1n", "1e3", "abc", "", "1 Gi", "100M", "+2", "1E", ".5"];
const KEYS: &[&str] =
    &["a", "app", "example.com/a", "Upper", "a_b", "-a", "", "a b", "cpu", "memory", "example.com/gpu", "..", "a/b/c"];

pub struct Editor<'a> {
    pub dice: &'a mut Dice,
    pub words: &'a Words,
}

impl Editor<'_> {
    pub fn pick<'t, T>(&mut self, from: &'t [T]) -> Option<&'t T> {
        match from.len() {
            0 => None,
            count => from.get(self.dice.roll(count as u64) as usize),
        }
    }

    /// Changes something in an object of the type, however deep.
    pub fn edit(&mut self, object: &mut Map<String, Value>, id: TypeId, depth: usize) {
        if self.dice.one_in(25) {
            object.insert("unknownField".to_owned(), json!({"a": 1}));
            return;
        }
        let Some(field) = self.field(object, id, depth) else { return };
        let deeper = !self.dice.one_in(6);
        let inner = match field.ty {
            Type::Struct(inner) => Some(inner),
            _ => None,
        };
        match (object.get_mut(&*field.json_name), inner) {
            (Some(Value::Object(below)), Some(inner)) if deeper && field.shape == Shape::One => {
                self.edit(below, inner, depth + 1);
            }
            (Some(Value::Array(list)), Some(inner)) if deeper && !list.is_empty() => {
                let at = self.dice.roll(list.len() as u64) as usize;
                if let Some(Value::Object(below)) = list.get_mut(at) {
                    self.edit(below, inner, depth + 1);
                }
            }
            (Some(Value::Object(map)), Some(inner)) if deeper && field.shape == Shape::Map && !map.is_empty() => {
                let at = self.dice.roll(map.len() as u64) as usize;
                if let Some(Value::Object(below)) = map.values_mut().nth(at) {
                    self.edit(below, inner, depth + 1);
                }
            }
            _ => self.change(object, field),
        }
    }

    /// A field of the type: most often one that the object has.
    fn field(&mut self, object: &Map<String, Value>, id: TypeId, depth: usize) -> Option<&'static Field> {
        let mut fields: Vec<&'static Field> = Schema::builtin().fields(id).iter().collect();
        if depth == 0 {
            fields.retain(|field| !matches!(&*field.json_name, "apiVersion" | "kind" | "status"));
            // Every kind has the same metadata.
            if fields.len() > 1 && !self.dice.one_in(6) {
                fields.retain(|field| field.json_name != "metadata");
            }
        }
        if !self.dice.one_in(3) && fields.iter().any(|field| object.contains_key(&*field.json_name)) {
            fields.retain(|field| object.contains_key(&*field.json_name));
        }
        self.pick(&fields).copied()
    }

    fn change(&mut self, object: &mut Map<String, Value>, field: &'static Field) {
        let name = field.json_name.to_string();
        let value = match self.dice.roll(12) {
            0 => return drop(object.remove(&name)),
            1 => self.of_another_type(),
            2 => Value::Null,
            3 => match field.shape {
                Shape::List => json!([]),
                Shape::Map => json!({}),
                Shape::One if matches!(field.ty, Type::Struct(_)) => json!({}),
                Shape::One => json!(""),
            },
            4 | 5 if field.shape == Shape::List => match object.get(&name) {
                Some(Value::Array(list)) if !list.is_empty() => {
                    let mut list = list.clone();
                    let more = if self.dice.one_in(2) { list[0].clone() } else { self.one(field, 0) };
                    list.push(more);
                    Value::Array(list)
                }
                _ => self.value(field, 0),
            },
            _ => self.value(field, 0),
        };
        object.insert(name, value);
    }

    fn of_another_type(&mut self) -> Value {
        let values = [
            json!(1),
            json!(true),
            json!("x"),
            json!([]),
            json!({}),
            json!([{}]),
            json!({"a": 1}),
            json!(1.5),
            json!([1]),
        ];
        self.pick(&values).cloned().unwrap_or_default()
    }

    /// A value for the field.
    pub fn value(&mut self, field: &'static Field, depth: usize) -> Value {
        match field.shape {
            Shape::One => self.one(field, depth),
            Shape::List => {
                let count = 1 + self.dice.roll(2);
                (0..count).map(|_| self.one(field, depth)).collect()
            }
            Shape::Map => {
                let key = self.pick(KEYS).copied().unwrap_or_default().to_owned();
                let value = self.one(field, depth);
                json!({key: value})
            }
        }
    }

    /// One element of it.
    fn one(&mut self, field: &'static Field, depth: usize) -> Value {
        if let Type::Struct(inner) = field.ty {
            return Value::Object(self.object(inner, depth + 1));
        }
        if !self.dice.one_in(4)
            && let Some(word) = self.word(field)
        {
            return word;
        }
        match field.ty {
            Type::String => self.pick(TEXTS).copied().into(),
            Type::Bool => self.dice.one_in(2).into(),
            Type::Int32 | Type::Int64 => match self.dice.roll(12) {
                0 => json!(9_223_372_036_854_775_807_i64),
                1 => json!(1.5),
                _ => self.pick(NUMBERS).copied().into(),
            },
            Type::Double => json!(0.5),
            Type::Quantity => match self.dice.roll(6) {
                0 => json!(5),
                1 => json!(0.1),
                _ => self.pick(QUANTITIES).copied().into(),
            },
            Type::IntOrString => match self.dice.one_in(2) {
                true => self.pick(NUMBERS).copied().into(),
                false => self.pick(&["50%", "http", "150%", "-1%", "a b", "", "10", "0%"]).copied().into(),
            },
            Type::Bytes => self.pick(&["YQ==", "!!!", "", "YQ", "LS0t"]).copied().into(),
            Type::Time | Type::MicroTime => {
                let times = [
                    "2020-01-01T00:00:00Z",
                    "2020-01-01T00:00:00.123456Z",
                    "2020-01-01T02:00:00+02:00",
                    "yesterday",
                    "2020-01-01",
                    "",
                ];
                self.pick(&times).copied().into()
            }
            Type::Duration => self.pick(&["1h", "5m", "1h0m0s", "-1s", "5", "bad", "0s"]).copied().into(),
            Type::Strings => json!(["a", "b"]),
            Type::FieldsV1 => json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}}}),
            Type::SchemaOrBool(_) => json!(true),
            _ => json!({}),
        }
    }

    /// One of the values that the field may have, that other objects have in a field of its name, or that its description
    /// quotes.
    fn word(&mut self, field: &'static Field) -> Option<Value> {
        let mut words: Vec<Value> = field.allowed.clone();
        if words.is_empty() || self.dice.one_in(4) {
            words.extend(self.words.get(&*field.json_name).into_iter().flatten().cloned());
            if matches!(field.ty, Type::String) {
                words.extend(
                    field.description.split('"').skip(1).step_by(2).filter(|word| word.len() < 40).map(Value::from),
                );
            }
        }
        self.pick(&words).cloned()
    }

    /// A struct: what is required, and by chance some of the rest.
    pub fn object(&mut self, id: TypeId, depth: usize) -> Map<String, Value> {
        let fields = Schema::builtin().fields(id);
        let mut map = Map::new();
        for field in fields {
            let wanted = match field.required || field.merge_key == field.json_name {
                true => !self.dice.one_in(20),
                false => self.dice.roll(fields.len() as u64 + 2) < 2,
            };
            if wanted && depth < DEPTH_MAX {
                map.insert(field.json_name.to_string(), self.value(field, depth));
            }
        }
        map
    }

    /// A part of an object of the type: one path from the top, with a value or null at its end.
    pub fn part(&mut self, id: TypeId, depth: usize) -> Map<String, Value> {
        let Some(field) = self.field(&Map::new(), id, depth) else { return Map::new() };
        let name = field.json_name.to_string();
        let value = match field.ty {
            Type::Struct(inner) if field.shape == Shape::One && depth < DEPTH_MAX && !self.dice.one_in(6) => {
                Value::Object(self.part(inner, depth + 1))
            }
            _ if self.dice.one_in(8) => Value::Null,
            _ => self.value(field, depth),
        };
        Map::from_iter([(name, value)])
    }
}

/// Puts a part into an object, whole lists at once.
pub fn merge(into: &mut Value, part: &Value) {
    match (into, part) {
        (Value::Object(into), Value::Object(part)) => {
            for (name, value) in part {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, part) => *into = part.clone(),
    }
}
