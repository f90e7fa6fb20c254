//! Percent-encoding (RFC 3986) of path segments and query values, and its reading.

use std::borrow::Cow;

/// Appends `text` with everything encoded but RFC 3986's unreserved characters: fit for a path segment and for the name or
/// the value of a query's pair.
pub fn encode_into(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// [`encode_into`] a string of its own.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    encode_into(text, &mut out);
    out
}

/// Decodes a path. `None` for a broken escape or for bytes that are no UTF-8.
pub fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// Decodes the name or the value of a query's pair, where a plus stands for a space. `None` as for [`decode`].
pub fn decode_query(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('+') {
        return decode(text);
    }
    decode(&text.replace('+', " ")).map(|decoded| Cow::Owned(decoded.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_as_it_was() {
        for text in ["", "plain-._~", "a/b?c=d&e f+g%h", "snowman \u{2603}", "\u{0}\n"] {
            let encoded = encode(text);
            assert!(encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)), "{encoded}");
            assert_eq!(decode(&encoded).as_deref(), Some(text));
            assert_eq!(decode_query(&encoded).as_deref(), Some(text));
        }
        assert_eq!(encode("a b/\u{e9}"), "a%20b%2F%C3%A9");
    }

    #[test]
    fn a_plus_is_a_space_in_queries_alone() {
        assert_eq!(decode("a+b%2B").as_deref(), Some("a+b+"));
        assert_eq!(decode_query("a+b%2B").as_deref(), Some("a b+"));
    }

    #[test]
    fn broken_escapes_are_refused() {
        for text in ["%", "%4", "%zz", "%+1", "a%ff"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
