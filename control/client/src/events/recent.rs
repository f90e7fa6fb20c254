use std::collections::{BTreeMap, HashMap};

/// A map that forgets what has not been asked for the longest once it holds `max` keys.
pub(super) struct Recent<V> {
    values: HashMap<String, (u64, V)>,
    order: BTreeMap<u64, String>,
    clock: u64,
    max: usize,
}

impl<V> Recent<V> {
    pub(super) fn new(max: usize) -> Self {
        Self { values: HashMap::new(), order: BTreeMap::new(), clock: 0, max }
    }

    /// The value of the key, made by `make` if there is none; now the one asked for last.
    pub(super) fn entry(&mut self, key: &str, make: impl FnOnce() -> V) -> &mut V {
        self.clock += 1;
        if let Some((used, _)) = self.values.get(key) {
            self.order.remove(used);
        } else if self.values.len() >= self.max
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.values.remove(&oldest);
        }
        self.order.insert(self.clock, key.to_owned());
        let (used, value) = self.values.entry(key.to_owned()).or_insert_with(|| (0, make()));
        *used = self.clock;
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_is_forgotten() {
        let mut recent = Recent::new(2);
        *recent.entry("a", || 0) = 1;
        *recent.entry("b", || 0) = 2;
        assert_eq!(*recent.entry("a", || 0), 1);
        *recent.entry("c", || 0) = 3;
        assert_eq!((*recent.entry("a", || 0), *recent.entry("b", || 0)), (1, 0));
    }
}
