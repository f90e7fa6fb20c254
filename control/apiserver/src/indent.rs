//! JSON for people: indented as it comes.

/// Indents JSON that comes in pieces, by two, as Go's `json.Indent` does.
#[derive(Clone, Copy, Default)]
pub struct Indent {
    depth: usize,
    quoted: bool,
    escaped: bool,
    /// An object or list has just begun: it may be empty, and then stays on its line.
    opened: bool,
}

impl Indent {
    /// Appends `json`, which goes on where the last call ended, indented.
    pub fn write(&mut self, out: &mut Vec<u8>, json: &[u8]) {
        for &byte in json {
            if self.quoted {
                out.push(byte);
                self.quoted = self.escaped || byte != b'"';
                self.escaped = !self.escaped && byte == b'\\';
                continue;
            }
            let closes = matches!(byte, b'}' | b']');
            if self.opened && !closes {
                self.depth += 1;
                self.line(out);
            }
            if closes && !self.opened {
                self.depth = self.depth.saturating_sub(1);
                self.line(out);
            }
            out.push(byte);
            self.opened = matches!(byte, b'{' | b'[');
            match byte {
                b'"' => self.quoted = true,
                b',' => self.line(out),
                b':' => out.push(b' '),
                _ => {}
            }
        }
    }

    fn line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        out.resize(out.len() + 2 * self.depth, b' ');
    }
}
