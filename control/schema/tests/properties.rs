//! Laws that the codecs, merges and sets keep for any input.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sampan_schema::fields::{self, FieldSet};
use sampan_schema::{Field, Schema, Shape, Type, TypeId, default, json, patch, protobuf, yaml};
use sampan_testing::Dice;
use serde_json::{Map, Value};

/// Values of a type, decided by a stream of numbers.
struct Generator {
    dice: Dice,
}

impl Generator {
    fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed) }
    }

    fn next(&mut self) -> u64 {
        self.dice.next_u64()
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.dice.roll(limit)
    }

    fn text(&mut self) -> String {
        let words =
            ["", "a", "x y", "\"q\"", "ü", "line\nline", "true", "1", "k8s.io/x", "-", "null", "~", "0x1f", "a: b"];
        words[self.below(words.len() as u64) as usize].to_string()
    }

    fn tree(&mut self, depth: usize) -> Value {
        match self.below(if depth > 2 { 5 } else { 7 }) {
            0 => Value::Null,
            1 => Value::Bool(self.below(2) == 0),
            2 => Value::from(self.next() as i64),
            3 => Value::from(self.below(1000) as f64 / 8.0),
            4 => Value::String(self.text()),
            5 => (0..self.below(4)).map(|_| self.tree(depth + 1)).collect(),
            _ => Value::Object((0..self.below(4)).map(|_| (self.text(), self.tree(depth + 1))).collect()),
        }
    }

    fn object(&mut self, schema: &Schema, id: TypeId, depth: usize) -> Value {
        let mut map = Map::new();
        for field in schema.fields(id) {
            if self.below(if depth > 3 { 8 } else { 2 }) == 0 {
                let value = self.field(schema, field, depth);
                map.insert(field.json_name.to_string(), value);
            }
        }
        Value::Object(map)
    }

    fn field(&mut self, schema: &Schema, field: &Field, depth: usize) -> Value {
        match field.shape {
            Shape::One => self.element(schema, field, depth),
            Shape::List => (0..self.below(3)).map(|_| self.element(schema, field, depth)).collect(),
            Shape::Map => {
                Value::Object((0..self.below(3)).map(|_| (self.text(), self.element(schema, field, depth))).collect())
            }
        }
    }

    fn element(&mut self, schema: &Schema, field: &Field, depth: usize) -> Value {
        if depth > 8 {
            return Value::Null;
        }
        match field.ty {
            Type::String => Value::String(self.text()),
            Type::Bool => Value::Bool(self.below(2) == 0),
            Type::Int32 => Value::from(self.next() as i32),
            Type::Int64 => Value::from(self.next() as i64),
            Type::Double => Value::from(self.below(1 << 20) as f64 / 16.0),
            Type::Bytes => Value::from(["", "AQID", "Aw==", "AQI="][self.below(4) as usize]),
            Type::Struct(id) => self.object(schema, id, depth + 1),
            Type::Quantity => Value::from(["0", "1", "100m", "1.5Gi", "12e6", "1500m", "3Ki"][self.below(7) as usize]),
            Type::Time => Value::from(["2026-01-02T03:04:05Z", "1999-12-31T23:59:59+02:00"][self.below(2) as usize]),
            Type::MicroTime => Value::from("2026-01-02T03:04:05.000600Z"),
            Type::Duration => Value::from(["1h", "90s", "1.5ms", "0"][self.below(4) as usize]),
            Type::IntOrString => {
                if self.below(2) == 0 {
                    Value::from(self.next() as i32)
                } else {
                    Value::from("25%")
                }
            }
            Type::Strings => (0..self.below(3)).map(|_| Value::String(self.text())).collect(),
            Type::SchemaOrBool(_) => Value::Bool(self.below(2) == 0),
            Type::SchemaOrArray(id) => self.object(schema, id, depth + 2),
            Type::SchemaOrStrings(_) => Value::from(vec!["a"]),
            Type::Nested(_) => Value::Array(Vec::new()),
            Type::Raw | Type::Json | Type::FieldsV1 => Value::Object(Map::from_iter([("a".to_string(), self.tree(1))])),
        }
    }

    /// A value of some kind, in its normal form.
    fn kind(&mut self) -> (TypeId, Value) {
        let schema = Schema::builtin();
        let kinds = schema.kinds();
        let id = kinds[self.below(kinds.len() as u64) as usize].type_id;
        let value = self.object(schema, id, 0);
        let decoded = json::from_value(schema, id, &value).expect("a value of the type");
        assert_eq!(decoded.problems, [], "of {}", schema.get(id).name);
        (id, decoded.value)
    }

    fn set(&mut self, depth: usize) -> FieldSet {
        let mut set = FieldSet::default();
        for name in ["f:a", "f:b", "k:{\"name\":\"x\"}", "v:1"] {
            if self.below(2) == 0 {
                let mut inner = if depth < 2 { self.set(depth + 1) } else { FieldSet::default() };
                if inner.is_empty() || self.below(2) == 0 {
                    inner.insert_self();
                }
                set.put(name.to_string(), inner);
            }
        }
        set
    }
}

