//! Objects of which a part is read: what the cells of a table need, and no more.
//!
//! Skipping a value costs a look at its bytes; a tree of it costs allocations, and most of an object is `managedFields` and
//! data that no cell shows.

use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

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

    /// The part of the JSON. What is skipped is not looked at: that it is JSON is for the caller to know.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(&self, json: &[u8]) -> Result<Value, OutlineError> {
        let mut rest = Scan { json, at: 0 };
        let value = self.take(&mut rest)?;
        rest.space();
        if rest.at == json.len() { Ok(value) } else { Err(OutlineError(rest.at)) }
    }

    fn take(&self, scan: &mut Scan<'_>) -> Result<Value, OutlineError> {
        scan.space();
        match (self, scan.json.get(scan.at)) {
            (Self::Whole, _) => {
                let value = scan.value()?;
                serde_json::from_slice(value).map_err(|_| OutlineError(scan.at))
            }
            (_, Some(b'{')) => self.take_map(scan),
            (_, Some(b'[')) => self.take_list(scan),
            // A part of anything else is nothing.
            _ => scan.value().map(|_| Value::Null),
        }
    }

    fn take_map(&self, scan: &mut Scan<'_>) -> Result<Value, OutlineError> {
        let mut map = Map::new();
        let mut more = scan.begin(b'}');
        while more {
            let name = scan.string()?;
            // A name with escapes is read as JSON.
            let read = || serde_json::from_slice::<Cow<'_, str>>(name).map_err(|_| OutlineError(scan.at));
            let name = match std::str::from_utf8(&name[1..name.len() - 1]) {
                Ok(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
                _ => Cow::Owned(read()?.into_owned()),
            };
            scan.expect(b':')?;
            match self {
                Self::Members(members) => match members.get(name.as_ref()) {
                    Some(member) => drop(map.insert(name.into_owned(), member.take(scan)?)),
                    None => drop(scan.value()?),
                },
                Self::Names | Self::Whole => {
                    scan.value()?;
                    map.insert(name.into_owned(), Value::Null);
                }
            }
            more = scan.goes_on(b'}')?;
        }
        Ok(Value::Object(map))
    }

    fn take_list(&self, scan: &mut Scan<'_>) -> Result<Value, OutlineError> {
        let mut list = Vec::new();
        let mut more = scan.begin(b']');
        while more {
            scan.value()?;
            if *self == Self::Names {
                list.push(Value::Null);
            }
            more = scan.goes_on(b']')?;
        }
        Ok(Value::Array(list))
    }
}

/// Offset just past the map that begins at `at`.
///
/// # Errors
/// Where it has no end.
pub(crate) fn end_of_map(json: &[u8], at: usize) -> Result<usize, OutlineError> {
    let mut scan = Scan { json, at };
    scan.nested()?;
    Ok(scan.at)
}

/// Where in the bytes something else stands than JSON has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no JSON at byte {0}")]
pub struct OutlineError(usize);

/// A walk through JSON.
struct Scan<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn space(&mut self) {
        while matches!(self.json.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), OutlineError> {
        self.space();
        if self.json.get(self.at) != Some(&byte) {
            return Err(OutlineError(self.at));
        }
        self.at += 1;
        Ok(())
    }

    /// Enters a map or a list; whether there is anything in it.
    fn begin(&mut self, end: u8) -> bool {
        self.at += 1;
        self.space();
        let empty = self.json.get(self.at) == Some(&end);
        self.at += usize::from(empty);
        !empty
    }

    /// Whether another member or item follows.
    fn goes_on(&mut self, end: u8) -> Result<bool, OutlineError> {
        self.space();
        match self.json.get(self.at) {
            Some(b',') => {
                self.at += 1;
                self.space();
                Ok(true)
            }
            Some(byte) if *byte == end => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(OutlineError(self.at)),
        }
    }

