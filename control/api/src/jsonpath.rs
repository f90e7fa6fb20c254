//! JSONPath as client-go reads it (`util/jsonpath`), without the templates around it: fields, indexes, slices, wildcards,
//! filters of lists by one comparison, and fields at any depth.

use crate::limits::{JSONPATH_FILTERS_MAX, JSONPATH_VISITS_MAX};
use serde_json::Value;

/// A path from an object to values in it.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// `$`: the whole, where the path goes on from a part of it.
    Root,
    Field(String),
    /// `[*]`, `.*`.
    All,
    /// Negative: from the end.
    Index(i64),
    /// `[a:b:c]`.
    Slice(Option<i64>, Option<i64>, i64),
    /// `..name`.
    Anywhere(String),
    /// `[?(@.a=="x")]`
    Filter(Vec<Step>, Option<(Comparison, Operand)>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Value(Value),
    Path(Vec<Step>),
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PathError(String);

impl JsonPath {
    /// Reads `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status` and the like.
    ///
    /// # Errors
    /// Where it is not written so.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let mut parser = Parser { rest: text, filters: 0 };
        let steps = parser.steps(true)?;
        if parser.rest.is_empty() {
            Ok(Self(steps))
        } else {
            Err(PathError(format!("unrecognized: {:?}", parser.rest)))
        }
    }

    /// The names of the fields, where it consists of nothing else.
    pub fn fields(&self) -> Option<Vec<&str>> {
        fn name(step: &Step) -> Option<&str> {
            match step {
                Step::Field(name) => Some(name),
                _ => None,
            }
        }
        self.0.iter().filter(|step| !matches!(step, Step::Root)).map(name).collect()
    }

    /// The values that the path leads to. Looking ends after [`JSONPATH_VISITS_MAX`] values, with what was found.
    pub fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        self.find_from(value, value)
    }

    /// As [`JsonPath::find`], from a part of `root`.
    pub fn find_from<'v>(&self, root: &'v Value, from: &'v Value) -> Vec<&'v Value> {
        Walk { root, visits: JSONPATH_VISITS_MAX }.steps(&self.0, vec![from])
    }
}

/// A look for values.
struct Walk<'v> {
    root: &'v Value,
    /// Values that may still be looked at: steps to any depth, one after the other, look at the same ones again and again.
    visits: usize,
}

impl<'v> Walk<'v> {
    fn steps(&mut self, steps: &[Step], from: Vec<&'v Value>) -> Vec<&'v Value> {
        steps.iter().fold(from, |values, step| values.into_iter().flat_map(|value| self.step(step, value)).collect())
    }

    /// Counts a value; false: it is one too many.
    fn visits(&mut self) -> bool {
        self.visits = self.visits.saturating_sub(1);
        self.visits > 0
    }

    fn step(&mut self, step: &Step, value: &'v Value) -> Vec<&'v Value> {
        if !self.visits() {
            return Vec::new();
        }
        let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let at = |index: i64| {
            let len = i64::try_from(list.len()).unwrap_or(i64::MAX);
            usize::try_from(if index < 0 { index.saturating_add(len) } else { index }).ok()
        };
        match step {
            Step::Root => vec![self.root],
            Step::Field(name) => value.get(name.as_str()).into_iter().collect(),
            Step::All => match value {
                Value::Array(list) => list.iter().collect(),
                Value::Object(map) => map.values().collect(),
                _ => Vec::new(),
            },
            Step::Index(index) => at(*index).and_then(|at| list.get(at)).into_iter().collect(),
            Step::Slice(start, end, step) => {
                let bound = |index: Option<i64>, or: usize| index.map_or(Some(or), at).unwrap_or(0).min(list.len());
                let (start, end) = (bound(*start, 0), bound(*end, list.len()));
                let step = usize::try_from(*step).unwrap_or(1).max(1);
                list.get(start..end.max(start)).unwrap_or_default().iter().step_by(step).collect()
            }
            Step::Anywhere(name) => {
                let mut found = Vec::new();
                self.anywhere(name, value, &mut found);
                found
            }
            Step::Filter(left, right) => {
                list.iter().filter(|element| self.holds(left, right.as_ref(), element)).collect()
            }
        }
    }

    fn anywhere(&mut self, name: &str, value: &'v Value, found: &mut Vec<&'v Value>) {
        if !self.visits() {
            return;
        }
        match value {
            Value::Object(map) => {
                for (key, inner) in map {
                    if key == name {
                        found.push(inner);
                    }
                    self.anywhere(name, inner, found);
                }
            }
            Value::Array(list) => list.iter().for_each(|inner| self.anywhere(name, inner, found)),
            _ => {}
        }
    }

    fn holds(&mut self, left: &[Step], right: Option<&(Comparison, Operand)>, element: &'v Value) -> bool {
        let found = self.steps(left, vec![element]);
        let Some((comparison, operand)) = right else { return !found.is_empty() };
        match operand {
            Operand::Value(value) => found.first().is_some_and(|one| comparison.holds(one, value)),
            Operand::Path(path) => {
                let other = self.steps(path, vec![element]);
                found.first().zip(other.first()).is_some_and(|(one, other)| comparison.holds(one, other))
            }
        }
    }
}

impl Comparison {
    fn holds(self, a: &Value, b: &Value) -> bool {
        let order = match (a, b) {
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            _ => None,
        };
        order.is_some_and(|order| match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        })
    }
}

struct Parser<'t> {
    rest: &'t str,
    /// Filters that the place is within.
    filters: usize,
}

