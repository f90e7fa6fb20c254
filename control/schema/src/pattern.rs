//! Regular expressions as Go's `regexp` reads them, on an engine whose time is linear in the text.
//!
//! The two syntaxes are the same but for a few places, which are rewritten: Perl's classes are ASCII in Go, and a class
//! holds no classes and no set operations.

use std::fmt;
use std::sync::{Arc, OnceLock};

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind};

use crate::limits::{
    PATTERN_BYTES_MAX, PATTERN_PROGRAM_BYTES_MAX, PATTERN_STATES_BYTES_MAX, PATTERNS_PROGRAM_BYTES_MAX,
};

/// A pattern, compiled when it is first asked for.
#[derive(Clone)]
pub struct Pattern {
    text: Box<str>,
    compiled: Arc<OnceLock<Result<Regex, String>>>,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

impl Pattern {
    /// A pattern that may be none: see [`Pattern::error`].
    pub fn new(text: &str) -> Self {
        Self { text: text.into(), compiled: Arc::new(OnceLock::new()) }
    }

    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Why the pattern is none, in the words of Go's `regexp`.
    pub fn error(&self) -> Option<&str> {
        self.compiled().as_ref().err().map(String::as_str)
    }

    /// Whether it matches somewhere in the text. One that is none matches nothing.
    pub fn is_match(&self, text: &str) -> bool {
        self.compiled().as_ref().is_ok_and(|regex| regex.is_match(text))
    }

    fn compiled(&self) -> &Result<Regex, String> {
        self.compiled.get_or_init(|| compile(&self.text))
    }
}

/// What the patterns of one document, or of one evaluation, may come to, all in all.
#[derive(Debug)]
pub struct Budget {
    /// Bytes of programs.
    left: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: PATTERNS_PROGRAM_BYTES_MAX }
    }
}

impl Budget {
    /// Whether a pattern of Go's syntax is one.
    ///
    /// # Errors
    /// As [`compile`] has them; every pattern is too large once the budget is spent. One that is too large by itself is not
    /// made, and costs nothing of it.
    pub fn check(&mut self, pattern: &str) -> Result<(), String> {
        self.compile(pattern).map(drop)
    }

    /// Bytes of programs that are left; 0: nothing more is made.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Makes a pattern of Go's syntax, and takes the bytes of its program.
    ///
    /// # Errors
    /// As [`Budget::check`] has them.
    pub fn compile(&mut self, pattern: &str) -> Result<Regex, String> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(TOO_LARGE.to_owned());
        }
        if let Some(why) = refusal(pattern) {
            return Err(format!("error parsing regexp: {why}"));
        }
        let bytes = program_bytes(pattern).unwrap_or_default();
        if bytes > PROGRAM_GUESS_MAX {
            return Err(TOO_LARGE.to_owned());
        }
        self.left = self.left.saturating_sub(bytes);
        if self.left == 0 {
            return Err(TOO_LARGE.to_owned());
        }
        let mut builder = RegexBuilder::new(&translated(pattern));
        builder.size_limit(PATTERN_PROGRAM_BYTES_MAX).dfa_size_limit(PATTERN_STATES_BYTES_MAX);
        builder.build().map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => TOO_LARGE.to_owned(),
            other => {
                let text = other.to_string();
                let why = text.rsplit("error: ").next().unwrap_or_default().trim();
                format!("error parsing regexp: {why}: `{pattern}`")
            }
        })
    }
}

const TOO_LARGE: &str = "error parsing regexp: expression too large";

/// Bytes of a range of characters in a program, and of any other of its steps.
const RANGE_BYTES: usize = 64;
const STEP_BYTES: usize = 32;
/// Bytes of a class by a property of Unicode, of which the largest have seven hundred ranges.
const PROPERTY_BYTES: usize = 16 * 1024;

