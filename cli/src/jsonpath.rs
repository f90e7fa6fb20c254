//! kubectl's JSONPath templates (k8s.io/client-go/util/jsonpath): text, fields, indexes, slices, wildcards, filters by one
//! comparison, recursive descent, and `range`.

use anyhow::{Context, bail};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    Path(Vec<Step>),
    Range(Vec<Step>, Vec<Node>),
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// `$`: begins at the whole, not at the element of a range.
    Root,
    Field(String),
    Every,
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    Descend,
    /// A path from the element; what it is compared with, if with anything.
    Filter(Vec<Step>, Option<(String, Value)>),
}

/// A template that can be printed.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Vec<Node>);

impl Template {
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut parts = pieces(text)?.into_iter();
        let nodes = nodes(&mut parts, false)?;
        Ok(Self(nodes))
    }

    /// The template filled with the values of an object.
    pub fn print(&self, value: &Value) -> String {
        let mut out = String::new();
        print(&self.0, value, value, &mut out);
        out
    }
}

enum Piece {
    Text(String),
    Inside(String),
}

/// Text, and what stands in braces outside of quotes.
fn pieces(text: &str) -> anyhow::Result<Vec<Piece>> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        if at > 0 {
            all.push(Piece::Text(rest[..at].to_owned()));
        }
        let inside = &rest[at + 1..];
        let (mut quote, mut end) = (None, None);
        for (index, c) in inside.char_indices() {
            match (quote, c) {
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), c) if c == open => quote = None,
                (None, '}') => {
                    end = Some(index);
                    break;
                }
                _ => {}
            }
        }
        let end = end.with_context(|| format!("unclosed action in {text:?}"))?;
        all.push(Piece::Inside(inside[..end].trim().to_owned()));
        rest = &inside[end + 1..];
    }
    if !rest.is_empty() {
        all.push(Piece::Text(rest.to_owned()));
    }
    Ok(all)
}

fn nodes(pieces: &mut impl Iterator<Item = Piece>, in_range: bool) -> anyhow::Result<Vec<Node>> {
    let mut all = Vec::new();
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Text(text) => all.push(Node::Text(text)),
            Piece::Inside(text) if text == "end" && in_range => return Ok(all),
            Piece::Inside(text) if text == "end" => bail!("not in range, nothing to end"),
            Piece::Inside(text) => {
                if let Some(path) = text.strip_prefix("range ") {
                    let steps = steps(path.trim())?;
                    all.push(Node::Range(steps, nodes(pieces, true)?));
                } else if text.starts_with(['"', '\'']) {
                    all.push(Node::Text(literal(&text)?));
                } else {
                    all.push(Node::Path(steps(&text)?));
                }
            }
        }
    }
    if in_range { bail!("a range without its {{end}}") } else { Ok(all) }
}

/// A quoted text with Go's escapes.
fn literal(text: &str) -> anyhow::Result<String> {
    let quote = text.chars().next().unwrap_or('"');
    let inner = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let inner = inner.with_context(|| format!("unterminated quoted string {text}"))?;
    let mut out = String::new();
    let mut letters = inner.chars();
    while let Some(c) = letters.next() {
        match (c, if c == '\\' { letters.next() } else { None }) {
            (_, Some('n')) => out.push('\n'),
            (_, Some('t')) => out.push('\t'),
            (_, Some('r')) => out.push('\r'),
            (_, Some(other)) => out.push(other),
            (c, None) => out.push(c),
        }
    }
    Ok(out)
}

fn steps(path: &str) -> anyhow::Result<Vec<Step>> {
    let mut all = Vec::new();
    if path.starts_with('$') {
        all.push(Step::Root);
    }
    let mut rest = path.strip_prefix(['$', '@']).unwrap_or(path);
    while let Some(first) = rest.chars().next() {
        if first == '[' {
            let end = closing(rest).with_context(|| format!("unterminated array in {path:?}"))?;
            all.push(bracket(rest[1..end].trim())?);
            rest = &rest[end + 1..];
            continue;
        }
        if let Some(after) = rest.strip_prefix("..") {
            all.push(Step::Descend);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('.') {
            rest = after;
        }
        // A dot in a field's name is escaped: `metadata.labels.app\.kubernetes\.io/name`.
        let (mut name, mut used) = (String::new(), 0);
        let mut letters = rest.char_indices().peekable();
        while let Some((at, c)) = letters.next() {
            match c {
                '\\' => {
                    if let Some((at, c)) = letters.next() {
                        name.push(c);
                        used = at + c.len_utf8();
                    }
                }
                '.' | '[' => break,
                c => {
                    name.push(c);
                    used = at + c.len_utf8();
                }
            }
        }
        rest = &rest[used..];
        match name.as_str() {
            "" if rest.is_empty() || rest.starts_with(['[', '.']) => {}
            "" => bail!("unexpected {rest:?} in {path:?}"),
            "*" => all.push(Step::Every),
            _ => all.push(Step::Field(name)),
        }
    }
    Ok(all)
}

/// The place of the bracket that closes the first one, quotes passed over.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn bracket(inside: &str) -> anyhow::Result<Step> {
    if inside == "*" {
        return Ok(Step::Every);
    }
    if inside.starts_with(['"', '\'']) {
        return Ok(Step::Field(literal(inside)?));
    }
    if let Some(filter) = inside.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        return comparison(filter);
    }
    let number = |text: &str| -> anyhow::Result<Option<i64>> {
        if text.is_empty() {
            return Ok(None);
        }
        text.trim().parse().map(Some).with_context(|| format!("invalid array index {inside}"))
    };
    match inside.split_once(':') {
        Some((from, to)) => Ok(Step::Slice(number(from)?, number(to)?)),
        None => Ok(Step::Index(number(inside)?.with_context(|| "an index is missing between [ and ]".to_owned())?)),
    }
}

