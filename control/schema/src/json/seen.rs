//! Which of an object's fields were met.

use std::collections::BTreeSet;

/// The fields of an object that were met, by their positions in its type.
#[derive(Default)]
pub(super) struct Seen {
    first: u128,
    /// Those behind the first 128: types of definitions have as many as their authors like.
    more: BTreeSet<usize>,
}

impl Seen {
    /// Whether it was not met before.
    pub(super) fn insert(&mut self, position: usize) -> bool {
        let Some(bit) = u32::try_from(position).ok().and_then(|position| 1_u128.checked_shl(position)) else {
            return self.more.insert(position);
        };
        let new = self.first & bit == 0;
        self.first |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_new_once() {
        let mut seen = Seen::default();
        for position in [0, 127, 128, 129, 255, 256, 1 << 40] {
            assert!(seen.insert(position) && !seen.insert(position), "{position}");
        }
    }
}