/// About the bytes of a pattern's program, without making it; `None`: it cannot be read. It takes as long as the pattern is,
/// and a little for each property of Unicode in it.
fn program_bytes(pattern: &str) -> Option<usize> {
    let properties = pattern.matches("\\p").count() + pattern.matches("\\P").count();
    let least = properties * PROPERTY_BYTES;
    if least > PROGRAM_GUESS_MAX {
        return Some(least);
    }
    regex_syntax::parse(&translated(pattern)).ok().map(|read| size(&read))
}

/// The reader bounds how deep parts stand within each other.
fn size(part: &Hir) -> usize {
    let sum = |parts: &[Hir]| parts.iter().map(size).fold(STEP_BYTES, usize::saturating_add);
    match part.kind() {
        HirKind::Empty | HirKind::Look(_) => STEP_BYTES,
        HirKind::Literal(literal) => literal.0.len() * STEP_BYTES,
        HirKind::Class(Class::Unicode(class)) => STEP_BYTES + class.ranges().len() * RANGE_BYTES,
        HirKind::Class(Class::Bytes(class)) => STEP_BYTES + class.ranges().len() * RANGE_BYTES,
        HirKind::Repetition(repeated) => {
            let times = repeated.max.unwrap_or(repeated.min).max(1) as usize;
            times.saturating_mul(size(&repeated.sub).saturating_add(STEP_BYTES))
        }
        HirKind::Capture(group) => size(&group.sub).saturating_add(2 * STEP_BYTES),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => sum(parts),
    }
}

/// What is guessed to be larger is not tried. It is a guess: the program itself has the limit.
const PROGRAM_GUESS_MAX: usize = 2 * PATTERN_PROGRAM_BYTES_MAX;

/// Compiles a pattern of Go's syntax.
///
/// # Errors
/// As Go's `regexp` words them, where the engines agree that it is none.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    Budget::default().compile(pattern)
}

/// Letters that Go refuses behind a backslash and the engine may know.
const ESCAPES_REFUSED: &str = "123456789ceghHijkKRXZGuUN";
/// Groups of Perl's that Go refuses, with what it shows of them.
const GROUPS_REFUSED: [(&str, &str); 6] =
    [("(?=", "(?="), ("(?!", "(?!"), ("(?<=", "(?<"), ("(?<!", "(?<"), ("(?>", "(?>"), ("(?#", "(?#")];

/// The first thing in the pattern that Go refuses, in its words; for what is common enough to have words here.
fn refusal(pattern: &str) -> Option<String> {
    let bytes = pattern.as_bytes();
    let (mut at, mut depth) = (0, 0usize);
    let mut last = Last::default();
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => {
                let Some(escaped) = pattern[at + 1..].chars().next() else {
                    return Some("trailing backslash at end of expression: ``".to_owned());
                };
                if ESCAPES_REFUSED.contains(escaped) {
                    return Some(format!("invalid escape sequence: `\\{escaped}`"));
                }
                at += escaped.len_utf8();
                last = Last::operand();
            }
            b'[' => {
                let Some(end) = class_end(bytes, at) else {
                    return Some(format!("missing closing ]: `{}`", &pattern[at..]));
                };
                at = end;
                last = Last::operand();
            }
            b'(' => {
                let perl = GROUPS_REFUSED.iter().find(|(group, _)| pattern[at..].starts_with(group));
                if let Some((_, shown)) = perl {
                    return Some(format!("invalid or unsupported Perl syntax: `{shown}`"));
                }
                depth += 1;
                last = Last::default();
                if bytes.get(at + 1) == Some(&b'?') {
                    // Flags or a name: up to the colon or the end of them.
                    while at < bytes.len() && !matches!(bytes[at], b':' | b')' | b'>') {
                        at += 1;
                    }
                    depth -= usize::from(bytes.get(at) == Some(&b')'));
                }
            }
            b')' if depth == 0 => return Some(format!("unexpected ): `{pattern}`")),
            b')' => {
                depth -= 1;
                last = Last::operand();
            }
            b'|' => last = Last::default(),
            b'*' | b'+' | b'?' => {
                if let Some(why) = last.repeat(pattern, at) {
                    return Some(why);
                }
            }
            _ => last = Last::operand(),
        }
        at += 1;
    }
    (depth > 0).then(|| format!("missing closing ): `{pattern}`"))
}