fn comparison(filter: &str) -> anyhow::Result<Step> {
    for operator in ["==", "!=", "<=", ">=", "<", ">"] {
        if let Some((left, right)) = filter.split_once(operator) {
            let right = right.trim();
            let value = match right.starts_with(['"', '\'']) {
                true => Value::String(literal(right)?),
                false => serde_json::from_str(right).with_context(|| format!("cannot compare with {right}"))?,
            };
            return Ok(Step::Filter(steps(left.trim())?, Some((operator.to_owned(), value))));
        }
    }
    Ok(Step::Filter(steps(filter.trim())?, None))
}

fn print(nodes: &[Node], root: &Value, here: &Value, out: &mut String) {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Path(steps) => {
                let texts: Vec<String> = walk(steps, root, here).into_iter().map(shown).collect();
                out.push_str(&texts.join(" "));
            }
            Node::Range(steps, inside) => {
                for one in walk(steps, root, here) {
                    print(inside, root, one, out);
                }
            }
        }
    }
}

/// As kubectl prints a value: texts bare, all else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn walk<'a>(steps: &[Step], root: &'a Value, from: &'a Value) -> Vec<&'a Value> {
    let mut here = vec![from];
    for step in steps {
        here = here.into_iter().flat_map(|value| take(step, root, value)).collect();
    }
    here
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

fn take<'a>(step: &Step, root: &'a Value, value: &'a Value) -> Vec<&'a Value> {
    let list = || value.as_array().map(Vec::as_slice).unwrap_or_default();
    let place = |index: i64| {
        let length = i64::try_from(list().len()).unwrap_or(i64::MAX);
        usize::try_from(if index < 0 { length.saturating_add(index) } else { index }).ok()
    };
    match step {
        Step::Root => vec![root],
        Step::Field(name) => value.get(name).into_iter().collect(),
        Step::Every => children(value),
        Step::Index(index) => place(*index).and_then(|at| list().get(at)).into_iter().collect(),
        Step::Slice(from, to) => {
            let end = to.map_or(Some(list().len()), place).unwrap_or(0).min(list().len());
            let start = from.map_or(Some(0), place).unwrap_or(0).min(end);
            list()[start..end].iter().collect()
        }
        Step::Descend => {
            let (mut all, mut left) = (Vec::new(), vec![value]);
            while let Some(one) = left.pop() {
                all.push(one);
                left.extend(children(one).into_iter().rev());
            }
            all
        }
        Step::Filter(path, wanted) => {
            let keeps = |one: &&Value| match (walk(path, root, one).first(), wanted) {
                (found, None) => found.is_some(),
                (None, Some(_)) => false,
                (Some(found), Some((operator, wanted))) => compare(found, operator, wanted),
            };
            children(value).into_iter().filter(keeps).collect()
        }
    }
}

fn compare(found: &Value, operator: &str, wanted: &Value) -> bool {
    let order = match (found, wanted) {
        (Value::String(found), Value::String(wanted)) => Some(found.cmp(wanted)),
        _ => found.as_f64().zip(wanted.as_f64()).and_then(|(found, wanted)| found.partial_cmp(&wanted)),
    };
    match operator {
        "==" => found == wanted || order.is_some_and(|order| order.is_eq()),
        "!=" => found != wanted && !order.is_some_and(|order| order.is_eq()),
        "<" => order.is_some_and(|order| order.is_lt()),
        ">" => order.is_some_and(|order| order.is_gt()),
        "<=" => order.is_some_and(|order| order.is_le()),
        _ => order.is_some_and(|order| order.is_ge()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_are_filled() {
        let list = json!({"kind": "List", "items": [
            {"metadata": {"name": "a", "labels": {"app.io/x": "1"}}, "status": {"phase": "Running", "n": 3, "ips": ["1", "2"]}},
            {"metadata": {"name": "b"}, "status": {"phase": "Pending", "n": 5, "ready": true}},
        ]});
        let check = |template: &str, expected: &str| {
            let got = Template::parse(template).expect(template).print(&list);
            assert_eq!(got, expected, "{template}");
        };
        check("{.kind}", "List");
        check("{$.kind}", "List");
        check("{.items[*].metadata.name}", "a b");
        check("{.items[0].metadata.name}{.items[-1].metadata.name}", "ab");
        check("{.items[0:1].metadata.name}", "a");
        check("{.items[5].metadata.name}", "");
        check("{range .items[*]}{.metadata.name}{\"\\t\"}{.status.phase}{\"\\n\"}{end}", "a\tRunning\nb\tPending\n");
        check("{.items[?(@.status.phase==\"Running\")].metadata.name}", "a");
        check("{.items[?(@.status.n>=4)].metadata.name}", "b");
        check("{.items[?(@.status.ready)].metadata.name}", "b");
        check("{.items[0].metadata.labels.app\\.io/x}", "1");
        check("{.items[0].metadata.labels['app.io/x']}", "1");
        check("{.items[0].status.ips}", "[\"1\",\"2\"]");
        check("{..name}", "a b");
        check("{range .items[*]}{$.kind}{.metadata.name} {end}", "Lista Listb ");
        check("names: {.items[*].status.n}!", "names: 3 5!");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |template: &str, part: &str| {
            let error = format!("{:#}", Template::parse(template).expect_err(template));
            assert!(error.contains(part), "{template}: {error}");
        };
        check("{.a", "unclosed action");
        check("{end}", "nothing to end");
        check("{range .a}x", "{end}");
        check("{.a[x]}", "invalid array index");
        check("{.a[1}", "unterminated array");
        check("{\"x}", "unclosed action");
    }
}
