//! Texts and bytes as they are written: quotes, prefixes, escapes.

use super::token::Token;

/// A text or bytes at the beginning of `rest`: its token and length, or the length of what begins like one and is none.
pub(super) fn scan(rest: &str) -> Option<Result<(Token, usize), usize>> {
    let prefix = rest.bytes().take(2).take_while(|byte| b"rRbB".contains(byte)).count();
    let (bytes, raw) = match rest[..prefix].to_ascii_lowercase().as_str() {
        "" => (false, false),
        "r" => (false, true),
        "b" => (true, false),
        "br" => (true, true),
        _ => return None,
    };
    let body = &rest[prefix..];
    let quote = body.chars().next().filter(|char| matches!(char, '"' | '\''))?;
    let triple = [quote, quote, quote].iter().collect::<String>();
    let token = if bytes { Token::Bytes } else { Token::String };
    let long = body.starts_with(&triple).then(|| end(&body[3..], &triple, raw, true)).and_then(Result::ok);
    if let Some(length) = long {
        return Some(Ok((token, prefix + 3 + length + 3)));
    }
    let single = quote.to_string();
    Some(match end(&body[1..], &single, raw, false) {
        Ok(length) => Ok((token, prefix + 1 + length + 1)),
        Err(length) => Err(prefix + 1 + length),
    })
}

/// The bytes before the closing quotes; the bytes that could be read where there are none.
fn end(text: &str, quotes: &str, raw: bool, lines: bool) -> Result<usize, usize> {
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with(quotes) {
            return Ok(at);
        }
        let char = rest.chars().next().unwrap_or_default();
        if !lines && matches!(char, '\n' | '\r') {
            return Err(at);
        }
        at += if char == '\\' && !raw {
            match escape(rest, false) {
                Some((_, _, length)) => length,
                None => return Err(at + rest.chars().take(2).map(char::len_utf8).sum::<usize>()),
            }
        } else {
            char.len_utf8()
        };
    }
    Err(at)
}

/// The value of one escape sequence, whether it is a code point (or a byte), and its length. `None` when it is none.
fn escape(text: &str, bytes: bool) -> Option<(u32, bool, usize)> {
    let hex = |digits: usize| -> Option<u32> {
        let digits = text.get(2..2 + digits)?;
        let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if all { u32::from_str_radix(digits, 16).ok() } else { None }
    };
    let kind = text.as_bytes().get(1)?;
    Some(match kind {
        b'a' => (7, false, 2),
        b'b' => (8, false, 2),
        b'f' => (12, false, 2),
        b'n' => (10, false, 2),
        b'r' => (13, false, 2),
        b't' => (9, false, 2),
        b'v' => (11, false, 2),
        b'"' | b'\'' | b'\\' | b'?' | b'`' => (u32::from(*kind), false, 2),
        b'x' | b'X' => (hex(2)?, !bytes, 4),
        b'u' if !bytes => (hex(4)?, true, 6),
        b'U' if !bytes => (hex(8)?, true, 10),
        b'0'..=b'3' => {
            let digits = text.get(1..4).filter(|digits| digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte)))?;
            (u32::from_str_radix(digits, 8).ok()?, !bytes, 4)
        }
        _ => return None,
    })
}

/// What a text in quotes means.
pub(super) fn text(written: &str) -> Result<String, String> {
    match String::from_utf8(unescape(written, false)?) {
        Ok(text) => Ok(text),
        Err(_) => Err("unable to unescape string".into()),
    }
}

/// What bytes in quotes mean; `written` begins after its `b`.
pub(super) fn bytes(written: &str) -> Result<Vec<u8>, String> {
    unescape(written, true)
}

fn unescape(written: &str, bytes: bool) -> Result<Vec<u8>, String> {
    let normal = written.replace("\r\n", "\n").replace('\r', "\n");
    let raw = normal.starts_with(['r', 'R']);
    let quoted = if raw { &normal[1..] } else { &normal[..] };
    let triple = quoted.len() >= 6 && (quoted.starts_with("'''") || quoted.starts_with("\"\"\""));
    let quotes = if triple { 3 } else { 1 };
    let mut rest = quoted.get(quotes..quoted.len() - quotes).ok_or("unable to unescape string")?;
    if raw {
        return Ok(rest.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(rest.len());
    while let Some(char) = rest.chars().next() {
        if char != '\\' {
            out.extend_from_slice(&rest.as_bytes()[..char.len_utf8()]);
            rest = &rest[char.len_utf8()..];
            continue;
        }
        let (value, encode, length) = escape(rest, bytes).ok_or("unable to unescape string")?;
        if encode {
            let char = char::from_u32(value).ok_or("invalid unicode code point")?;
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            out.push(value as u8);
        }
        rest = &rest[length..];
    }
    Ok(out)
}
