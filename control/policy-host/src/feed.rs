//! Feeding a mirror in bounded pieces.

use crate::limits;
use sampan_wasm_runtime::policy::{PolicyBudget, PolicyChanges};
use std::collections::VecDeque;
use std::time::Duration;

/// Bytes of changes as they cross.
pub fn bytes_of(changes: &PolicyChanges) -> usize {
    let counts = [&changes.string_ends, &changes.columns, &changes.column_ends, &changes.rows, &changes.cell_ends];
    changes.strings.len()
        + counts.iter().map(|list| list.len() * size_of::<u32>()).sum::<usize>()
        + changes.words.len() * size_of::<i64>()
}

/// The budget of feeding this many bytes.
pub(crate) fn budget(bytes: usize) -> PolicyBudget {
    let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    let cpu = limits::FEED_CPU.saturating_add(limits::FEED_CPU_PER_KIB.saturating_mul(kib));
    PolicyBudget { cpu, wall: cpu.saturating_mul(limits::FEED_WALL_FACTOR) }
}

/// A budget with what crosses beside the question added to it.
pub(crate) fn with_question(call: PolicyBudget, bytes: usize) -> PolicyBudget {
    let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    let more = limits::FEED_CPU_PER_KIB.saturating_mul(kib);
    PolicyBudget { cpu: call.cpu.saturating_add(more), wall: call.wall.saturating_add(more * limits::FEED_WALL_FACTOR) }
}

/// The speed at which an instance takes what it is fed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    bytes: u64,
    cpu: Duration,
}

impl Pace {
    /// Counts what was fed and what feeding took.
    pub fn fed(&mut self, bytes: usize, cpu: Duration) {
        self.bytes += bytes as u64;
        self.cpu += cpu;
    }

