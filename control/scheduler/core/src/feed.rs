//! Feeding one mirror: what it has not seen yet, as flat lists.

use crate::cells::PodView;
use crate::columns::{ColumnSet, id};
use crate::limits;
use crate::snapshot::{Snapshot, from_pods};
use std::collections::HashMap;
use std::sync::Arc;

/// See `changes` in plugins/wit/scheduling.wit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub strings: Vec<u8>,
    pub string_ends: Vec<u32>,
    pub columns: Vec<u32>,
    pub column_ends: Vec<u32>,
    pub rows: Vec<u32>,
    pub cell_ends: Vec<u32>,
    pub words: Vec<i64>,
}

impl Changes {
    fn column(&mut self, column: u32, rows: &[u32], mut cell: impl FnMut(u32, &mut Vec<i64>)) {
        if rows.is_empty() {
            return;
        }
        for row in rows {
            cell(*row, &mut self.words);
            self.rows.push(*row);
            self.cell_ends.push(self.words.len() as u32);
        }
        self.columns.push(column);
        self.column_ends.push(self.rows.len() as u32);
    }

    pub fn is_empty(&self) -> bool {
        self.string_ends.is_empty() && self.columns.is_empty()
    }
}

/// What one mirror has been sent. Of one snapshot only: a mirror never changes worlds.
#[derive(Clone, Debug)]
pub struct Feed {
    columns: ColumnSet,
    strings: u32,
    generation: u64,
    pods: HashMap<Arc<[i64]>, u32>,
    next_pod: u32,
}

impl Feed {
    pub fn new(mut columns: ColumnSet) -> Self {
        columns.insert(id::NODE_ROW);
        columns.insert(id::POD_ROW);
        Self { columns, strings: 0, generation: 0, pods: HashMap::new(), next_pod: 0 }
    }

    /// What the mirror lacks to answer for this pod, and the pod's row. It counts as sent.
    pub fn changes(&mut self, snapshot: &Snapshot, pod: &PodView) -> (Changes, u32) {
        let mut changes = Changes::default();
        for text in snapshot.strings().since(self.strings) {
            changes.strings.extend_from_slice(text.as_bytes());
            changes.string_ends.push(changes.strings.len() as u32);
        }
        self.strings = snapshot.strings().len();
        if snapshot.generation() > self.generation {
            self.nodes(snapshot, &mut changes);
            self.generation = snapshot.generation();
        }
        let row = self.pod(pod, &mut changes);
        (changes, row)
    }

    fn nodes(&self, snapshot: &Snapshot, changes: &mut Changes) {
        let (any, objects) = snapshot.changed_since(self.generation);
        for column in self.columns.nodes() {
            let rows = if from_pods(column) { &any } else { &objects };
            changes.column(column, rows, |row, out| snapshot.cell(row, column, out));
        }
    }

    fn pod(&mut self, pod: &PodView, changes: &mut Changes) -> u32 {
        if let Some(row) = self.pods.get(&pod.signature) {
            return *row;
        }
        if self.next_pod == limits::MIRRORED_PODS {
            self.next_pod = 0;
            self.pods.clear();
        }
        let row = self.next_pod;
        self.next_pod += 1;
        self.pods.insert(Arc::clone(&pod.signature), row);
        changes.column(id::POD_ROW, &[row], |_, out| out.push(1));
        for (column, cell) in pod.cells() {
            if self.columns.contains(column) && column != id::POD_ROW {
                changes.column(column, &[row], |_, out| out.extend_from_slice(cell));
            }
        }
        row
    }
}
