//! The two sources that the decoder reads from: the text of a body, and a tree that was made already.

use std::borrow::Cow;

use sampan_api::limits::NESTING_MAX;
use serde_json::{Map, Value};

use crate::nesting;

/// The reason why decoding ends early.
pub(super) enum Stop {
    /// Not JSON, or nested too deeply.
    Syntax,
    /// A scalar's own parser refused; Go stops there.
    Invalid(String),
    /// The body's kind cannot be read.
    NoKind(String),
}

pub(super) type Parsed<T> = Result<T, Stop>;

/// JSON, a token at a time.
pub(super) trait Source<'a> {
    /// The first byte of the token that comes next.
    fn peek(&self) -> Option<u8>;

    /// Passes the opening bracket; [`Source::closed`] passes its closing one.
    fn enter(&mut self) -> Parsed<()>;

    /// Whether the list or object ends here; else passes what stands before its next element.
    fn closed(&mut self, bracket: u8, first: &mut bool) -> Parsed<bool>;

    /// The next key of an object, its colon passed; `None` at the end.
    fn key(&mut self, first: &mut bool) -> Parsed<Option<Cow<'a, str>>>;

    /// Passes `null`, `true` or `false`.
    fn literal(&mut self, word: &str) -> Parsed<()>;

    fn number(&mut self) -> Parsed<Cow<'a, str>>;

    fn string(&mut self) -> Parsed<Cow<'a, str>>;

    /// Any JSON, as it stands.
    fn tree(&mut self) -> Parsed<Value>;

    /// Passes over one value of any form.
    fn skip(&mut self) -> Parsed<()>;

    /// The name of the value that stands here, in Go's words.
    fn seen(&self) -> Parsed<&'static str> {
        match self.peek() {
            Some(b'{') => Ok("object"),
            Some(b'[') => Ok("array"),
            Some(b'"') => Ok("string"),
            Some(b't' | b'f') => Ok("bool"),
            Some(b'n') => Ok("null"),
            Some(b'-' | b'0'..=b'9') => Ok("number"),
            _ => Err(Stop::Syntax),
        }
    }
}

/// The text of a body.
pub(super) struct Text<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// Lists and objects that are open here.
    depth: usize,
    /// A list or object was passed over without a look at its commas and colons.
    pub(super) lax: bool,
}

impl<'a> Text<'a> {
    /// Reads from the first token on.
    pub(super) fn new(text: &'a str) -> Self {
        let mut source = Text { text, bytes: text.as_bytes(), at: 0, depth: 0, lax: false };
        source.space();
        source
    }

    /// Whether nothing but white space is left.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.space();
        self.at == self.bytes.len()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// The rest of a string from its first backslash on.
    fn escaped(&mut self, start: usize, mut at: usize) -> Parsed<Cow<'a, str>> {
        let mut out = String::from(&self.text[start..at]);
        loop {
            let plain = at;
            while !matches!(self.bytes.get(at), Some(b'"' | b'\\' | 0..=0x1f) | None) {
                at += 1;
            }
            out.push_str(&self.text[plain..at]);
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Cow::Owned(out));
                }
                Some(b'\\') => {}
                _ => return Err(Stop::Syntax),
            }
            let escape = self.bytes.get(at + 1).copied().unwrap_or_default();
            at += 2;
            out.push(match escape {
                b'"' | b'\\' | b'/' => char::from(escape),
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => {
                    let high = self.hex(at)?;
                    at += 4;
                    let pair = (0xd800..0xdc00).contains(&high) && self.bytes[at..].starts_with(b"\\u");
                    let low = if pair { self.hex(at + 2)? } else { 0 };
                    if (0xdc00..0xe000).contains(&low) {
                        at += 6;
                        char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).unwrap_or('\u{fffd}')
                    } else {
                        char::from_u32(high).unwrap_or('\u{fffd}')
                    }
                }
                _ => return Err(Stop::Syntax),
            });
        }
    }

    fn hex(&self, at: usize) -> Parsed<u32> {
        let digits = self.bytes.get(at..at + 4).filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|d| std::str::from_utf8(d).ok());
        digits.and_then(|d| u32::from_str_radix(d, 16).ok()).ok_or(Stop::Syntax)
    }
}

