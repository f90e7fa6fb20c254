//! Regular expressions in Go's syntax (RE2), by a linear-time engine.

use crate::limits::REGEX_BYTES_MAX;
use regex::{Regex, RegexBuilder};

/// The compiled form of a pattern in Go's syntax.
///
/// # Errors
/// In the form of Go's: `error parsing regexp: ...`.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    let made = RegexBuilder::new(&translated(pattern)).size_limit(REGEX_BYTES_MAX).build();
    made.map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let (why, part) = in_go_words(last, pattern);
        format!("error parsing regexp: {why}: `{part}`")
    })
}

/// The reason as Go's parser says it, and the part of the pattern that it names.
fn in_go_words<'a>(why: &'a str, pattern: &'a str) -> (&'a str, &'a str) {
    let from = |char: char| pattern.rfind(char).map_or(pattern, |at| &pattern[at..]);
    match why {
        "unclosed character class" => ("missing closing ]", from('[')),
        "unclosed group" => ("missing closing )", pattern),
        "unopened group" => ("unexpected )", pattern),
        "repetition operator missing expression" => {
            ("missing argument to repetition operator", &pattern[..1.min(pattern.len())])
        }
        "unrecognized escape sequence" => ("invalid escape sequence", from('\\')),
        "incomplete escape sequence, reached end of pattern prematurely" => {
            ("trailing backslash at end of expression", "")
        }
        "look-around, including look-ahead and look-behind, is not supported" => {
            let at = pattern.find("(?").unwrap_or(0);
            ("invalid or unsupported Perl syntax", pattern.get(at..at + 3).unwrap_or(pattern))
        }
        other => (other, pattern),
    }
}

/// Go's Perl classes are those of ASCII, and a bracket in a class is a character.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    // Characters since the class began; `None` outside of one.
    let mut class: Option<usize> = None;
    while let Some(char) = chars.next() {
        if let Some(read) = &mut class {
            *read += 1;
        }
        match (char, class) {
            ('\\', _) => escape(chars.next(), class.is_some(), &mut out),
            ('[', None) => {
                out.push('[');
                class = Some(0);
                if chars.peek() == Some(&'^') {
                    chars.next();
                    out.push('^');
                }
                if chars.peek() == Some(&']') {
                    chars.next();
                    out.push_str("\\]");
                }
            }
            ('[', Some(_)) if chars.peek() == Some(&':') => posix(&mut chars, &mut out),
            ('[', Some(_)) => out.push_str("\\["),
            ('&' | '~', Some(_)) => {
                out.push('\\');
                out.push(char);
            }
            (']', Some(_)) => {
                out.push(']');
                class = None;
            }
            _ => out.push(char),
        }
    }
    out
}

/// `[:alpha:]`, which stays as it is; a bracket that begins none is a character.
fn posix(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    let ahead: String = chars.clone().take_while(|char| *char != ']').collect();
    if ahead.len() > 2
        && ahead.ends_with(':')
        && ahead[1..ahead.len() - 1].chars().all(|c| c.is_ascii_lowercase() || c == '^')
    {
        out.push('[');
        for _ in 0..=ahead.chars().count() {
            out.extend(chars.next());
        }
    } else {
        out.push_str("\\[");
    }
}

fn escape(char: Option<char>, in_class: bool, out: &mut String) {
    let text = match (char, in_class) {
        (Some('d'), true) => "0-9",
        (Some('d'), false) => "[0-9]",
        (Some('D'), _) => "[^0-9]",
        (Some('w'), true) => "0-9A-Za-z_",
        (Some('w'), false) => "[0-9A-Za-z_]",
        (Some('W'), _) => "[^0-9A-Za-z_]",
        (Some('s'), true) => "\\t\\n\\f\\r ",
        (Some('s'), false) => "[\\t\\n\\f\\r ]",
        (Some('S'), _) => "[^\\t\\n\\f\\r ]",
        (Some('b'), false) => "(?-u:\\b)",
        (Some('B'), false) => {
            // Without `u` it could match inside a character, which the engine refuses.
            "\\B"
        }
        (Some(other), _) => {
            out.push('\\');
            out.push(other);
            return;
        }
        (None, _) => "\\",
    };
    out.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn patterns_are_read_as_go_reads_them() {
        let check = |pattern: &str, text: &str, expected: bool| {
            let made = compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(made.is_match(text), expected, "{pattern} {text}");
        };
        check("^\\d+$", "١", false);
        check("^\\d+$", "12", true);
        check("^[\\w.]+$", "a.b_1", true);
        check("^[[]$", "[", true);
        check("^[]a]$", "]", true);
        check("^[a&&b]+$", "&a", true);
        check("^[[:alpha:]]+$", "ab", true);
        check("\\bfoo\\b", "a foo b", true);
        check("(?i)^ABC$", "abc", true);
        assert!(compile("[a").is_err());
        assert!(compile("(a){1000}{1000}").is_err());
    }
}