/// What stands before a place in a pattern, as far as repetitions go.
#[derive(Default)]
struct Last {
    /// Something that can be repeated.
    operand: bool,
    /// Where its repetition stands.
    repeated: Option<usize>,
}

impl Last {
    fn operand() -> Self {
        Self { operand: true, repeated: None }
    }

    /// Takes the repetition at `at`; why it may not stand there.
    fn repeat(&mut self, pattern: &str, at: usize) -> Option<String> {
        let operator = &pattern[at..=at];
        if !self.operand {
            return Some(format!("missing argument to repetition operator: `{operator}`"));
        }
        match self.repeated {
            // A lazy one.
            Some(first) if operator == "?" && at == first + 1 => None,
            Some(first) => Some(format!("invalid nested repetition operator: `{}`", &pattern[first..=at])),
            None => {
                self.repeated = Some(at);
                None
            }
        }
    }
}

/// The index of the bracket that closes the class that begins at `start`.
fn class_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    if bytes.get(at) == Some(&b'^') {
        at += 1;
    }
    if bytes.get(at) == Some(&b']') {
        at += 1;
    }
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'[' if bytes.get(at + 1) == Some(&b':') => {
                if let Some(end) = bytes[at + 2..].windows(2).position(|two| two == b":]") {
                    at += end + 3;
                }
            }
            b']' => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The pattern in the engine's syntax.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.char_indices().peekable();
    let mut class_until = 0;
    while let Some((at, c)) = chars.next() {
        let in_class = at < class_until;
        match c {
            '\\' => {
                let Some((_, escaped)) = chars.next() else {
                    out.push('\\');
                    break;
                };
                escape(escaped, in_class, &mut chars, &mut out);
            }
            '[' if !in_class => {
                class_until = class_end(pattern.as_bytes(), at).unwrap_or(pattern.len());
                out.push('[');
                if let Some((_, '^')) = chars.peek() {
                    out.push('^');
                    chars.next();
                }
                if let Some((_, ']')) = chars.peek() {
                    out.push_str("\\]");
                    chars.next();
                }
            }
            '[' if pattern[at..].starts_with("[:") => {
                // A class by name, as it stands.
                let end = pattern[at..].find(":]").map_or(at, |end| at + end + 1);
                out.push('[');
                while let Some((at, c)) = chars.next_if(|(at, _)| *at <= end) {
                    out.push(c);
                    debug_assert!(at <= end);
                }
            }
            '[' | '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            '-' if in_class && pattern[..at].ends_with('-') => out.push_str("\\-"),
            c => out.push(c),
        }
    }
    out
}

/// Writes what stands behind a backslash.
fn escape(escaped: char, in_class: bool, chars: &mut Chars<'_>, out: &mut String) {
    match (escaped, in_class) {
        ('Q', false) => quoted(chars, out),
        ('d', false) => out.push_str("[0-9]"),
        ('d', true) => out.push_str("0-9"),
        ('D', _) => out.push_str("[^0-9]"),
        ('w', false) => out.push_str("[0-9A-Za-z_]"),
        ('w', true) => out.push_str("0-9A-Za-z_"),
        ('W', _) => out.push_str("[^0-9A-Za-z_]"),
        ('s', false) => out.push_str("[\\t\\n\\f\\r ]"),
        ('s', true) => out.push_str("\\t\\n\\f\\r "),
        ('S', _) => out.push_str("[^\\t\\n\\f\\r ]"),
        ('b', false) => out.push_str("(?-u:\\b)"),
        // One of bytes could match inside a character, which the engine refuses.
        ('B', false) => out.push_str("\\B"),
        ('0'..='7', _) => {
            let mut code = escaped.to_digit(8).unwrap_or_default();
            while let Some(digit) = chars.peek().and_then(|(_, c)| c.to_digit(8)).filter(|_| code < 32) {
                code = code * 8 + digit;
                chars.next();
            }
            out.push_str(&format!("\\x{{{code:x}}}"));
        }
        // Letters are escapes of both; of the rest the engine takes what is punctuation.
        (c, _) if c.is_ascii_alphanumeric() || c.is_ascii_punctuation() => {
            out.push('\\');
            out.push(c);
        }
        (c, _) => out.push(c),
    }
}

