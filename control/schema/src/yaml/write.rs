//! Values as YAML, as Go's library writes them (go.yaml.in/yaml/v2: encode.go, emitterc.go): the styles of scalars, and where
//! long ones are folded. The breaks of lines that only Unicode has are escaped, where Go's come back as others, and keys stand in the
//! order of their bytes.

use super::resolve::{Scalar, resolve};
use serde_json::{Map, Value};

/// A value as YAML, in block style, keys in their order.
pub fn encode(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_map(map, 0, &mut out),
        Value::Array(list) if !list.is_empty() => write_list(list, 0, &mut out),
        other => {
            write_scalar(other, 2, &mut out);
            out.push('\n');
        }
    }
    out
}

/// Bytes of a key that is written before its colon; readers look for one only so far. A longer one is announced by `?`.
const SIMPLE_KEY_BYTES_MAX: usize = 128;
/// The column behind which a text goes on in the next line.
const WIDTH: usize = 80;

fn write_map(map: &Map<String, Value>, indent: usize, out: &mut String) {
    for (at, (key, value)) in map.iter().enumerate() {
        if at > 0 {
            pad(out, indent);
        }
        let explicit = key.len() > SIMPLE_KEY_BYTES_MAX || key.contains('\n');
        if explicit {
            out.push_str("? ");
            write_text(key, indent + 2, out);
            out.push('\n');
            pad(out, indent);
        } else {
            write_key(key, out);
        }
        out.push(':');
        match value {
            Value::Object(inner) if explicit && !inner.is_empty() => {
                out.push(' ');
                write_map(inner, indent + 2, out);
            }
            Value::Array(list) if explicit && !list.is_empty() => {
                out.push(' ');
                write_list(list, indent + 2, out);
            }
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                pad(out, indent + 2);
                write_map(inner, indent + 2, out);
            }
            Value::Array(list) if !list.is_empty() => {
                out.push('\n');
                pad(out, indent);
                write_list(list, indent, out);
            }
            other => {
                out.push(' ');
                write_scalar(other, indent + 2, out);
                out.push('\n');
            }
        }
    }
}

fn write_list(list: &[Value], indent: usize, out: &mut String) {
    for (at, value) in list.iter().enumerate() {
        if at > 0 {
            pad(out, indent);
        }
        out.push_str("- ");
        match value {
            Value::Object(inner) if !inner.is_empty() => write_map(inner, indent + 2, out),
            Value::Array(inner) if !inner.is_empty() => write_list(inner, indent + 2, out),
            other => {
                write_scalar(other, indent + 2, out);
                out.push('\n');
            }
        }
    }
}

fn pad(out: &mut String, columns: usize) {
    out.extend(std::iter::repeat_n(' ', columns));
}

fn write_scalar(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::String(text) => write_text(text, indent, out),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
        other => out.push_str(&other.to_string()),
    }
}

/// A key, on one line.
fn write_key(text: &str, out: &mut String) {
    match style(text) {
        Style::Plain => out.push_str(text),
        Style::Single => Folded::new(out, None).single(text),
        Style::Literal | Style::Double => Folded::new(out, None).double(text),
    }
}

/// A text, whose lines but the first are indented so far.
fn write_text(text: &str, indent: usize, out: &mut String) {
    match style(text) {
        Style::Plain => Folded::new(out, Some(indent)).words(text),
        Style::Single => Folded::new(out, Some(indent)).single(text),
        Style::Double => Folded::new(out, Some(indent)).double(text),
        Style::Literal => write_literal(text, indent, out),
    }
}

fn write_literal(text: &str, indent: usize, out: &mut String) {
    out.push('|');
    if text.starts_with([' ', '\n']) {
        // How far its lines are indented could not be seen from the first.
        out.push('2');
    }
    if !text.ends_with('\n') {
        out.push('-');
    } else if text == "\n" || text.ends_with("\n\n") {
        out.push('+');
    }
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
    }
}

/// A text that is written in as many lines as its length asks for.
struct Folded<'a> {
    out: &'a mut String,
    /// Characters before the next one in its line.
    column: usize,
    /// `None`: it stays on one line.
    indent: Option<usize>,
}

