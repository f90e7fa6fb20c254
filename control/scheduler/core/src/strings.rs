//! One table of strings: what crosses to policies are ids.

use crate::limits;
use std::collections::HashMap;
use std::sync::Arc;

/// Strings by id, only ever added to.
#[derive(Clone, Debug, Default)]
pub struct Strings {
    ids: HashMap<Arc<str>, u32>,
    list: Vec<Arc<str>>,
    bytes: usize,
}

impl Strings {
    pub fn intern(&mut self, text: &str) -> u32 {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let id = self.list.len() as u32;
        let text: Arc<str> = text.into();
        self.bytes += text.len();
        self.list.push(Arc::clone(&text));
        self.ids.insert(text, id);
        id
    }

    /// The word of a string in a cell.
    pub fn word(&mut self, text: &str) -> i64 {
        i64::from(self.intern(text))
    }

    pub fn find(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    /// "" for an id that was never given out.
    pub fn text(&self, id: u32) -> &str {
        self.list.get(id as usize).map_or("", |text| text)
    }

    pub fn len(&self) -> u32 {
        self.list.len() as u32
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Bytes that a mirror of the table takes, about.
    pub fn bytes(&self) -> usize {
        self.bytes + self.list.len() * limits::STRING_BYTES
    }

    pub fn since(&self, first: u32) -> impl Iterator<Item = &str> {
        self.list.get(first as usize..).unwrap_or_default().iter().map(|text| &**text)
    }
}