/// A value whose objects have no nulls.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(without_nulls).collect(),
        Value::Object(map) => {
            let set = map.into_iter().filter(|(_, value)| !value.is_null());
            set.map(|(key, value)| (key, without_nulls(value))).collect()
        }
        other => other,
    }
}

/// A value whose floats without a fraction are integers, as Go's JSON has them.
fn as_go_writes_it(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or_default();
            if float.fract() == 0.0 && float.abs() < 1e15 { Value::from(float as i64) } else { Value::Number(number) }
        }
        Value::Array(list) => list.into_iter().map(as_go_writes_it).collect(),
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(key, value)| (key, as_go_writes_it(value))).collect())
        }
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_normal_value_stays_as_it_is(state: u64) {
        let (id, value) = Generator::new(state).kind();
        let again = json::from_value(Schema::builtin(), id, &value).expect("decodes");
        prop_assert_eq!(again.value, value);
    }

    #[test]
    fn protobuf_round_trips(state: u64) {
        let schema = Schema::builtin();
        let (id, mut value) = Generator::new(state).kind();
        if schema.get(id).has_protobuf() {
            let mut bytes = Vec::new();
            protobuf::encode(schema, id, &value, &mut bytes).expect("encodes");
            let back = protobuf::decode(schema, id, &bytes).expect("decodes").value;
            // The kind stands in the envelope; so it does for whole objects inside others, which lose it.
            as_on_the_wire(schema, id, &mut value);
            prop_assert_eq!(back, value);
        }
    }

    #[test]
    fn yaml_round_trips(state: u64) {
        let value = Generator::new(state).tree(0);
        let text = yaml::encode(&value);
        let (back, problems) = yaml::to_json(text.as_bytes()).expect("YAML");
        prop_assert_eq!(back, as_go_writes_it(value), "{}", text);
        prop_assert!(problems.is_empty());
    }

    #[test]
    fn defaulting_twice_is_defaulting_once(state: u64) {
        let schema = Schema::builtin();
        let (id, mut once) = Generator::new(state).kind();
        default::apply(schema, id, once.as_object_mut().expect("an object")).expect("short");
        let mut twice = once.clone();
        default::apply(schema, id, twice.as_object_mut().expect("an object")).expect("short");
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn an_empty_patch_changes_nothing(state: u64) {
        let schema = Schema::builtin();
        let (id, value) = Generator::new(state).kind();
        let empty = Value::Object(Map::new());
        prop_assert_eq!(patch::strategic(schema, id, value.clone(), empty.clone()).expect("applies"), value.clone());
        prop_assert_eq!(patch::merge(value.clone(), &empty), value.clone());
        prop_assert_eq!(patch::json(value.clone(), &Value::Array(Vec::new())).expect("applies"), value);
    }

    #[test]
    fn a_merge_patch_applied_twice_is_applied_once(state: u64) {
        let mut generator = Generator::new(state);
        let (value, change) = (generator.tree(0), generator.tree(0));
        let once = patch::merge(value, &change);
        // Nulls in what takes the place of an object stay the first time, and are gone once it takes its own place.
        prop_assert_eq!(without_nulls(patch::merge(once.clone(), &change)), without_nulls(once));
    }

    #[test]
    fn sets_of_fields_are_sets(state: u64) {
        let mut generator = Generator::new(state);
        let (a, b) = (generator.set(0), generator.set(0));
        let written = a.clone().into_fields_v1();
        prop_assert!(fields::is_fields_v1(&Value::Object(written.clone())));
        prop_assert_eq!(&FieldSet::of_fields_v1(written), &a);
        let (both, turned) = (a.clone().union(b.clone()), b.clone().union(a.clone()));
        prop_assert_eq!(&both, &turned);
        let apart = a.clone().difference(&b).union(a.intersection(&b));
        prop_assert_eq!(&apart, &a);
        prop_assert!(a.clone().difference(&b).intersection(&b).is_empty());
        // The same by paths, which are compared one by one.
        let of = |set: &FieldSet| -> BTreeSet<String> { set.paths().iter().map(|path| path.join("/")).collect() };
        prop_assert_eq!(of(&both), &of(&a) | &of(&b));
        prop_assert_eq!(of(&a.intersection(&b)), &of(&a) & &of(&b));
        prop_assert_eq!(of(&a.clone().difference(&b)), &of(&a) - &of(&b));
        for path in a.paths() {
            prop_assert!(a.has(path.iter().copied()));
        }
    }

    #[test]
    fn a_tree_is_read_as_its_text_is(state: u64, at: usize) {
        let schema = Schema::builtin();
        let mut generator = Generator::new(state);
        let (id, mut value) = generator.kind();
        // Something of another kind or type somewhere.
        let (_, stranger) = generator.kind();
        let other = [stranger, generator.tree(0), Value::Null, Value::from(1.5), Value::from("x")];
        if let Value::Object(map) = &mut value {
            let names: Vec<String> = map.keys().cloned().collect();
            if let Some(name) = names.get(at % (names.len() + 1)) {
                map.insert(name.clone(), other[at % other.len()].clone());
            }
            map.insert("unknown".into(), generator.tree(0));
        }
        let text = serde_json::to_vec(&value).expect("JSON");
        prop_assert_eq!(json::from_value(schema, id, &value), json::decode(schema, id, &text));
    }

    #[test]
    fn a_json_patch_that_the_rfc_lets_apply_does_what_it_says(state: u64) {
        let mut generator = Generator::new(state);
        let long: Value = (0..generator.below(2_000)).map(Value::from).collect();
        let document = Value::Object(Map::from_iter([
            ("list".to_string(), long),
            ("tree".to_string(), generator.tree(0)),
            ("map".to_string(), Value::Object(Map::from_iter([("a".to_string(), generator.tree(1))]))),
        ]));
        let path = |generator: &mut Generator| match generator.below(8) {
            0 => "/list/0".to_string(),
            1 => "/list/-".to_string(),
            2 => format!("/list/{}", generator.below(2_100)),
            3 => "/map/a".to_string(),
            4 => "/map/b".to_string(),
            5 => "/map/b/c".to_string(),
            6 => "/tree".to_string(),
            _ => "/list".to_string(),
        };
        let mut expected = document.clone();
        let mut patch = Vec::new();
        for _ in 0..20 {
            let op = ["add", "remove", "replace", "move", "copy", "test"][generator.below(6) as usize];
            let mut operation = Map::from_iter([("op".to_string(), Value::from(op)), ("path".to_string(), path(&mut generator).into())]);
            match op {
                "move" | "copy" => drop(operation.insert("from".into(), path(&mut generator).into())),
                "remove" => {}
                _ => drop(operation.insert("value".into(), generator.tree(1))),
            }
            // Only what applies is kept, so that long patches do. What the RFC refuses may apply in Kubernetes.
            let one: json_patch::PatchOperation = serde_json::from_value(Value::Object(operation.clone())).expect("an operation");
            let mut next = expected.clone();
            let applies = json_patch::patch(&mut next, std::slice::from_ref(&one)).is_ok();
            let ours = patch::json(expected.clone(), &Value::Array(vec![Value::Object(operation.clone())]));
            if applies {
                prop_assert_eq!(ours.as_ref().ok(), Some(&next), "{:?}", operation);
                expected = next;
                patch.push(Value::Object(operation));
            }
        }
        prop_assert_eq!(patch::json(document, &Value::Array(patch)).expect("applies"), expected);
    }

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), state: u64) {
        let schema = Schema::builtin();
        let kinds = schema.kinds();
        let id = kinds[(state % kinds.len() as u64) as usize].type_id;
        drop(protobuf::unwrap(&bytes));
        drop(protobuf::decode(schema, id, &bytes));
        drop(json::decode(schema, id, &bytes));
        drop(yaml::decode(schema, id, &bytes));
    }

    #[test]
    fn what_json_is_not_is_refused(state: u64, at: usize, byte: u8) {
        let schema = Schema::builtin();
        let (id, value) = Generator::new(state).kind();
        let mut bytes = serde_json::to_vec(&value).expect("JSON");
        let at = at % bytes.len();
        bytes[at] = byte;
        let is_json = serde_json::from_slice::<Value>(&String::from_utf8_lossy(&bytes).into_owned().into_bytes()).is_ok();
        let decoded = json::decode(schema, id, &bytes);
        // Lone surrogates apart, which Go replaces and serde_json refuses.
        let surrogate = bytes.windows(3).any(|w| w.eq_ignore_ascii_case(b"\\ud"));
        prop_assert!(is_json || surrogate || decoded.is_err(), "{}", String::from_utf8_lossy(&bytes));
    }
}

