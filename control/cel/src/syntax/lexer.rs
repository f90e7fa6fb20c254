//! From text to tokens, as cel-go's grammar has them.

use super::literal;
use super::token::Token;
use crate::error::Issue;

/// A token with its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexed<'a> {
    pub(super) token: Token,
    pub(super) text: &'a str,
    /// Characters before it.
    pub(super) at: usize,
}

impl Lexed<'_> {
    /// As errors show it.
    pub(super) fn shown(&self) -> String {
        match self.token {
            Token::End => "<EOF>".into(),
            _ => self.text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t"),
        }
    }
}

const OPERATORS: [&str; 25] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":", "+", "*",
    "/", "%", "in",
];

/// Where characters are in lines.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    /// The beginnings of the lines of a text, in characters.
    pub(super) fn of(text: &str) -> Self {
        let ends = text.chars().enumerate().filter(|(_, char)| *char == '\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(ends).collect())
    }

    /// An error at a character.
    pub(super) fn issue(&self, at: usize, message: String) -> Issue {
        let line = self.0.partition_point(|start| *start <= at);
        Issue { line, column: at - self.0[line - 1], message }
    }
}

/// All tokens, the last of them `End`; what is no token is told and left out.
pub(super) fn lex(text: &str) -> (Vec<Lexed<'_>>, Vec<(usize, String)>) {
    let (mut tokens, mut problems) = (Vec::new(), Vec::new());
    let (mut rest, mut at) = (text, 0);
    while let Some(first) = rest.chars().next() {
        let (token, bytes) = match next(rest, first) {
            Next::Token(token, bytes) => (Some(token), bytes),
            Next::Blank(bytes) => (None, bytes),
            Next::Nothing(bytes) => {
                problems.push((at, format!("Syntax error: token recognition error at: '{}'", shown(&rest[..bytes]))));
                (None, bytes)
            }
        };
        if let Some(token) = token {
            tokens.push(Lexed { token, text: &rest[..bytes], at });
        }
        at += rest[..bytes].chars().count();
        rest = &rest[bytes..];
    }
    tokens.push(Lexed { token: Token::End, text: "", at });
    (tokens, problems)
}

fn shown(text: &str) -> String {
    text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
}

enum Next {
    Token(Token, usize),
    Blank(usize),
    Nothing(usize),
}

fn next(rest: &str, first: char) -> Next {
    if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
        let (token, bytes) = number(rest.as_bytes());
        return Next::Token(token, bytes);
    }
    if matches!(first, '\t' | ' ' | '\r' | '\n' | '\x0c') {
        return Next::Blank(1);
    }
    if rest.starts_with("//") {
        return Next::Blank(rest.find('\n').unwrap_or(rest.len()));
    }
    if let Some(found) = literal::scan(rest) {
        return match found {
            Ok((token, bytes)) => Next::Token(token, bytes),
            Err(bytes) => Next::Nothing(bytes),
        };
    }
    if first == '`' {
        let name = |c: char| c.is_ascii_alphanumeric() || "_.-/ ".contains(c);
        let end = rest[1..].find(|c| !name(c)).map_or(rest.len(), |end| end + 1);
        return if end > 1 && rest[end..].starts_with('`') {
            Next::Token(Token::Escaped, end + 1)
        } else {
            Next::Nothing(end)
        };
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let word = ["in", "true", "false", "null"].into_iter().find(|word| *word == &rest[..end]);
        return Next::Token(word.map_or(Token::Ident, Token::Word), end);
    }
    match OPERATORS.into_iter().find(|text| rest.starts_with(text)) {
        Some(text) => Next::Token(Token::Word(text), text.len()),
        None => Next::Nothing(first.len_utf8()),
    }
}

fn number(text: &[u8]) -> (Token, usize) {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if text.starts_with(b"0x") {
        let hex = text[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if hex > 0 {
            return unsigned(text, 2 + hex);
        }
    }
    let mut end = digits(0);
    let mut token = Token::Int;
    if text.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
        token = Token::Float;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let exponent = if end + 1 + sign <= text.len() { digits(end + 1 + sign) } else { 0 };
        if exponent > 0 {
            end += 1 + sign + exponent;
            token = Token::Float;
        }
    }
    if token == Token::Int { unsigned(text, end) } else { (token, end) }
}

fn unsigned(text: &[u8], end: usize) -> (Token, usize) {
    match text.get(end) {
        Some(b'u' | b'U') => (Token::Uint, end + 1),
        _ => (Token::Int, end),
    }
}
