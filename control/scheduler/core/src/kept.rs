//! Answers that still hold: for each group of a profile's policies and each signature, by row.

use crate::answer::{FilterAnswer, Reason, ScoreAnswer};
use crate::cells::Signature;
use crate::limits;
use crate::snapshot::Snapshot;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The key under which answers are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Of the profile.
    pub generation: u64,
    /// Index of the group among the profile's at the point.
    pub group: usize,
    /// Of the pod's cells that the group reads.
    pub signature: Signature,
}

/// Something that is kept, and what it takes.
pub(crate) trait Weighed {
    fn bytes(&self) -> usize;
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    used: u64,
    bytes: usize,
}

/// Bounded in bytes: what was used longest ago goes first.
#[derive(Debug)]
pub(crate) struct Table<T> {
    entries: HashMap<Key, Entry<T>>,
    by_use: BTreeMap<u64, Key>,
    bytes: usize,
    clock: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), by_use: BTreeMap::new(), bytes: 0, clock: 0 }
    }
}

impl<T: Default + Weighed> Table<T> {
    /// Takes out the known answers: they are put back by [`Table::put`] if they still hold.
    pub fn take(&mut self, key: &Key) -> T {
        let Some(entry) = self.entries.remove(key) else { return T::default() };
        self.by_use.remove(&entry.used);
        self.bytes -= entry.bytes;
        entry.value
    }

    /// Keeps a value; one of more than a quarter of the bound is not kept.
    pub fn put(&mut self, key: Key, value: T) {
        let bytes = value.bytes() + key.signature.bytes();
        if bytes > limits::KEPT_BYTES / 4 {
            return;
        }
        while self.bytes + bytes > limits::KEPT_BYTES / 2
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.bytes -= self.entries.remove(&oldest).map_or(0, |entry| entry.bytes);
        }
        self.clock += 1;
        self.by_use.insert(self.clock, key.clone());
        self.bytes += bytes;
        self.entries.insert(key, Entry { value, used: self.clock, bytes });
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The row has changed since it was last asked about.
const UNASKED: u16 = u16::MAX;

/// The answers of one group's filters about one signature.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Of the snapshot, when it was last brought up to date.
    generation: Option<u64>,
    /// 0: passed; [`UNASKED`]; else 1 + an index into `reasons`. By row.
    marks: Vec<u16>,
    /// Rows that are refused.
    refused: usize,
    /// Rows that nobody has asked about.
    unasked: Vec<u32>,
    reasons: Vec<Arc<Reason>>,
    numbers: HashMap<Arc<Reason>, u16>,
    /// Policies that the pod does not concern.
    pub skipped: Vec<u32>,
    reason_bytes: usize,
}

impl Weighed for Marks {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.marks.len() * 2 + self.unasked.len() * 4 + self.reason_bytes
    }
}

impl Marks {
    /// Forgets what no longer holds.
    pub fn refresh(&mut self, snapshot: &Snapshot) {
        if self.generation == Some(snapshot.generation()) {
            return;
        }
        // Too many reasons were ever given: those that are still in use come again.
        if self.reasons.len() > limits::REASONS {
            let skipped = std::mem::take(&mut self.skipped);
            *self = Self { skipped, ..Self::default() };
        }
        let changed = match self.generation {
            Some(generation) => snapshot.changed_since(generation).0,
            None => (0..snapshot.rows()).collect(),
        };
        self.marks.resize(snapshot.rows() as usize, 0);
        for row in changed {
            let mark = &mut self.marks[row as usize];
            self.refused -= usize::from(*mark != 0 && *mark != UNASKED);
            *mark = 0;
            if snapshot.is_node(row) {
                *mark = UNASKED;
                self.unasked.push(row);
            }
        }
        self.unasked.sort_unstable();
        self.unasked.dedup();
        self.generation = Some(snapshot.generation());
    }

    /// Of the candidates (positions in the snapshot's order), the rows that are to be asked about.
    pub fn to_ask(&self, snapshot: &Snapshot, candidates: &[u32], rows: &mut Vec<u32>) {
        rows.clear();
        let order = snapshot.order();
        let is_unasked = |row: &u32| self.marks[*row as usize] == UNASKED;
        // Few rows are looked up, many are met on the way through all.
        if self.unasked.len() > candidates.len() / 8 {
            rows.extend(candidates.iter().map(|at| order[*at as usize]).filter(|row| is_unasked(row)));
            return;
        }
        let is_candidate = |row: &u32| {
            let position = snapshot.position(*row);
            position.is_some_and(|at| candidates.len() == order.len() || candidates.binary_search(&(at as u32)).is_ok())
        };
        rows.extend(self.unasked.iter().copied().filter(|row| is_unasked(row) && is_candidate(row)));
    }

    /// Takes the answer about these rows.
    pub fn learn(&mut self, rows: &[u32], answer: FilterAnswer) {
        let numbers: Vec<u16> = answer.reasons.into_iter().map(|reason| self.number(reason)).collect();
        for (index, row) in rows.iter().enumerate() {
            let mark = answer.marks.get(index).copied().unwrap_or(0);
            let mark = usize::from(mark).checked_sub(1).and_then(|at| numbers.get(at)).copied().unwrap_or(0);
            self.refused += usize::from(mark != 0);
            self.marks[*row as usize] = mark;
        }
        let marks = &self.marks;
        self.unasked.retain(|row| marks[*row as usize] == UNASKED);
        self.skipped.extend(answer.skipped);
    }

