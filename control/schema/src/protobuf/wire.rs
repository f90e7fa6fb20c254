//! The wire format: varints, tags and lengths.

/// Wire types.
pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const BYTES: u8 = 2;
pub(crate) const FIXED32: u8 = 5;

pub(crate) const EOF: &str = "unexpected EOF";

/// One field as it stands on the wire.
pub(crate) enum Item<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

impl Item<'_> {
    pub(crate) fn wire_type(&self) -> u8 {
        match self {
            Item::Varint(_) => VARINT,
            Item::Fixed64(_) => FIXED64,
            Item::Bytes(_) => BYTES,
            Item::Fixed32 => FIXED32,
        }
    }
}

pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0u64;
        for (at, byte) in self.bytes.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.bytes = &self.bytes[at + 1..];
                return Ok(value);
            }
        }
        Err(if self.bytes.len() < 10 { EOF.to_string() } else { "proto: integer overflow".to_string() })
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], String> {
        let len = usize::try_from(len).ok().filter(|len| *len <= self.bytes.len()).ok_or(EOF)?;
        let (head, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        Ok(head)
    }

    /// The next field's number and content; `None` at the end. `name` is the message, for errors.
    pub(crate) fn next(&mut self, name: &str) -> Result<Option<(u32, Item<'a>)>, String> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let (tag, wire) = ((key >> 3) as u32, (key & 7) as u8);
        if tag == 0 {
            return Err(format!("proto: {name}: illegal tag {tag} (wire type {wire})"));
        }
        let item = match wire {
            VARINT => Item::Varint(self.varint()?),
            FIXED64 => {
                let bytes = self.take(8)?;
                Item::Fixed64(bytes.iter().rev().fold(0, |n, b| (n << 8) | u64::from(*b)))
            }
            BYTES => {
                let len = self.varint()?;
                Item::Bytes(self.take(len)?)
            }
            FIXED32 => {
                self.take(4)?;
                Item::Fixed32
            }
            4 => return Err(format!("proto: {name}: wiretype end group for non-group")),
            other => return Err(format!("proto: illegal wireType {other}")),
        };
        Ok(Some((tag, item)))
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_tag(out: &mut Vec<u8>, tag: u32, wire: u8) {
    put_varint(out, (u64::from(tag) << 3) | u64::from(wire));
}

pub(crate) fn put_int(out: &mut Vec<u8>, tag: u32, value: i64) {
    put_tag(out, tag, VARINT);
    put_varint(out, value as u64);
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, tag: u32, bytes: &[u8]) {
    put_tag(out, tag, BYTES);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a message whose length is known only after: most are short, so one byte is kept for it.
pub(crate) fn put_message<E>(
    out: &mut Vec<u8>,
    tag: u32,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    put_tag(out, tag, BYTES);
    let start = out.len();
    out.push(0);
    write(out)?;
    let len = out.len() - start - 1;
    if len < 0x80 {
        out[start] = len as u8;
    } else {
        let mut prefix = Vec::with_capacity(5);
        put_varint(&mut prefix, len as u64);
        out.splice(start..=start, prefix);
    }
    Ok(())
}
