//! Objects of which a part is read: what the cells of a table need, and no more.
//!
//! Skipping a value costs a look at its bytes; a tree of it costs allocations, and most of an object is `managedFields` and
//! data that no cell shows.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// The part of objects that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outline {
    /// Everything.
    Whole,
    /// The names of a map's members, or the number of a list's items, each with null for its value.
    Names,
    /// These members of a map, and nothing of what is no map.
    Members(BTreeMap<String, Outline>),
}

impl Default for Outline {
    /// Nothing.
    fn default() -> Self {
        Self::Members(BTreeMap::new())
    }
}

impl Outline {
    /// Takes in what stands at the path of member names; the whole object, where it names none.
    pub fn add<'a>(&mut self, path: impl IntoIterator<Item = &'a str>, part: Outline) {
        let mut at = self;
        for name in path {
            at = match at {
                Self::Whole => return,
                Self::Names => {
                    // Names and a part of one of them are the whole.
                    *at = Self::Whole;
                    return;
                }
                Self::Members(members) => members.entry(name.to_owned()).or_default(),
            };
        }
        let nothing = matches!(at, Self::Members(members) if members.is_empty());
        if nothing {
            *at = part;
        } else if *at != part {
            *at = Self::Whole;
        }
    }

    /// Whether everything is read.
    pub fn is_whole(&self) -> bool {
        *self == Self::Whole
    }

    /// Whether what stands at the path is read.
    pub fn has(&self, path: &[&str]) -> bool {
        match (self, path) {
            (Self::Whole, _) | (_, []) => true,
            (Self::Names, _) => false,
            (Self::Members(members), [name, rest @ ..]) => members.get(*name).is_some_and(|member| member.has(rest)),
        }
    }

    /// The part of the JSON.
    ///
    /// # Errors
    /// Where it is no JSON.
    pub fn read(&self, json: &[u8]) -> Result<Value, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let value = self.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
    }
}

impl<'de> DeserializeSeed<'de> for &Outline {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self {
            Outline::Whole => Value::deserialize(deserializer),
            _ => deserializer.deserialize_any(self),
        }
    }
}

/// Of maps and lists; a part of anything else is null.
impl<'de> Visitor<'de> for &Outline {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = access.next_key::<std::borrow::Cow<'de, str>>()? {
            match self {
                Outline::Members(members) => match members.get(name.as_ref()) {
                    Some(member) => {
                        let value = access.next_value_seed(member)?;
                        map.insert(name.into_owned(), value);
                    }
                    None => {
                        access.next_value::<IgnoredAny>()?;
                    }
                },
                Outline::Names | Outline::Whole => {
                    access.next_value::<IgnoredAny>()?;
                    map.insert(name.into_owned(), Value::Null);
                }
            }
        }
        Ok(Value::Object(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while access.next_element::<IgnoredAny>()?.is_some() {
            if matches!(self, Outline::Names) {
                list.push(Value::Null);
            }
        }
        Ok(Value::Array(list))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const JSON: &str = r#"{"kind":"A","metadata":{"managedFields":[{"a":1}],"name":"x","labels":{"a\n":"b"}},
        "data":{"one":"1","two":"2"},"list":[1,{"a":[2]}],"text":"t"}"#;

    #[test]
    fn a_part_is_read() {
        let check = |paths: &[(&[&str], Outline)], expected: Value| {
            let mut outline = Outline::default();
            for (path, part) in paths {
                outline.add(path.iter().copied(), part.clone());
            }
            assert_eq!(outline.read(JSON.as_bytes()).expect("JSON"), expected, "{outline:?}");
        };
        let (whole, names) = (|| Outline::Whole, || Outline::Names);
        check(&[], json!({}));
        check(&[(&[], whole())], serde_json::from_str(JSON).expect("JSON"));
        check(&[(&["data"], names())], json!({"data": {"one": null, "two": null}}));
        check(
            &[(&["list"], names()), (&["data"], names())],
            json!({"data": {"one": null, "two": null}, "list": [null, null]}),
        );
        check(
            &[(&["metadata", "name"], whole()), (&["kind"], whole())],
            json!({"kind": "A", "metadata": {"name": "x"}}),
        );
        // Two parts of one thing are the whole of it; a part of a text is nothing, and so is what is not there.
        check(&[(&["data"], names()), (&["data", "one"], whole())], json!({"data": {"one": "1", "two": "2"}}));
        check(&[(&["data", "one"], whole()), (&["data"], names())], json!({"data": {"one": "1", "two": "2"}}));
        check(
            &[(&["text", "a"], whole()), (&["list", "a"], whole()), (&["none"], whole())],
            json!({"list": [], "text": null}),
        );
        check(&[(&["metadata", "labels"], whole())], json!({"metadata": {"labels": {"a\n": "b"}}}));
    }

    #[test]
    fn what_is_skipped_is_json() {
        let nothing = Outline::default();
        for broken in ["", "{", r#"{"a":}"#, r#"{"a":1}x"#, "[1,]"] {
            assert!(nothing.read(broken.as_bytes()).is_err(), "{broken}");
        }
        assert!(nothing.has(&[]) && !nothing.has(&["a"]) && Outline::Whole.has(&["a", "b"]));
    }
}