    /// CPU time that feeding `bytes` will take; `None` before anything was fed.
    pub fn expected(&self, bytes: usize) -> Option<Duration> {
        let each = self.cpu.as_nanos().checked_div(u128::from(self.bytes))?;
        // One more for what the division lost.
        let nanos = (each + 1).saturating_mul(bytes as u128);
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

/// Adds `more` after `changes`.
pub(crate) fn append(changes: &mut PolicyChanges, more: PolicyChanges) {
    let (strings, rows) = (changes.strings.len() as u32, changes.rows.len() as u32);
    let words = changes.words.len() as u32;
    changes.strings.extend(more.strings);
    changes.string_ends.extend(more.string_ends.into_iter().map(|end| end + strings));
    changes.columns.extend(more.columns);
    changes.column_ends.extend(more.column_ends.into_iter().map(|end| end + rows));
    changes.rows.extend(more.rows);
    changes.cell_ends.extend(more.cell_ends.into_iter().map(|end| end + words));
    changes.words.extend(more.words);
}

/// A piece that is being filled.
struct Filling {
    first: usize,
    max: usize,
    done: VecDeque<PolicyChanges>,
    piece: PolicyChanges,
    bytes: usize,
}

impl Filling {
    /// Begins another piece where this one has no room for the bytes.
    fn room_for(&mut self, bytes: usize) {
        let max = if self.done.is_empty() { self.first } else { self.max };
        if self.bytes > 0 && self.bytes + bytes > max {
            self.done.push_back(std::mem::take(&mut self.piece));
            self.bytes = 0;
        }
        self.bytes += bytes;
    }

    fn string(&mut self, text: &[u8]) {
        self.room_for(text.len() + size_of::<u32>());
        self.piece.strings.extend_from_slice(text);
        self.piece.string_ends.push(self.piece.strings.len() as u32);
    }

    fn cell(&mut self, column: u32, row: u32, words: &[i64]) {
        self.room_for(size_of_val(words) + 2 * size_of::<u32>());
        let piece = &mut self.piece;
        piece.rows.push(row);
        piece.words.extend_from_slice(words);
        piece.cell_ends.push(piece.words.len() as u32);
        let end = piece.rows.len() as u32;
        match piece.columns.last() {
            Some(last) if *last == column => {
                if let Some(last) = piece.column_ends.last_mut() {
                    *last = end;
                }
            }
            _ => {
                piece.columns.push(column);
                piece.column_ends.push(end);
            }
        }
    }

    fn finish(mut self) -> VecDeque<PolicyChanges> {
        if self.bytes > 0 {
            self.done.push_back(self.piece);
        }
        self.done
    }
}

/// Splits the changes into pieces of at most `first` bytes, then of `max` (a string or a cell is never cut): every
/// string before the first cell, since cells name them. None for no changes.
pub fn split(changes: &PolicyChanges, first: usize, max: usize) -> VecDeque<PolicyChanges> {
    let mut filling = Filling { first, max, done: VecDeque::new(), piece: PolicyChanges::default(), bytes: 0 };
    let mut begin = 0;
    for end in changes.string_ends.iter().map(|end| *end as usize) {
        filling.string(changes.strings.get(begin..end).unwrap_or_default());
        begin = end;
    }
    let (mut row, mut word) = (0, 0);
    for (column, end) in changes.columns.iter().zip(&changes.column_ends) {
        for at in row..*end as usize {
            let (Some(of), Some(cell_end)) = (changes.rows.get(at), changes.cell_ends.get(at)) else { break };
            let cell_end = *cell_end as usize;
            filling.cell(*column, *of, changes.words.get(word..cell_end).unwrap_or_default());
            word = cell_end;
        }
        row = *end as usize;
    }
    filling.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// The content of a fed mirror: its strings, and its cells by row and column.
    type Mirrored = (Vec<Vec<u8>>, BTreeMap<(u32, u32), Vec<i64>>);

    fn mirror<'a>(fed: impl IntoIterator<Item = &'a PolicyChanges>) -> Mirrored {
        let (mut strings, mut cells) = (Vec::new(), BTreeMap::new());
        for changes in fed {
            let mut begin = 0;
            for end in &changes.string_ends {
                strings.push(changes.strings[begin..*end as usize].to_vec());
                begin = *end as usize;
            }
            let (mut row, mut word) = (0, 0);
            for (column, end) in changes.columns.iter().zip(&changes.column_ends) {
                while row < *end as usize {
                    let cell_end = changes.cell_ends[row] as usize;
                    for id in &changes.words[word..cell_end] {
                        assert!((*id as usize) < strings.len(), "a cell names a string that was not sent yet");
                    }
                    cells.insert((*column, changes.rows[row]), changes.words[word..cell_end].to_vec());
                    word = cell_end;
                    row += 1;
                }
            }
        }
        (strings, cells)
    }

    fn changes(strings: usize, columns: u32, rows: u32, words: usize) -> PolicyChanges {
        let mut made = PolicyChanges::default();
        for at in 0..strings {
            made.strings.extend_from_slice("s".repeat(at % 40).as_bytes());
            made.string_ends.push(made.strings.len() as u32);
        }
        for column in 0..columns {
            for row in 0..rows {
                made.words.extend((0..words).map(|at| ((at + row as usize) % strings.max(1)) as i64));
                made.rows.push(row);
                made.cell_ends.push(made.words.len() as u32);
            }
            made.columns.push(column);
            made.column_ends.push(made.rows.len() as u32);
        }
        made
    }

    #[test]
    fn pieces_are_bounded_and_say_the_same_together() {
        let check = |changes: PolicyChanges, first: usize, max: usize| {
            let pieces = split(&changes, first, max);
            assert_eq!(mirror(&pieces), mirror([&changes]));
            for (at, piece) in pieces.iter().enumerate() {
                let bound = if at == 0 { first } else { max };
                let single = piece.string_ends.len() + piece.rows.len() == 1;
                // A column's own two numbers are not counted while it is filled.
                let columns = piece.columns.len() * 2 * size_of::<u32>();
                assert!(single || bytes_of(piece) <= bound + columns, "{} of {bound}", bytes_of(piece));
            }
            pieces.len()
        };
        assert_eq!(check(PolicyChanges::default(), 100, 100), 0);
        assert_eq!(check(changes(3, 2, 2, 1), 10_000, 10_000), 1);
        assert!(check(changes(50, 3, 200, 4), 256, 1024) > 10);
        assert!(check(changes(5, 1, 20, 100), 64, 64) >= 20, "a cell is never cut");
        check(changes(1000, 0, 0, 0), 100, 500);
    }

    #[test]
    fn what_is_appended_is_said_after_it() {
        let (first, second) = (changes(20, 2, 10, 3), changes(0, 3, 4, 1));
        let mut both = first.clone();
        append(&mut both, second.clone());
        assert_eq!(mirror([&both]), mirror([&first, &second]));
        let mut from_nothing = PolicyChanges::default();
        append(&mut from_nothing, first.clone());
        assert_eq!(from_nothing, first);
    }

    #[test]
    fn a_budget_grows_with_what_is_fed_and_a_pace_is_measured() {
        assert!(budget(1 << 20).cpu >= budget(1 << 10).cpu + Duration::from_secs(1));
        let mut pace = Pace::default();
        assert_eq!(pace.expected(1), None);
        pace.fed(1000, Duration::from_millis(1));
        let expected = pace.expected(20_000).expect("measured");
        assert!(expected >= Duration::from_millis(20) && expected < Duration::from_millis(21), "{expected:?}");
    }
}
