//! Rust source as far as tidy looks at it: text without comments and literals, functions, public items, paths.

/// The text before its tests.
pub fn without_tests(text: &str) -> &str {
    ["\n#[cfg(test)]\nmod tests {", "\n#[cfg(all(test"]
        .iter()
        .fold(text, |text, mark| text.split(mark).next().unwrap_or_default())
}

/// The text with comments, strings and characters blanked out; lines and columns stay.
pub fn blanked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    let blank =
        |out: &mut Vec<u8>, part: &[u8]| out.extend(part.iter().map(|b| if *b == b'\n' { b'\n' } else { b' ' }));
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = match rest {
            [b'/', b'/', ..] => at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
            [b'/', b'*', ..] => at + block_comment(rest),
            [b'r', b'"' | b'#', ..] if !in_word(bytes, at) => match raw_string(rest) {
                Some(length) => at + length,
                None => at,
            },
            [b'"', ..] => at + string(rest),
            [b'\'', b'\\', ..] => at + 2 + rest[2..].iter().skip(1).position(|b| *b == b'\'').map_or(1, |end| end + 2),
            [b'\'', ..] => {
                // A lifetime has no second quote right after its first character.
                let width = text[at + 1..].chars().next().map_or(1, char::len_utf8);
                if rest.get(1 + width) == Some(&b'\'') { at + width + 2 } else { at }
            }
            _ => at,
        };
        if end > at {
            let end = end.min(bytes.len());
            blank(&mut out, &bytes[at..end]);
            at = end;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn in_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|b| **b == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let end: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = 2 + hashes;
    let found = rest[body..].windows(end.len()).position(|window| window == end);
    Some(found.map_or(rest.len(), |at| body + at + end.len()))
}

fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// A function of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Function<'a> {
    pub name: &'a str,
    pub public: bool,
    /// From `fn` to the closing brace; 0 without a body.
    pub lines: usize,
    /// Its parameters whose type is `bool`.
    pub booleans: usize,
}

/// The functions of a blanked text.
pub fn functions(text: &str) -> Vec<Function<'_>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("fn ") {
        let bytes = text.as_bytes();
        if in_word(bytes, at) {
            continue;
        }
        let name = word(&text[at + 3..]);
        if name.is_empty() {
            continue;
        }
        let head = at + 3 + name.len();
        let Some(parameters) = parameters(&text[head..]) else { continue };
        let after = head + parameters.end;
        let body = text[after..].find(['{', ';']).map(|found| after + found);
        let lines = match body {
            Some(open) if bytes[open] == b'{' => text[at..open + braces(&text[open..])].lines().count(),
            _ => 0,
        };
        let line = &text[text[..at].rfind('\n').map_or(0, |end| end + 1)..at];
        let booleans = text[head..][parameters].split(',').filter(|one| {
            let of = one.split_once(':').map(|(_, of)| of.trim().trim_end_matches([')', ' ', '\n']));
            of == Some("bool")
        });
        let public = line.trim_start().starts_with("pub ");
        found.push(Function { name, public, lines, booleans: booleans.count() });
    }
    found
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The range of `(...)`, after the generics.
fn parameters(text: &str) -> Option<std::ops::Range<usize>> {
    let mut angles = 0_i32;
    let mut previous = ' ';
    let open = text.char_indices().find_map(|(at, c)| {
        match c {
            '<' => angles += 1,
            '>' if previous != '-' => angles -= 1,
            '(' if angles == 0 => return Some(at),
            _ => {}
        }
        previous = c;
        None
    })?;
    let mut depth = 0_i32;
    for (at, c) in text[open..].char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(open..open + at + 1);
        }
    }
    None
}

