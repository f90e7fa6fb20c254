//! kubectl's JSONPath templates (k8s.io/client-go/util/jsonpath): text, paths in braces, and `range`.

use anyhow::{Context, bail};
use sampan_api::jsonpath::JsonPath;
use serde_json::Value;

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    Path(JsonPath),
    Range(JsonPath, Vec<Node>),
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
                    let path = JsonPath::parse(path.trim())?;
                    all.push(Node::Range(path, nodes(pieces, true)?));
                } else if text.starts_with(['"', '\'']) {
                    all.push(Node::Text(literal(&text)?));
                } else {
                    all.push(Node::Path(JsonPath::parse(&text)?));
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

fn print(nodes: &[Node], root: &Value, here: &Value, out: &mut String) {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Path(path) => {
                let texts: Vec<String> = path.find_from(root, here).into_iter().map(shown).collect();
                out.push_str(&texts.join(" "));
            }
            Node::Range(path, inside) => {
                for one in path.find_from(root, here) {
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
