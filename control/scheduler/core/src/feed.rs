//! Feeding one mirror: what it has not seen yet, as flat lists.

use crate::cells::{Signature, Word};
use crate::columns::{ColumnSet, id};
use crate::limits;
use crate::snapshot::{Snapshot, from_pods};
use crate::strings::BySerial;
use std::collections::HashMap;

/// See `changes` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// UTF-8 of the new strings.
    pub strings: Vec<u8>,
    /// The end of each string.
    pub string_ends: Vec<u32>,
    /// Columns that have changed cells.
    pub columns: Vec<u32>,
    /// The end of each column's part of `rows`.
    pub column_ends: Vec<u32>,
    /// Rows of changed cells.
    pub rows: Vec<u32>,
    /// The end of each row's part of `words`.
    pub cell_ends: Vec<u32>,
    /// The cells' words.
    pub words: Vec<i64>,
}

impl Changes {
    /// Whether there is nothing to be sent.
    pub fn is_empty(&self) -> bool {
        self.string_ends.is_empty() && self.columns.is_empty()
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        let numbers = [&self.string_ends, &self.columns, &self.column_ends, &self.rows, &self.cell_ends];
        self.strings.len() + numbers.iter().map(|list| list.len() * 4).sum::<usize>() + self.words.len() * 8
    }
}

/// The strings that a mirror has: each mirror numbers its own, and is sent no others.
#[derive(Clone, Debug, Default)]
struct Sent {
    ids: BySerial<u32>,
    bytes: usize,
}

impl Sent {
    fn word(&mut self, word: &Word, changes: &mut Changes) {
        let number = match word {
            Word::Number(number) => *number,
            Word::Text(text) => {
                let next = self.ids.len() as u32;
                i64::from(*self.ids.entry(text.serial()).or_insert_with(|| {
                    changes.strings.extend_from_slice(text.as_str().as_bytes());
                    changes.string_ends.push(changes.strings.len() as u32);
                    self.bytes += text.as_str().len() + limits::STRING_BYTES;
                    next
                }))
            }
        };
        changes.words.push(number);
    }

    fn end_cell(&mut self, row: u32, changes: &mut Changes) {
        changes.rows.push(row);
        changes.cell_ends.push(changes.words.len() as u32);
    }

    fn end_column(&mut self, column: u32, changes: &mut Changes) {
        changes.columns.push(column);
        changes.column_ends.push(changes.rows.len() as u32);
    }
}

/// The state of one mirror: the cells that it has been sent. Of one snapshot only: a mirror never changes worlds.
#[derive(Clone, Debug)]
pub struct Feed {
    columns: ColumnSet,
    sent: Sent,
    generation: Option<u64>,
    pods: HashMap<Signature, u32>,
    next_pod: u32,
    /// Bytes of pods' cells since the mirror began.
    pod_bytes: usize,
    /// [`Feed::bytes`] after the first feeding.
    begun: usize,
}

impl Feed {
    /// A mirror of these columns that has been sent nothing.
    pub fn new(mut columns: ColumnSet) -> Self {
        columns.insert(id::NODE_ROW);
        columns.insert(id::POD_ROW);
        Self {
            columns,
            sent: Sent::default(),
            generation: None,
            pods: HashMap::new(),
            next_pod: 0,
            pod_bytes: 0,
            begun: 0,
        }
    }

    /// The changes that the mirror lacks to answer for this pod, and the pod's row. It counts as sent.
    pub fn changes(&mut self, snapshot: &Snapshot, pod: &Signature) -> (Changes, u32) {
        let mut changes = Changes::default();
        self.nodes(snapshot, &mut changes);
        let row = self.pod(pod, &mut changes);
        (changes, row)
    }

    /// The changes of nodes that the mirror lacks: the part that grows with the cluster. It counts as sent.
    pub fn node_changes(&mut self, snapshot: &Snapshot) -> Changes {
        let mut changes = Changes::default();
        self.nodes(snapshot, &mut changes);
        changes
    }

    /// Bytes of what only ever grows in the mirror: strings, and pods' cells.
    pub fn bytes(&self) -> usize {
        self.sent.bytes + self.pod_bytes
    }

    /// Whether the mirror holds so much that is no longer needed that it is to be begun anew: more than `limit`, and
    /// more than twice of what it began with.
    pub fn is_worn(&self, limit: usize) -> bool {
        self.bytes() > limit.max(self.begun.saturating_mul(2))
    }

    fn nodes(&mut self, snapshot: &Snapshot, changes: &mut Changes) {
        if self.generation == Some(snapshot.generation()) {
            return;
        }
        let (any, objects) = snapshot.changed_since(self.generation.unwrap_or(0));
        for column in self.columns.nodes() {
            let rows = if from_pods(column) { &any } else { &objects };
            for row in rows {
                snapshot.cell(*row, column, |word| self.sent.word(word, changes));
                self.sent.end_cell(*row, changes);
            }
            if !rows.is_empty() {
                self.sent.end_column(column, changes);
            }
        }
        if self.generation.is_none() {
            self.begun = self.bytes();
        }
        self.generation = Some(snapshot.generation());
    }

    fn pod(&mut self, pod: &Signature, changes: &mut Changes) -> u32 {
        if let Some(row) = self.pods.get(pod) {
            return *row;
        }
        if self.next_pod == limits::MIRRORED_PODS {
            self.next_pod = 0;
            self.pods.clear();
        }
        let row = self.next_pod;
        self.next_pod += 1;
        self.pods.insert(pod.clone(), row);
        let before = changes.words.len();
        self.pod_cell(id::POD_ROW, row, &[Word::Number(1)], changes);
        for (column, cell) in pod.cells() {
            if self.columns.contains(column) && column != id::POD_ROW {
                self.pod_cell(column, row, cell, changes);
            }
        }
        self.pod_bytes += size_of_val(&changes.words[before..]);
        row
    }

    fn pod_cell(&mut self, column: u32, row: u32, cell: &[Word], changes: &mut Changes) {
        cell.iter().for_each(|word| self.sent.word(word, changes));
        self.sent.end_cell(row, changes);
        self.sent.end_column(column, changes);
    }
}