type Chars<'a> = std::iter::Peekable<std::str::CharIndices<'a>>;

/// Text between `\Q` and `\E`, which stands for itself.
fn quoted(chars: &mut Chars<'_>, out: &mut String) {
    let mut text = String::new();
    for (_, c) in chars.by_ref() {
        text.push(c);
        if text.ends_with("\\E") {
            text.truncate(text.len() - 2);
            break;
        }
    }
    out.push_str(&regex::escape(&text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        let check = |pattern: &str, text: &str, expected: bool| {
            let compiled = compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(compiled.is_match(text), expected, "{pattern} {text:?}");
        };
        check(r"^\d+$", "12", true);
        check(r"^\d+$", "\u{661}", false);
        check(r"^[\w.-]+$", "a_b.c-d", true);
        check(r"^[\w]+$", "\u{e9}", false);
        check(r"^\s$", "\u{b}", false);
        check(r"^[^\d\s]$", "a", true);
        check(r"^[[:alpha:]]+$", "abc", true);
        check(r"^[[]$", "[", true);
        check(r"^[a&&b]+$", "&", true);
        check(r"^[]a]+$", "]a", true);
        check(r"^\Qa.b\E$", "a.b", true);
        check(r"^\Qa.b\E$", "axb", false);
        check(r"^[+--]$", ",", true);
        check(r"^\pL+$", "\u{e9}", true);
        check(r"^a{2,3}$", "aa", true);
        check(r"^(?i)AB(?P<x>c)$", "abC", true);
        check(r"^\.\/\-$", "./-", true);
        check(r"\bfoo\b", "a foo b", true);
        check(r"a\Bb", "ab", true);
    }

    #[test]
    fn a_pattern_s_program_is_bounded() {
        assert!(compile("(a){1000}{1000}").is_err());
        assert!(compile(&"a".repeat(PATTERN_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn what_the_patterns_of_a_definition_come_to_is_bounded() {
        let check = |pattern: &str, expected: std::ops::RangeInclusive<usize>| {
            let mut budget = Budget::default();
            let taken = (0..PATTERNS).take_while(|_| budget.check(pattern).is_ok()).count();
            assert!(expected.contains(&taken), "{pattern}: {taken}");
            // Once it is spent the rest is not looked at; what is too large by itself spends nothing.
            assert_eq!(budget.check("a").is_ok(), taken == PATTERNS || taken == 0, "{pattern}");
        };
        const PATTERNS: usize = 3_000;
        check(r"^([0-9]{1,3}\.){3}[0-9]{1,3}(/[0-9]{1,2})?$", PATTERNS..=PATTERNS);
        check(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", PATTERNS..=PATTERNS);
        // Each within the limit of one; each beyond it.
        check(r"^\pL{1,5}$", 20..=400);
        check(r"\pL{1,1000}x", 0..=0);
    }

    #[test]
    fn what_is_no_pattern_is_told_in_go_s_words() {
        let check = |pattern: &str, expected: &str| {
            assert_eq!(compile(pattern).expect_err(pattern), format!("error parsing regexp: {expected}"));
        };
        check("[a", "missing closing ]: `[a`");
        check("(a", "missing closing ): `(a`");
        check("a)", "unexpected ): `a)`");
        check("*a", "missing argument to repetition operator: `*`");
        check("a**", "invalid nested repetition operator: `**`");
        check("(?=a)", "invalid or unsupported Perl syntax: `(?=`");
        check(r"\1", r"invalid escape sequence: `\1`");
        check("a\\", "trailing backslash at end of expression: ``");
        check("((((a{100}){100}){100}){100})", "expression too large");
    }
}