    fn number(&mut self, reason: Reason) -> u16 {
        if let Some(number) = self.numbers.get(&reason) {
            return *number;
        }
        let reason = Arc::new(reason);
        self.reason_bytes += size_of::<Reason>() + reason.texts.iter().map(|text| text.len() + 32).sum::<usize>();
        self.reasons.push(Arc::clone(&reason));
        // One answer has few reasons, and there is a bound before the next: see `refresh`.
        let number = u16::try_from(self.reasons.len()).unwrap_or(UNASKED - 1);
        self.numbers.insert(reason, number);
        number
    }

    /// Whether any row that was asked about is refused.
    pub fn refuses_any(&self) -> bool {
        self.refused > 0
    }

    /// Number of the reason that refuses the row.
    pub fn refusal(&self, row: u32) -> Option<usize> {
        match self.marks[row as usize] {
            0 | UNASKED => None,
            mark => Some(usize::from(mark) - 1),
        }
    }

    /// Reasons by number: see [`Marks::refusal`].
    pub fn reasons(&self) -> &[Arc<Reason>] {
        &self.reasons
    }
}

/// The scores of one group about one signature.
#[derive(Debug, Default)]
pub(crate) struct RawScores {
    generation: Option<u64>,
    /// Whether the row's scores hold. By row.
    scored: Vec<bool>,
    /// Raw scores by policy of the group, then by row; none of a policy that the pod does not concern.
    raw: Vec<Vec<i64>>,
    /// Policies that the pod does not concern.
    pub skipped: Vec<u32>,
}

impl Weighed for RawScores {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.scored.len() + self.raw.iter().map(|raw| raw.len() * 8).sum::<usize>()
    }
}

impl RawScores {
    /// Forgets what no longer holds.
    pub fn refresh(&mut self, snapshot: &Snapshot, policies: usize) {
        if self.generation == Some(snapshot.generation()) {
            return;
        }
        let rows = snapshot.rows() as usize;
        if let Some(generation) = self.generation {
            self.scored.resize(rows, false);
            snapshot.changed_since(generation).0.iter().for_each(|row| self.scored[*row as usize] = false);
        } else {
            self.scored = vec![false; rows];
        }
        self.raw.resize_with(policies, Vec::new);
        self.raw.iter_mut().filter(|raw| !raw.is_empty()).for_each(|raw| raw.resize(rows, 0));
        self.generation = Some(snapshot.generation());
    }

    /// Puts those of the candidates into `rows` whose scores do not hold.
    pub fn to_ask(&self, candidates: &[u32], rows: &mut Vec<u32>) {
        rows.clear();
        rows.extend(candidates.iter().copied().filter(|row| !self.scored[*row as usize]));
    }

    /// Takes the answer about these rows; `asked`: indexes in the group of the policies that were asked, and their ids.
    pub fn learn(&mut self, rows: &[u32], asked: &[(usize, u32)], answer: ScoreAnswer) {
        let scoring = asked.iter().filter(|(_, id)| !answer.skipped.contains(id));
        for ((policy, _), values) in scoring.zip(answer.values.chunks_exact(rows.len())) {
            let raw = &mut self.raw[*policy];
            raw.resize(self.scored.len(), 0);
            for (row, value) in rows.iter().zip(values) {
                raw[*row as usize] = *value;
            }
        }
        rows.iter().for_each(|row| self.scored[*row as usize] = true);
        self.skipped.extend(answer.skipped);
    }

    /// Raw scores of one policy of the group, by row.
    pub fn of(&self, policy: usize) -> &[i64] {
        &self.raw[policy]
    }
}

/// All that is kept between cycles.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Answers of filters.
    pub marks: Table<Marks>,
    /// Answers of scores.
    pub scores: Table<RawScores>,
}

impl Kept {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.marks.clear();
        self.scores.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::{ColumnSet, id};
    use crate::pod::PodInfo;

    #[test]
    fn what_is_kept_is_bounded_in_bytes_and_the_oldest_goes_first() {
        let mut snapshot = Snapshot::default();
        let mut columns = ColumnSet::default();
        columns.insert(id::POD_NAME);
        let mut key = |at: usize| {
            let pod = serde_json::json!({"metadata": {"name": format!("p{at}")}});
            let pod = PodInfo::new(Arc::new(serde_json::from_value(pod).expect("a pod")), snapshot.strings_mut());
            Key { generation: 0, group: 0, signature: snapshot.signature(&pod, columns).expect("a small pod") }
        };
        let big = || Marks { marks: vec![0; limits::KEPT_BYTES / 32], ..Marks::default() };
        let mut table = Table::default();
        for at in 0..40 {
            table.put(key(at), big());
            assert!(table.bytes <= limits::KEPT_BYTES / 2 && table.entries.len() == table.by_use.len());
        }
        assert!(table.take(&key(0)).marks.is_empty() && !table.take(&key(39)).marks.is_empty());
        let before = table.entries.len();
        table.put(key(41), Marks { marks: vec![0; limits::KEPT_BYTES], ..Marks::default() });
        assert_eq!(table.entries.len(), before, "one that is larger than its share pushes out no other");
    }
}
