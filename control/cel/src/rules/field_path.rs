//! `fieldPath`: where the error of a rule is told, as a path of properties and keys below the rule's place; and paths of
//! fields that are selected by (apiextensions-apiserver's `ValidFieldPath`).

use serde_json::Value as Json;

/// The path in the form of errors, if it leads to something that the schema has: `.a['b-c'].d`.
pub(super) fn resolve(path: &str, schema: &Json) -> Result<String, String> {
    walk(path, schema, Brackets::Allowed).map(|(found, _)| found)
}

/// The field that a path without brackets leads to: the path in the form of errors, and the field's schema.
///
/// # Errors
/// Why it leads to none.
pub fn find<'s>(path: &str, schema: &'s Json) -> Result<(String, &'s Json), String> {
    walk(path, schema, Brackets::Refused)
}

/// Whether names may stand in brackets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Brackets {
    Allowed,
    Refused,
}

fn walk<'s>(path: &str, schema: &'s Json, brackets: Brackets) -> Result<(String, &'s Json), String> {
    let (mut rest, mut at) = (path, schema);
    let mut out = String::new();
    if rest.is_empty() {
        return Err("does not refer to a valid field".into());
    }
    while !rest.is_empty() {
        let (name, after) = match rest.strip_prefix('.') {
            Some("") => return Err("unexpected end of JSON path".into()),
            Some(after) => {
                let (name, after) = after.split_at(token(after));
                (name.to_owned(), after)
            }
            None if brackets == Brackets::Refused && rest.starts_with('[') => {
                return Err("array notation is not allowed".into());
            }
            None => quoted(rest)?,
        };
        let named = at["properties"].is_object();
        if !named && !at["additionalProperties"].is_object() {
            return Err("does not refer to a valid field".into());
        }
        if named {
            at = at["properties"].get(&name).ok_or("does not refer to a valid field")?;
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(&name);
        } else {
            at = &at["additionalProperties"];
            out.push_str(&format!("[{name}]"));
        }
        rest = after;
    }
    Ok((out, at))
}

/// Length of the first token, bytes: a delimiter, or what stands before one.
fn token(text: &str) -> usize {
    text.find(['.', '[', ']']).map_or(text.len(), |at| at.max(1))
}

/// A name in brackets and quotes, and what follows it.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let Some(inner) = text.strip_prefix('[') else {
        return Err(format!("expected [ or . but got: {}", &text[..token(text)]));
    };
    let Some(inner) = inner.strip_prefix('\'') else {
        return Err(format!("expected single quoted string but got {inner}"));
    };
    let (mut name, mut chars) = (String::new(), inner.char_indices());
    loop {
        match chars.next() {
            Some((at, '\'')) => {
                let after = inner[at + 1..].strip_prefix(']');
                return after.map(|after| (name, after)).ok_or_else(|| "expected ]".into());
            }
            Some((_, '\\')) => match chars.next() {
                Some((_, char)) => name.push(unescaped(char).ok_or("invalid string literal: invalid escape char")?),
                None => return Err("unexpected end of JSON path".into()),
            },
            Some((_, char)) => name.push(char),
            None => return Err("unexpected end of JSON path".into()),
        }
    }
}

fn unescaped(char: char) -> Option<char> {
    Some(match char {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\'' | '\\' => char,
        _ => return None,
    })
}