    /// Passes over a text: it with its quotes.
    fn string(&mut self) -> Result<&'a [u8], OutlineError> {
        let start = self.at;
        if self.json.get(start) != Some(&b'"') {
            return Err(OutlineError(start));
        }
        let mut at = start + 1;
        loop {
            let rest = self.json.get(at..).unwrap_or_default();
            let found = memchr::memchr2(b'"', b'\\', rest).ok_or(OutlineError(at))?;
            if rest[found] == b'"' {
                self.at = at + found + 1;
                return Ok(&self.json[start..self.at]);
            }
            at += found + 2;
        }
    }

    /// Passes over a value.
    fn value(&mut self) -> Result<&'a [u8], OutlineError> {
        self.space();
        let start = self.at;
        match self.json.get(start) {
            Some(b'"') => return self.string(),
            Some(b'{' | b'[') => self.nested()?,
            _ => {
                let rest = &self.json[start.min(self.json.len())..];
                let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t' | b':' | b'"');
                self.at += rest.iter().position(ends).unwrap_or(rest.len());
                if self.at == start {
                    return Err(OutlineError(start));
                }
            }
        }
        Ok(&self.json[start..self.at])
    }

    /// Passes over a map or a list by its brackets.
    fn nested(&mut self) -> Result<(), OutlineError> {
        let mut depth = 0_usize;
        while let Some(byte) = self.json.get(self.at) {
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return Ok(());
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        Err(OutlineError(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
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
    fn the_end_of_a_map_is_behind_texts_that_hold_braces() {
        let check = |json: &str, end| assert_eq!(end_of_map(json.as_bytes(), 0), end, "{json}");
        check("{}", Ok(2));
        check(r#"{"a":{"b":"}\"}"}},"c""#, Ok(18));
        check(r#"{"name":"a"},"data":{}}"#, Ok(12));
        check(r#"{"a":{}"#, Err(OutlineError(7)));
    }

    #[test]
    fn what_is_broken_is_told() {
        let nothing = Outline::default();
        for broken in [
            "",
            "{",
            r#"{"a":}"#,
            r#"{"a":1}x"#,
            "[1,]",
            r#"{"a"}"#,
            r#"{"a":"b}"#,
            r#"{"a":[}"#,
            r#"{"a":1 2}"#,
            "\"\\",
        ] {
            assert!(nothing.read(broken.as_bytes()).is_err(), "{broken}");
        }
        assert!(nothing.has(&[]) && !nothing.has(&["a"]) && Outline::Whole.has(&["a", "b"]));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-c\"\\\\{}\\[\\],:\n\u{e9}]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ab\"\\\\]{1,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// What the outline leaves of a value.
    fn left(outline: &Outline, value: &Value) -> Value {
        match (outline, value) {
            (Outline::Whole, value) => value.clone(),
            (Outline::Names, Value::Object(map)) => map.keys().map(|name| (name.clone(), Value::Null)).collect(),
            (Outline::Names, Value::Array(list)) => Value::Array(vec![Value::Null; list.len()]),
            (Outline::Members(members), Value::Object(map)) => {
                let kept = map.iter().filter_map(|(name, value)| Some((name.clone(), left(members.get(name)?, value))));
                Value::Object(kept.collect())
            }
            (Outline::Members(_), Value::Array(_)) => json!([]),
            _ => Value::Null,
        }
    }

    proptest! {
        #[test]
        fn a_part_is_what_is_left_of_the_whole(
            value in value(),
            paths in prop::collection::vec((prop::collection::vec("[ab\"\\\\]{1,2}", 0..3), any::<bool>()), 0..4),
            spaced in any::<bool>(),
        ) {
            let mut outline = Outline::default();
            for (path, names) in &paths {
                outline.add(path.iter().map(String::as_str), if *names { Outline::Names } else { Outline::Whole });
            }
            let json = if spaced { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.expect("JSON");
            prop_assert_eq!(outline.read(&json), Ok(left(&outline, &value)));
        }
    }
}