/// What protobuf keeps: no kinds, and no difference between an empty list and none.
fn as_on_the_wire(schema: &Schema, id: TypeId, value: &mut Value) {
    let Value::Object(map) = value else { return };
    for field in schema.fields(id) {
        let name = &*field.json_name;
        let on_wire = schema.get(id).messages.iter().flatten().any(|wire| match wire.entry {
            sampan_schema::WireEntry::Field(at) => schema.fields(id)[at as usize].json_name == *name,
            sampan_schema::WireEntry::Inline(_) => false,
        });
        if !on_wire {
            map.remove(name);
            continue;
        }
        let empty =
            |value: &Value| value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
        if field.shape != Shape::One && map.get(name).is_some_and(empty) {
            map.insert(name.to_string(), Value::Null);
            if !field.emit_empty {
                map.remove(name);
            }
        }
        if let (Type::Struct(inner) | Type::SchemaOrArray(inner), Some(held)) = (field.ty, map.get_mut(name)) {
            match held {
                Value::Array(list) => list.iter_mut().for_each(|one| as_on_the_wire(schema, inner, one)),
                Value::Object(entries) if field.shape == Shape::Map => {
                    entries.values_mut().for_each(|one| as_on_the_wire(schema, inner, one));
                }
                one => as_on_the_wire(schema, inner, one),
            }
        }
    }
}