impl<'a> Source<'a> for Text<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn enter(&mut self) -> Parsed<()> {
        if self.depth == NESTING_MAX {
            return Err(Stop::Syntax);
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn closed(&mut self, bracket: u8, first: &mut bool) -> Parsed<bool> {
        self.space();
        if self.peek() == Some(bracket) {
            self.depth -= 1;
            self.at += 1;
            return Ok(true);
        }
        if std::mem::replace(first, false) {
            return Ok(false);
        }
        if self.peek() != Some(b',') {
            return Err(Stop::Syntax);
        }
        self.at += 1;
        self.space();
        if self.peek() == Some(bracket) { Err(Stop::Syntax) } else { Ok(false) }
    }

    fn key(&mut self, first: &mut bool) -> Parsed<Option<Cow<'a, str>>> {
        if self.closed(b'}', first)? {
            return Ok(None);
        }
        if self.peek() != Some(b'"') {
            return Err(Stop::Syntax);
        }
        let key = self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(Stop::Syntax);
        }
        self.at += 1;
        self.space();
        Ok(Some(key))
    }

    fn literal(&mut self, word: &str) -> Parsed<()> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(Stop::Syntax);
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Parsed<Cow<'a, str>> {
        let start = self.at;
        let digits = |from: &mut usize| {
            let start = *from;
            while self.bytes.get(*from).is_some_and(u8::is_ascii_digit) {
                *from += 1;
            }
            *from > start
        };
        let mut at = start + usize::from(self.peek() == Some(b'-'));
        let whole = at;
        let mut good = digits(&mut at) && (self.bytes[whole] != b'0' || at == whole + 1);
        if self.bytes.get(at) == Some(&b'.') {
            at += 1;
            good &= digits(&mut at);
        }
        if let Some(b'e' | b'E') = self.bytes.get(at) {
            at += 1;
            at += usize::from(matches!(self.bytes.get(at), Some(b'+' | b'-')));
            good &= digits(&mut at);
        }
        if !good {
            return Err(Stop::Syntax);
        }
        self.at = at;
        Ok(Cow::Borrowed(&self.text[start..at]))
    }

    fn string(&mut self) -> Parsed<Cow<'a, str>> {
        let start = self.at + 1;
        let mut at = start;
        loop {
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Cow::Borrowed(&self.text[start..at]));
                }
                Some(b'\\') => return self.escaped(start, at),
                Some(0..=0x1f) | None => return Err(Stop::Syntax),
                Some(_) => at += 1,
            }
        }
    }

    fn tree(&mut self) -> Parsed<Value> {
        match self.peek() {
            Some(b'{') => {
                let mut map = Map::new();
                let mut first = true;
                self.enter()?;
                while let Some(key) = self.key(&mut first)? {
                    let value = self.tree()?;
                    map.insert(key.into_owned(), value);
                }
                Ok(Value::Object(map))
            }
            Some(b'[') => {
                let mut list = Vec::new();
                let mut first = true;
                self.enter()?;
                loop {
                    if self.closed(b']', &mut first)? {
                        return Ok(Value::Array(list));
                    }
                    list.push(self.tree()?);
                }
            }
            Some(b'"') => Ok(Value::String(self.string()?.into_owned())),
            Some(b't') => self.literal("true").map(|()| Value::Bool(true)),
            Some(b'f') => self.literal("false").map(|()| Value::Bool(false)),
            Some(b'n') => self.literal("null").map(|()| Value::Null),
            Some(b'-' | b'0'..=b'9') => {
                let number = self.number()?;
                serde_json::from_str(&number).map(Value::Number).map_err(|_| Stop::Syntax)
            }
            _ => Err(Stop::Syntax),
        }
    }

    fn skip(&mut self) -> Parsed<()> {
        let mut depth = 0usize;
        loop {
            self.space();
            match self.peek() {
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                    self.lax = true;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                // Commas and colons are not placed here: `decode` checks the whole text when `lax` is set.
                Some(b',' | b':') if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                Some(b'"') => drop(self.string()?),
                Some(b't') => self.literal("true")?,
                Some(b'f') => self.literal("false")?,
                Some(b'n') => self.literal("null")?,
                Some(b'-' | b'0'..=b'9') => drop(self.number()?),
                _ => return Err(Stop::Syntax),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

/// A tree in memory.
pub(super) struct Tree<'a> {
    /// The value that comes next.
    next: Option<&'a Value>,
    /// The lists and objects around it.
    open: Vec<Open<'a>>,
}

enum Open<'a> {
    List(std::slice::Iter<'a, Value>),
    Object(serde_json::map::Iter<'a>),
}

impl<'a> Tree<'a> {
    pub(super) fn new(value: &'a Value) -> Self {
        Tree { next: Some(value), open: Vec::with_capacity(16) }
    }

    /// The next value, passed; it may nest as deeply as there is room for.
    fn take(&mut self) -> Parsed<&'a Value> {
        let value = self.next.take().ok_or(Stop::Syntax)?;
        if nesting::exceeds(value, NESTING_MAX - self.open.len()) { Err(Stop::Syntax) } else { Ok(value) }
    }
}

impl<'a> Source<'a> for Tree<'a> {
    fn peek(&self) -> Option<u8> {
        Some(match self.next? {
            Value::Null => b'n',
            Value::Bool(true) => b't',
            Value::Bool(false) => b'f',
            Value::Number(_) => b'0',
            Value::String(_) => b'"',
            Value::Array(_) => b'[',
            Value::Object(_) => b'{',
        })
    }

    fn enter(&mut self) -> Parsed<()> {
        if self.open.len() == NESTING_MAX {
            return Err(Stop::Syntax);
        }
        self.open.push(match self.next.take() {
            Some(Value::Array(list)) => Open::List(list.iter()),
            Some(Value::Object(map)) => Open::Object(map.iter()),
            _ => return Err(Stop::Syntax),
        });
        Ok(())
    }

    fn closed(&mut self, _: u8, _: &mut bool) -> Parsed<bool> {
        self.next = match self.open.last_mut() {
            Some(Open::List(list)) => list.next(),
            _ => return Err(Stop::Syntax),
        };
        if self.next.is_none() {
            self.open.pop();
        }
        Ok(self.next.is_none())
    }

    fn key(&mut self, _: &mut bool) -> Parsed<Option<Cow<'a, str>>> {
        let Some(Open::Object(map)) = self.open.last_mut() else { return Err(Stop::Syntax) };
        match map.next() {
            Some((key, value)) => {
                self.next = Some(value);
                Ok(Some(Cow::Borrowed(key)))
            }
            None => {
                self.open.pop();
                Ok(None)
            }
        }
    }

    fn literal(&mut self, _: &str) -> Parsed<()> {
        self.take().map(drop)
    }

    fn number(&mut self) -> Parsed<Cow<'a, str>> {
        match self.take()? {
            Value::Number(number) => Ok(Cow::Owned(number.to_string())),
            _ => Err(Stop::Syntax),
        }
    }

    fn string(&mut self) -> Parsed<Cow<'a, str>> {
        match self.take()? {
            Value::String(text) => Ok(Cow::Borrowed(text)),
            _ => Err(Stop::Syntax),
        }
    }

    fn tree(&mut self) -> Parsed<Value> {
        self.take().cloned()
    }

    fn skip(&mut self) -> Parsed<()> {
        self.take().map(drop)
    }
}
