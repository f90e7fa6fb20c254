//! The well-formedness of JSON, in the words of Go's `encoding/json`. Slow and exact: run when the decoder has failed.

use sampan_api::limits::NESTING_MAX;

/// The error of Go's scanner for nesting beyond its limit (ours is lower).
pub(crate) const TOO_DEEP: &str = "exceeded max depth";

/// The error that Go's scanner reports for these bytes, if any.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut scan = Scan { bytes, at: 0 };
    scan.space();
    scan.value(0)?;
    scan.space();
    match scan.peek() {
        None => Ok(()),
        Some(_) => scan.invalid("after top-level value"),
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn invalid(&self, context: &str) -> Result<(), String> {
        match self.peek() {
            None => Err("unexpected end of JSON input".to_string()),
            Some(byte) => Err(format!("invalid character {} {context}", quote(byte))),
        }
    }

    /// As [`Scan::invalid`], inside a token: there Go's scanner takes the end of the text for a space.
    fn torn(&self, context: &str) -> Result<(), String> {
        match self.peek() {
            None => Err(format!("invalid character ' ' {context}")),
            Some(_) => self.invalid(context),
        }
    }

    fn expect(&mut self, byte: u8, context: &str) -> Result<(), String> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        self.invalid(context)
    }

    fn value(&mut self, depth: usize) -> Result<(), String> {
        match self.peek() {
            Some(b'{' | b'[') if depth == NESTING_MAX => Err(TOO_DEEP.to_string()),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.invalid("looking for beginning of value"),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), String> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return self.invalid("looking for beginning of object key string");
            }
            self.string()?;
            self.space();
            self.expect(b':', "after object key")?;
            self.space();
            self.value(depth + 1)?;
            self.space();
            if self.peek() == Some(b'}') {
                self.at += 1;
                return Ok(());
            }
            self.expect(b',', "after object key:value pair")?;
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), String> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            self.value(depth + 1)?;
            self.space();
            if self.peek() == Some(b']') {
                self.at += 1;
                return Ok(());
            }
            self.expect(b',', "after array element")?;
        }
    }

    fn string(&mut self) -> Result<(), String> {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => self.at += 1,
                        Some(b'u') => {
                            self.at += 1;
                            for _ in 0..4 {
                                if !self.peek().is_some_and(|b| b.is_ascii_hexdigit()) {
                                    return self.torn("in \\u hexadecimal character escape");
                                }
                                self.at += 1;
                            }
                        }
                        _ => return self.torn("in string escape code"),
                    }
                }
                Some(byte) if byte >= 0x20 => self.at += 1,
                _ => return self.invalid("in string literal"),
            }
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), String> {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return self.torn(&format!("in literal {word} (expecting {})", quote(expected)));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.torn("in numeric literal"),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if !self.peek().is_some_and(|b| b.is_ascii_digit()) {
                return self.torn("after decimal point in numeric literal");
            }
            self.digits();
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if !self.peek().is_some_and(|b| b.is_ascii_digit()) {
                return self.torn("in exponent of numeric literal");
            }
            self.digits();
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
    }
}

/// A byte as Go's `quoteChar` prints it.
fn quote(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_string(),
        b'"' => "'\"'".to_string(),
        b'\\' => r"'\\'".to_string(),
        b'\n' => r"'\n'".to_string(),
        b'\r' => r"'\r'".to_string(),
        b'\t' => r"'\t'".to_string(),
        0x07 => r"'\a'".to_string(),
        0x08 => r"'\b'".to_string(),
        0x0b => r"'\v'".to_string(),
        0x0c => r"'\f'".to_string(),
        0x00..=0x1f | 0x7f => format!("'\\x{byte:02x}'"),
        0x80..=0x9f | 0xa0 | 0xad => format!("'\\u{:04x}'", byte),
        other => format!("'{}'", char::from(other)),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_end_inside_a_token_is_a_space() {
        let check =
            |text: &str, expected: &str| assert_eq!(super::check(text.as_bytes()), Err(expected.to_owned()), "{text}");
        check("nul", "invalid character ' ' in literal null (expecting 'l')");
        check("-", "invalid character ' ' in numeric literal");
        check("1.", "invalid character ' ' after decimal point in numeric literal");
        check("1e", "invalid character ' ' in exponent of numeric literal");
        check("\"\\", "invalid character ' ' in string escape code");
        check("\"\\u1", "invalid character ' ' in \\u hexadecimal character escape");
        check("\"a", "unexpected end of JSON input");
        check("{\"a\":", "unexpected end of JSON input");
        check("", "unexpected end of JSON input");
    }
}