impl<'a> Folded<'a> {
    fn new(out: &'a mut String, indent: Option<usize>) -> Self {
        let column = out.rsplit('\n').next().unwrap_or("").chars().count();
        Self { out, column, indent }
    }

    fn put(&mut self, one: char) {
        self.out.push(one);
        self.column += 1;
    }

    /// Goes on in the next line, where a space behind this column may be its break.
    fn folds(&mut self) -> bool {
        let Some(indent) = self.indent.filter(|_| self.column > WIDTH) else { return false };
        self.out.push('\n');
        pad(self.out, indent);
        self.column = indent;
        true
    }

    /// Spaces that stand alone may be the ends of lines.
    fn words(&mut self, text: &str) {
        let mut before: Option<char> = None;
        let mut rest = text.chars().peekable();
        while let Some(one) = rest.next() {
            let alone =
                one == ' ' && before.is_some_and(|one| one != ' ') && rest.peek().is_some_and(|one| *one != ' ');
            if !(alone && self.folds()) {
                self.put(one);
            }
            before = Some(one);
        }
    }

    /// A quote is written twice.
    fn single(&mut self, text: &str) {
        self.put('\'');
        self.words(&text.replace('\'', "''"));
        self.put('\'');
    }

    fn double(&mut self, text: &str) {
        self.put('"');
        // Go looks for the mark at the beginning, whatever character it is at.
        let marked = text.starts_with(MARK);
        let mut before: Option<char> = None;
        let mut rest = text.chars().peekable();
        while let Some(one) = rest.next() {
            if marked || one == '"' || one == '\\' || is_special(one) || one == '\n' {
                self.escaped(one);
            } else if one == ' ' && before.is_some_and(|one| one != ' ') && rest.peek().is_some() && self.folds() {
                if rest.peek() == Some(&' ') {
                    self.put('\\');
                }
            } else {
                self.put(one);
            }
            before = Some(one);
        }
        self.put('"');
    }

    fn escaped(&mut self, one: char) {
        let code = u32::from(one);
        let short = match one {
            '\0' => "0",
            '\u{7}' => "a",
            '\u{8}' => "b",
            '\t' => "t",
            '\n' => "n",
            '\u{b}' => "v",
            '\u{c}' => "f",
            '\r' => "r",
            '\u{1b}' => "e",
            '"' => "\"",
            '\\' => "\\",
            '\u{85}' => "N",
            '\u{a0}' => "_",
            '\u{2028}' => "L",
            '\u{2029}' => "P",
            _ => "",
        };
        let written = match code {
            _ if !short.is_empty() => format!("\\{short}"),
            0..=0xff => format!("\\x{code:02X}"),
            0x100..=0xffff => format!("\\u{code:04X}"),
            _ => format!("\\U{code:08X}"),
        };
        self.out.push_str(&written);
        self.column += written.len();
    }
}

enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// The mark of the order of bytes.
const MARK: char = '\u{feff}';

