//! Compaction floors: one a prefix.

use crate::error::Error;
use crate::limits::FLOORS_MAX;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub(crate) struct Floors(BTreeMap<String, u64>);

impl Floors {
    /// Whether raising the prefix's floor would change anything; an error if there is no room for another prefix.
    pub(crate) fn allows(&self, prefix: &str, revision: u64) -> Result<bool, Error> {
        if self.covering(prefix) >= revision {
            return Ok(false);
        }
        if !self.0.contains_key(prefix) && self.0.len() >= FLOORS_MAX {
            return Err(Error::TooLarge { what: "the number of floors", size: FLOORS_MAX + 1, limit: FLOORS_MAX });
        }
        Ok(true)
    }

    /// Raises the prefix's floor; it never falls.
    pub(crate) fn raise(&mut self, prefix: &str, revision: u64) {
        let floor = self.0.entry(prefix.to_owned()).or_default();
        *floor = revision.max(*floor);
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
        floors.raise("/registry/core/events/", 7);
        floors.raise("/registry/core/", 3);
        floors.raise("/registry/core/", 2);
        assert_eq!(floors.allows("/registry/core/events/ns/", 5), Ok(false), "covered by a higher one");
        assert_eq!(floors.allows("/registry/core/events/ns/", 8), Ok(true));
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
