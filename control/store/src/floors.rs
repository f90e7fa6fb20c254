//! Compaction floors: one a prefix.

use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub(crate) struct Floors(BTreeMap<String, u64>);

impl Floors {
    /// Raises the prefix's floor; true if that changed anything.
    pub(crate) fn raise(&mut self, prefix: &str, revision: u64) -> bool {
        if self.covering(prefix) >= revision {
            return false;
        }
        self.0.insert(prefix.to_owned(), revision);
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn contains(&self, prefix: &str) -> bool {
        self.0.contains_key(prefix)
    }

    /// The highest floor that touches any key with the prefix.
    pub(crate) fn of(&self, prefix: &str) -> u64 {
        self.touching(|floor| floor.starts_with(prefix) || prefix.starts_with(floor))
    }

    /// The highest floor that holds for every key with the prefix (for a key: its floor).
    pub(crate) fn covering(&self, prefix: &str) -> u64 {
        self.touching(|floor| prefix.starts_with(floor))
    }

    pub(crate) fn highest(&self) -> u64 {
        self.touching(|_| true)
    }

    fn touching(&self, touches: impl Fn(&str) -> bool) -> u64 {
        self.0.iter().filter(|(floor, _)| touches(floor)).map(|(_, revision)| *revision).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors_hold_for_what_they_touch() {
        let mut floors = Floors::default();
        assert!(floors.raise("/registry/core/events/", 7));
        assert!(floors.raise("/registry/core/", 3));
        assert!(!floors.raise("/registry/core/events/ns/", 5), "covered by a higher one");
        for (prefix, of, covering) in [
            ("", 7, 0),
            ("/registry/core/", 7, 3),
            ("/registry/core/pods/", 3, 3),
            ("/registry/core/events/a/b", 7, 7),
            ("/registry/apps/", 0, 0),
        ] {
            assert_eq!((floors.of(prefix), floors.covering(prefix)), (of, covering), "{prefix}");
        }
    }
}