/// What Go's library does not write as it is; a line's end apart.
fn is_special(one: char) -> bool {
    let printable = matches!(one, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && one != MARK;
    !(printable || one == '\n') || matches!(one, '\u{2028}' | '\u{2029}')
}

/// The style that Go's library writes a string in: plain where no reader can take it for anything else.
fn style(text: &str) -> Style {
    let special = text.chars().any(is_special);
    if text.contains('\n') {
        let awkward = special || text.contains(" \n") || text.ends_with(' ');
        return if awkward { Style::Double } else { Style::Literal };
    }
    let other = !matches!(resolve(text), Scalar::Text(_)) || is_time(text) || is_base_sixty(text);
    if special || other {
        return Style::Double;
    }
    if text.starts_with(' ') || text.ends_with(' ') || is_indicator(text) { Style::Single } else { Style::Plain }
}

/// Whether a line that begins so, or has this in it, would be read as something else.
fn is_indicator(text: &str) -> bool {
    let starts = |one: char| "#,[]{}&*!|>'\"%@`".contains(one);
    if text.starts_with("---") || text.starts_with("...") || text.starts_with(starts) {
        return true;
    }
    // Alone in front of what follows.
    text.starts_with(['?', '-']) && text[1..].chars().next().is_none_or(|one| one == ' ')
        || text.contains(": ")
        || text.ends_with(':')
        || text.contains(" #")
}

/// Whether it is one of the forms of a time that Go's library knows.
fn is_time(text: &str) -> bool {
    time(text).is_some()
}

fn time(text: &str) -> Option<()> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let year: u32 = text.get(..4).filter(|year| digits(year))?.parse().ok()?;
    let (month, rest) = number(text[4..].strip_prefix('-')?, 12)?;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let (day, rest) = number(rest.strip_prefix('-')?, days)?;
    if month == 0 || day == 0 {
        return None;
    }
    if rest.is_empty() {
        return Some(());
    }
    let zoned = rest.starts_with(['T', 't']);
    let (_, rest) = number(rest.strip_prefix(['T', 't', ' '])?, 23)?;
    let (_, rest) = number(rest.strip_prefix(':')?, 59)?;
    let (_, rest) = number(rest.strip_prefix(':')?, 59)?;
    let is_digit = |one: char| one.is_ascii_digit();
    let zone = match rest.strip_prefix(['.', ',']) {
        Some(fraction) if fraction.starts_with(is_digit) => fraction.trim_start_matches(is_digit),
        _ => rest,
    };
    let sound = if zoned { zone == "Z" || is_offset(zone) } else { zone.is_empty() };
    sound.then_some(())
}

/// A number of one or two digits, and what is behind it.
fn number(text: &str, most: u32) -> Option<(u32, &str)> {
    let digits = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let number = text[..digits].parse().ok()?;
    (number <= most).then_some((number, &text[digits..]))
}

fn is_offset(text: &str) -> bool {
    let Some((hours, minutes)) = text.strip_prefix(['+', '-']).and_then(|offset| offset.split_once(':')) else {
        return false;
    };
    let two = |text: &str, most: u32| text.len() == 2 && number(text, most).is_some_and(|(_, rest)| rest.is_empty());
    two(hours, 24) && two(minutes, 60)
}

