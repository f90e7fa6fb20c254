//! A map that forgets what was not asked for longest.

use std::collections::{BTreeMap, HashMap};

/// At most so many values by their keys.
pub(crate) struct Lru<V> {
    max: usize,
    /// By key: when it was last asked for, and the value.
    values: HashMap<String, (u64, V)>,
    /// Keys by when they were last asked for.
    order: BTreeMap<u64, String>,
    asked: u64,
}

impl<V> Lru<V> {
    /// An empty one for `max` values, at least one.
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), values: HashMap::new(), order: BTreeMap::new(), asked: 0 }
    }

    /// The value of a key, which is made where there is none.
    pub(crate) fn entry(&mut self, key: &str, make: impl FnOnce() -> V) -> &mut V {
        self.asked += 1;
        match self.values.get(key) {
            Some((before, _)) => {
                self.order.remove(before);
            }
            None if self.values.len() >= self.max => {
                if let Some((_, oldest)) = self.order.pop_first() {
                    self.values.remove(&oldest);
                }
            }
            None => {}
        }
        self.order.insert(self.asked, key.to_owned());
        let entry = self.values.entry(key.to_owned()).or_insert_with(|| (self.asked, make()));
        entry.0 = self.asked;
        &mut entry.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_longest_goes() {
        let mut lru = Lru::new(2);
        lru.entry("a", || 1);
        lru.entry("b", || 2);
        assert_eq!(*lru.entry("a", || 9), 1);
        lru.entry("c", || 3);
        assert_eq!(*lru.entry("a", || 9), 1, "it was asked for after b");
        assert_eq!(*lru.entry("b", || 9), 9, "it had gone");
    }
}
