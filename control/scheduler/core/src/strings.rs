//! Texts that cells refer to: each is held once, and dropped when nothing refers to it any more.

use crate::limits;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

#[derive(Debug)]
struct Entry {
    serial: u64,
    text: Box<str>,
}

/// A text of one [`Strings`]. Equal texts that live at the same time are equal; comparing and hashing look at a number.
#[derive(Clone, Debug)]
pub struct Text(Arc<Entry>);

impl Text {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Its number, which no other text of the table ever has.
    pub(crate) fn serial(&self) -> u64 {
        self.0.serial
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.0.serial == other.0.serial
    }
}

impl Eq for Text {}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.serial.hash(state);
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By age: the order in which texts were first seen.
impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.serial.cmp(&other.0.serial)
    }
}

/// An entry that is found by its text.
#[derive(Clone, Debug)]
struct ByText(Text);

impl PartialEq for ByText {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for ByText {}

impl Hash for ByText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

impl Borrow<str> for ByText {
    fn borrow(&self) -> &str {
        self.0.as_str()
    }
}

/// The texts of one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Strings {
    texts: HashSet<ByText>,
    next: u64,
    bytes: usize,
    /// Texts that the last sweep left.
    swept: usize,
}

impl Strings {
    /// The entry of a text, which is made where there is none.
    pub fn intern(&mut self, text: &str) -> Text {
        if let Some(found) = self.texts.get(text) {
            return found.0.clone();
        }
        if self.texts.len() >= limits::STRINGS_SWEPT.max(self.swept.saturating_mul(2)) {
            self.sweep();
        }
        let made = Text(Arc::new(Entry { serial: self.next, text: text.into() }));
        self.next += 1;
        self.bytes += text.len() + limits::STRING_BYTES;
        self.texts.insert(ByText(made.clone()));
        made
    }

    /// Drops the texts that only the table refers to.
    pub fn sweep(&mut self) {
        let bytes = &mut self.bytes;
        self.texts.retain(|entry| {
            let used = Arc::strong_count(&entry.0.0) > 1;
            if !used {
                *bytes -= entry.0.as_str().len() + limits::STRING_BYTES;
            }
            used
        });
        self.swept = self.texts.len();
    }

    /// Texts in the table, those that wait for the next sweep among them.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether the table has no text.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Bytes that they take, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Hashes of numbers that are given out in order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SerialHasher(u64);

impl Hasher for SerialHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }
    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing: neighbours end up far apart.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
}

/// A map from serial numbers.
pub(crate) type BySerial<T> = HashMap<u64, T, BuildHasherDefault<SerialHasher>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_dropped_once_nothing_refers_to_it() {
        let mut strings = Strings::default();
        let kept = strings.intern("kept");
        let serial = strings.intern("gone").serial();
        strings.sweep();
        assert_eq!((strings.len(), strings.bytes()), (1, 4 + limits::STRING_BYTES));
        assert_eq!(strings.intern("kept"), kept);
        assert_ne!(strings.intern("gone").serial(), serial, "a mirror that knew it learns it anew");
        for at in 0..100_000 {
            strings.intern(&format!("pod {at}"));
            assert!(strings.len() <= limits::STRINGS_SWEPT + 1, "{at}: {}", strings.len());
        }
    }
}
