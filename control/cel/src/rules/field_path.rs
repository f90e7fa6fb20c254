//! `fieldPath`: where the error of a rule is told, as a path of properties and keys below the rule's place.

use serde_json::Value as Json;

/// The path in the form of errors, if it leads to something that the schema has: `.a['b-c'].d`.
pub(super) fn resolve(path: &str, schema: &Json) -> Result<String, String> {
    let (mut rest, mut at) = (path, schema);
    let mut out = String::new();
    if rest.is_empty() {
        return Err("does not refer to a valid field".into());
    }
    while !rest.is_empty() {
        let (name, after) = match rest.strip_prefix('.') {
            Some(after) => {
                let end = after.find(['.', '[', ']']).unwrap_or(after.len());
                if end == 0 {
                    return Err("unexpected end of JSON path".into());
                }
                (after[..end].to_owned(), &after[end..])
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
    Ok(out)
}

/// A name in brackets and quotes, and what follows it.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let Some(inner) = text.strip_prefix('[') else {
        return Err(format!("expected [ or . but got: {text}"));
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
