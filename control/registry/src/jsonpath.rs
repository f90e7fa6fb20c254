//! The simple JSONPaths of definitions, as client-go reads them: fields, indexes, filters of lists.

use serde_json::Value;
use std::cmp::Ordering;

/// A path from an object to values in it.
#[derive(Clone, Debug)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
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

#[derive(Clone, Copy, Debug)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug)]
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
        let mut parser = Parser { rest: text };
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
        self.0.iter().map(name).collect()
    }

    /// The values that the path leads to.
    pub fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        walk(&self.0, vec![value])
    }
}

fn walk<'v>(steps: &[Step], from: Vec<&'v Value>) -> Vec<&'v Value> {
    steps.iter().fold(from, |values, step| values.into_iter().flat_map(|value| one(step, value)).collect())
}

fn one<'v>(step: &Step, value: &'v Value) -> Vec<&'v Value> {
    let list = || value.as_array().map(Vec::as_slice).unwrap_or_default();
    let at = |index: i64| {
        let len = i64::try_from(list().len()).unwrap_or(i64::MAX);
        usize::try_from(if index < 0 { index + len } else { index }).ok()
    };
    match step {
        Step::Field(name) => value.get(name.as_str()).into_iter().collect(),
        Step::All => match value {
            Value::Array(list) => list.iter().collect(),
            Value::Object(map) => map.values().collect(),
            _ => Vec::new(),
        },
        Step::Index(index) => at(*index).and_then(|at| list().get(at)).into_iter().collect(),
        Step::Slice(start, end, step) => {
            let bound = |index: Option<i64>, or: usize| index.map_or(Some(or), &at).unwrap_or(0).min(list().len());
            let (start, end) = (bound(*start, 0), bound(*end, list().len()));
            let step = usize::try_from(*step).unwrap_or(1).max(1);
            list().get(start..end.max(start)).unwrap_or_default().iter().step_by(step).collect()
        }
        Step::Anywhere(name) => {
            let mut found = Vec::new();
            anywhere(name, value, &mut found);
            found
        }
        Step::Filter(left, right) => list().iter().filter(|element| holds(left, right.as_ref(), element)).collect(),
    }
}

fn anywhere<'v>(name: &str, value: &'v Value, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                if key == name {
                    found.push(inner);
                }
                anywhere(name, inner, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|inner| anywhere(name, inner, found)),
        _ => {}
    }
}

fn holds(left: &[Step], right: Option<&(Comparison, Operand)>, element: &Value) -> bool {
    let found = walk(left, vec![element]);
    let Some((comparison, operand)) = right else { return !found.is_empty() };
    let other = match operand {
        Operand::Value(value) => vec![value],
        Operand::Path(path) => walk(path, vec![element]),
    };
    let (Some(a), Some(b)) = (found.first(), other.first()) else { return false };
    let order = match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    };
    match comparison {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::Unequal => order.is_some_and(Ordering::is_ne),
        Comparison::Less => order.is_some_and(Ordering::is_lt),
        Comparison::LessOrEqual => order.is_some_and(Ordering::is_le),
        Comparison::Greater => order.is_some_and(Ordering::is_gt),
        Comparison::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
    }
}

struct Parser<'t> {
    rest: &'t str,
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
        let _ = self.take("$") || self.take("@");
        loop {
            if self.take("..") {
                steps.push(Step::Anywhere(self.name()?));
            } else if self.take(".") {
                if self.rest.is_empty() && steps.is_empty() {
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
            let step = self.filter()?;
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
        let end = self.rest.find(']').unwrap_or(self.rest.len());
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
            Some('@' | '.') => Operand::Path(self.steps(false)?),
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
}