/// `^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$`: a number of base sixty, which YAML 1.1 has.
fn is_base_sixty(text: &str) -> bool {
    let Some((whole, rest)) = text.strip_prefix(['-', '+']).unwrap_or(text).split_once(':') else { return false };
    let (sixties, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    whole.starts_with(|one: char| one.is_ascii_digit())
        && digits(whole)
        && digits(fraction)
        && sixties.split(':').all(|one| matches!(one.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What stands behind the key of a text two maps deep.
    fn written(text: &str) -> String {
        let whole = encode(&json!({"data": {"k000": text}}));
        whole.strip_prefix("data:\n  k000: ").map(str::to_owned).unwrap_or(whole)
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(written(text), expected, "{text:?}");
        let (again, _) = crate::yaml::to_json(encode(&json!({"a": [text]})).as_bytes()).expect("it is read again");
        assert_eq!(again, json!({"a": [text]}));
    }

    /// As kube-apiserver v1.35.0 wrote them.
    #[test]
    fn texts_have_the_styles_that_go_gives_them() {
        for (text, expected) in [
            ("-x", "-x\n"),
            ("+x", "+x\n"),
            (".x", ".x\n"),
            ("+", "+\n"),
            (".", ".\n"),
            ("..", "..\n"),
            ("...", "'...'\n"),
            ("---", "'---'\n"),
            ("----", "'----'\n"),
            ("- a", "'- a'\n"),
            ("-a b", "-a b\n"),
            ("--- a", "'--- a'\n"),
            ("...a", "'...a'\n"),
            (".inf", "\".inf\"\n"),
            (".5", "\".5\"\n"),
            ("1.", "\"1.\"\n"),
            ("-.5", "\"-.5\"\n"),
            ("1e3", "\"1e3\"\n"),
            ("1_000", "\"1_000\"\n"),
            ("017", "\"017\"\n"),
            ("1:30", "\"1:30\"\n"),
            ("1:99", "1:99\n"),
            ("1:", "'1:'\n"),
            ("2026-01-02", "\"2026-01-02\"\n"),
            ("2026-1-2", "\"2026-1-2\"\n"),
            ("2026-13-02", "2026-13-02\n"),
            ("2026-abcdef", "2026-abcdef\n"),
            ("2026-01-02 03:04:05", "\"2026-01-02 03:04:05\"\n"),
            ("2026-01-02T03:04:05", "2026-01-02T03:04:05\n"),
            ("2026-01-02T03:04:05Z", "\"2026-01-02T03:04:05Z\"\n"),
            ("2026-01-02x", "2026-01-02x\n"),
            ("true", "\"true\"\n"),
            ("=", "=\n"),
            ("<<", "<<\n"),
            ("?", "'?'\n"),
            ("? a", "'? a'\n"),
            ("?a", "?a\n"),
            (":", "':'\n"),
            (":a", ":a\n"),
            (": a", "': a'\n"),
            ("a\u{9}b", "\"a\\tb\"\n"),
            ("a\u{1}b", "\"a\\x01b\"\n"),
            ("\u{feff}a", "\"\\uFEFF\\x61\"\n"),
            ("\u{1f600}", "\"\\U0001F600\"\n"),
            ("\u{0}", "\"\\0\"\n"),
            ("a\nb", "|-\n    a\n    b\n"),
            ("a\n\n", "|+\n    a\n\n"),
            ("\n", "|2+\n\n"),
            ("\n\n", "|2+\n\n\n"),
            ("\na", "|2-\n\n    a\n"),
            (" a\nb", "|2-\n     a\n    b\n"),
            ("a \nb", "\"a \\nb\"\n"),
            ("a\n b", "|-\n    a\n     b\n"),
            ("a\u{9}b\nc", "\"a\\tb\\nc\"\n"),
            ("\u{1f600}\nx", "\"\\U0001F600\\nx\"\n"),
        ] {
            check(text, expected);
        }
        // Go's come back as something else.
        check("a\u{2028}b", "\"a\\Lb\"\n");
        check("a\u{85}b", "\"a\\Nb\"\n");
    }

    /// As kube-apiserver v1.35.0 wrote them.
    #[test]
    fn long_texts_are_folded_where_go_folds_them() {
        let words = |count: usize| vec!["word"; count].join(" ");
        let (first, second) = (words(15), words(15));
        check(&format!("{first} {second} "), &format!("'{first}\n    {second} '\n"));
        check(&format!("{first} {second} x"), &format!("{first}\n    {second} x\n"));
        let (x, y) = ("x".repeat(100), "y".repeat(100));
        check(&format!("{x} {y} z"), &format!("{x}\n    {y}\n    z\n"));
        let x = "x".repeat(90);
        check(&format!("{x}  y z"), &format!("{x}  y\n    z\n"));
        check(&format!("a: {x}  y z"), &format!("'a: {x}  y\n    z'\n"));
        check(&format!("\u{1}{x} "), &format!("\"\\x01{x} \"\n"));
        check(&format!("\u{1}{x}  y"), &format!("\"\\x01{x}\n    \\ y\"\n"));
        let (many, wide) = ("é".repeat(70), "é".repeat(20));
        check(&format!("{many} {wide} b c"), &format!("{many} {wide}\n    b c\n"));
    }

    #[test]
    fn keys_are_folded_where_they_stand_alone() {
        let check = |object: Value, expected: &str| {
            let text = encode(&object);
            assert_eq!(text, expected);
            assert_eq!(crate::yaml::to_json(text.as_bytes()).expect("it is read again").0, object);
        };
        check(json!({"d": {"a\nb": 1}}), "d:\n  ? |-\n    a\n    b\n  : 1\n");
        let k = "k".repeat(20);
        let line = [k.as_str(); 4].join(" ");
        let key = format!("{line} {k} {k} mmm");
        check(json!({"d": {(key): ["a b"]}}), &format!("d:\n  ? {line}\n    {k} {k} mmm\n  : - a b\n"));
        let key = "long: ".repeat(20);
        let expected = format!("'{key}': 1\n");
        check(json!({(key): 1}), &expected);
        let z = "z".repeat(90);
        check(json!({"c": [[format!("{z} w w")]]}), &format!("c:\n- - {z}\n    w w\n"));
    }
}