/// The length of `{...}`.
fn braces(text: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

/// Lines (from 1) of public items and fields without a doc comment. `original` is the text that was blanked.
pub fn undocumented(original: &str, blanked: &str) -> Vec<usize> {
    let original: Vec<&str> = original.lines().collect();
    let mut found = Vec::new();
    for (at, line) in blanked.lines().enumerate() {
        let Some(item) = line.trim_start().strip_prefix("pub ") else { continue };
        if item.starts_with("use ") || item.starts_with("mod ") || item.starts_with("extern ") {
            continue;
        }
        // Upwards over attributes, which may take several lines.
        let mut above = at;
        let documented = loop {
            if above == 0 {
                break false;
            }
            above -= 1;
            let line = original[above].trim();
            if line.starts_with("///") || line.starts_with("#[doc") || line.ends_with("*/") {
                break true;
            }
            if !line.ends_with(']') || line.contains(';') {
                break false;
            }
            while above > 0 && !original[above].trim_start().starts_with("#[") {
                above -= 1;
            }
        };
        if !documented {
            found.push(at + 1);
        }
    }
    found
}

/// The paths within its own crate that a blanked text names, each as segments: `crate::a::{b, c::d}` is `a, b` and
/// `a, c, d`. `super` and `self` are resolved against `module`, the segments of the file's own module.
pub fn own_paths(text: &str, module: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in text.match_indices(root) {
            if in_word(text.as_bytes(), at) || text[..at].ends_with("::") {
                continue;
            }
            let mut rest = &text[at..];
            let mut base = if root == "super::" { module.to_vec() } else { Vec::new() };
            while let Some(tail) = rest.strip_prefix(root) {
                base.pop();
                rest = tail;
            }
            expand(rest, &base, &mut found);
        }
    }
    found
}

/// The paths that begin with `base` and go on as `text` says.
fn expand(text: &str, base: &[String], out: &mut Vec<Vec<String>>) {
    let mut path = base.to_vec();
    let mut rest = text;
    loop {
        let name = word(rest);
        if !name.is_empty() {
            path.push(name.to_owned());
            rest = &rest[name.len()..];
            match rest.strip_prefix("::") {
                Some(tail) => rest = tail,
                None => break,
            }
            continue;
        }
        if rest.starts_with('{') {
            let inside = &rest[1..braces(rest).saturating_sub(1).max(1)];
            let (mut depth, mut start) = (0_i32, 0);
            for (at, c) in inside.char_indices().chain([(inside.len(), ',')]) {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        let item = inside[start..at].trim();
                        if !item.is_empty() {
                            expand(item, &path, out);
                        }
                        start = at + 1;
                    }
                    _ => {}
                }
            }
            return;
        }
        break;
    }
    out.push(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        let check = |text: &str, kept: &str| {
            let blanked = blanked(text);
            assert_eq!(blanked.len(), text.len(), "{text}");
            assert_eq!(blanked.split_whitespace().collect::<Vec<_>>().join(" "), kept, "{text}");
        };
        check("a // {\nb", "a b");
        check("a /* { /* } */ */ b", "a b");
        check(r#"a "{\"" b"#, "a b");
        check(r##"a r#"{"}"# b"##, "a b");
        check("a '{' b<'c> '\\'' d", "a b<'c> d");
        check("for r in x", "for r in x");
    }

    #[test]
    fn functions_have_their_length_and_booleans() {
        let text = "impl A {\n    pub fn a<F: Fn(u8) -> bool>(&self, on: bool, f: F) -> bool {\n        f(1)\n    }\n}\nfn b();\n";
        let found: Vec<_> =
            functions(text).into_iter().map(|one| (one.name, one.public, one.lines, one.booleans)).collect();
        assert_eq!(found, [("a", true, 3, 1), ("b", false, 0, 0)]);
    }

    #[test]
    fn public_items_without_a_comment_are_found() {
        let text = "/// A.\n#[derive(Debug)]\npub struct A {\n    pub a: u8,\n    /// B.\n    pub b: u8,\n}\npub use x;\npub fn c() {}\npub(crate) fn d() {}\n/// E.\n#[error(\n    \"{}\",\n    a\n)]\npub struct E;\n";
        assert_eq!(undocumented(text, &blanked(text)), [4, 9]);
    }

    #[test]
    fn paths_of_the_crate_are_found() {
        let module = ["a".to_owned(), "b".to_owned()];
        let check = |text: &str, expected: &[&str]| {
            let found: Vec<String> = own_paths(text, &module).iter().map(|path| path.join("::")).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("use crate::x::Y;", &["x::Y"]);
        check("use crate::{x::{self, Y}, z};", &["x::self", "x::Y", "z"]);
        check("super::c::D::new()", &["a::c::D::new"]);
        check("super::super::c::D", &["c::D"]);
        check("use other::crate_::x; sampan::x", &[]);
    }
}