impl Parser<'_> {
    fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn fail<T>(&self, why: &str) -> Result<T, PathError> {
        Err(PathError(format!("{why} at {:?}", self.rest)))
    }

    /// Steps up to something that is none. `whole`: a path of its own may begin without a dot.
    fn steps(&mut self, whole: bool) -> Result<Vec<Step>, PathError> {
        let mut steps = Vec::new();
        if whole && !self.rest.starts_with(['.', '[', '$', '@']) {
            return self.fail("a path begins with a dot");
        }
        if self.take("$") {
            steps.push(Step::Root);
        } else {
            self.take("@");
        }
        let begins = steps.len();
        loop {
            if self.take("..") {
                steps.push(Step::Anywhere(self.name()?));
            } else if self.take(".") {
                if self.rest.is_empty() && steps.len() == begins {
                    return Ok(steps);
                }
                if self.take("*") {
                    steps.push(Step::All);
                } else if !self.rest.starts_with('[') {
                    steps.push(Step::Field(self.name()?));
                }
            } else if self.take("[") {
                steps.push(self.bracket()?);
            } else {
                return Ok(steps);
            }
        }
    }

    fn name(&mut self) -> Result<String, PathError> {
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => name.extend(chars.next().map(|(_, c)| c)),
                '.' | '[' | ']' | ')' | ' ' | '=' | '!' | '<' | '>' | '{' | '}' | '(' | '\'' | '"' => {
                    end = at;
                    break;
                }
                c => name.push(c),
            }
        }
        self.rest = &self.rest[end..];
        if name.is_empty() { self.fail("a name is missing") } else { Ok(name) }
    }

    fn bracket(&mut self) -> Result<Step, PathError> {
        let step = if self.take("?(") {
            self.filters += 1;
            if self.filters > JSONPATH_FILTERS_MAX {
                return self.fail("too many filters within each other");
            }
            let step = self.filter()?;
            self.filters -= 1;
            if !self.take(")") {
                return self.fail("unterminated filter");
            }
            step
        } else if self.take("*") {
            Step::All
        } else if self.rest.starts_with(['\'', '"']) {
            Step::Field(self.quoted()?)
        } else {
            self.index()?
        };
        if self.take("]") { Ok(step) } else { self.fail("unterminated array") }
    }

    fn index(&mut self) -> Result<Step, PathError> {
        let Some(end) = self.rest.find(']') else { return Err(PathError("unterminated array".to_owned())) };
        let (text, rest) = self.rest.split_at(end);
        let parts: Vec<&str> = text.split(':').map(str::trim).collect();
        let number = |text: &str| text.parse::<i64>().map_err(|_| PathError(format!("invalid array index {text}")));
        let optional = |text: &&str| if text.is_empty() { Ok(None) } else { number(text).map(Some) };
        let step = match parts.as_slice() {
            [index] => Step::Index(number(index)?),
            [start, end] => Step::Slice(optional(start)?, optional(end)?, 1),
            [start, end, step] => Step::Slice(optional(start)?, optional(end)?, optional(step)?.unwrap_or(1)),
            _ => return Err(PathError(format!("invalid array index {text}"))),
        };
        self.rest = rest;
        Ok(step)
    }

    fn quoted(&mut self) -> Result<String, PathError> {
        let Some(quote) = self.rest.chars().next() else { return self.fail("a text is missing") };
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => text.extend(chars.next().map(|(_, c)| c)),
                c if c == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        self.fail("unterminated quoted string")
    }

    fn filter(&mut self) -> Result<Step, PathError> {
        self.rest = self.rest.trim_start();
        let left = self.steps(false)?;
        self.rest = self.rest.trim_start();
        const WORDS: [(&str, Comparison); 6] = [
            ("==", Comparison::Equal),
            ("!=", Comparison::Unequal),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let Some((_, comparison)) = WORDS.into_iter().find(|(word, _)| self.take(word)) else {
            return Ok(Step::Filter(left, None));
        };
        self.rest = self.rest.trim_start();
        let operand = match self.rest.chars().next() {
            Some('@' | '.' | '$') => Operand::Path(self.steps(false)?),
            Some('\'' | '"') => Operand::Value(Value::String(self.quoted()?)),
            _ => {
                let end = self.rest.find([')', ' ']).unwrap_or(self.rest.len());
                let (text, rest) = self.rest.split_at(end);
                let value = serde_json::from_str(text).map_err(|_| PathError(format!("unrecognized {text:?}")))?;
                self.rest = rest;
                Operand::Value(value)
            }
        };
        self.rest = self.rest.trim_start();
        Ok(Step::Filter(left, Some((comparison, operand))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_lead_where_they_lead_in_client_go() {
        let object = json!({"metadata": {"labels": {"a.b/c": "x"}}, "spec": {"n": 3, "list": [1, 2, 3]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Old", "status": "False"}]}});
        let check = |path: &str, expected: &[Value]| {
            let parsed = JsonPath::parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
            let found: Vec<Value> = parsed.find(&object).into_iter().cloned().collect();
            assert_eq!(found, expected, "{path}");
        };
        check(".spec.n", &[json!(3)]);
        check(".spec.none.of", &[]);
        check(".spec.list[0]", &[json!(1)]);
        check(".spec.list[-1:]", &[json!(3)]);
        check(".spec.list[*]", &[json!(1), json!(2), json!(3)]);
        check(r".metadata.labels.a\.b/c", &[json!("x")]);
        check(".metadata.labels['a.b/c']", &[json!("x")]);
        check(r#".status.conditions[?(@.type=="Ready")].status"#, &[json!("True")]);
        check(".status.conditions[?(@.type == 'Old')].status", &[json!("False")]);
        check("..type", &[json!("Ready"), json!("Old")]);
        for wrong in ["spec.n", ".spec[", ".spec.list[x]", ".a[?(@.b==]"] {
            assert!(JsonPath::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_looked_at_and_nested_is_bounded() {
        let mut deep = json!(1);
        for _ in 0..100 {
            deep = json!({"a": deep});
        }
        // Ways through it: 100 over 20, if each were gone.
        JsonPath::parse(&"..a".repeat(20)).expect("a path").find(&deep);
        let nested = "[?(@".repeat(100_000);
        let error = JsonPath::parse(&nested).expect_err("too deep").to_string();
        assert!(error.starts_with("too many filters within each other"), "{}", &error[..80]);
    }
}
