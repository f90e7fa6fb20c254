//! What the cluster looks like: nodes in rows, what their pods take of them, and when each row last changed.

use crate::cells::{PodView, node_cell};
use crate::columns::{ColumnSet, id};
use crate::limits;
use crate::pod::{PodInfo, Port, Usage};
use crate::strings::Strings;
use sampan_api::k8s::api::core::v1::Node;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// One node. A node that pods name but that is not there (yet, or any more) has a row too, and is no candidate.
#[derive(Clone, Debug)]
struct Row {
    name: Arc<str>,
    node: Option<Arc<Node>>,
    /// Column and cell, of the wanted columns that come from the node's object.
    cells: Vec<(u32, Vec<i64>)>,
    requested: Vec<(u32, i64)>,
    nonzero: (i64, i64),
    pods: u32,
    ports: Vec<Port>,
}

#[derive(Clone, Debug)]
struct Seated {
    row: u32,
    usage: Arc<Usage>,
}

/// The cluster at one moment. The driver changes it between two cycles; a cycle only reads it.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    strings: Strings,
    columns: ColumnSet,
    rows: Vec<Option<Row>>,
    free: Vec<u32>,
    by_name: HashMap<Arc<str>, u32>,
    /// Rows of the nodes that are there, by name.
    order: Vec<u32>,
    pods: HashMap<Arc<str>, Seated>,
    generation: u64,
    /// For each row: the generation of its last change, and of the last change of its node's object.
    changed: Vec<u64>,
    object_changed: Vec<u64>,
    /// Rows of the last generations, the newest last.
    log: VecDeque<u32>,
}

impl Snapshot {
    pub fn new(columns: ColumnSet) -> Self {
        Self { columns, ..Self::default() }
    }

    pub fn strings(&self) -> &Strings {
        &self.strings
    }
    pub fn strings_mut(&mut self) -> &mut Strings {
        &mut self.strings
    }
    pub fn columns(&self) -> ColumnSet {
        self.columns
    }
    /// Rows of the nodes that are there, by name.
    pub fn order(&self) -> &[u32] {
        &self.order
    }
    pub fn node_name(&self, row: u32) -> &str {
        self.row(row).map_or("", |row| &row.name)
    }
    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.row(*self.by_name.get(name)?)?.node.as_ref()
    }
    pub fn generation(&self) -> u64 {
        self.generation
    }
    /// For each row, when it last changed.
    pub(crate) fn changed(&self) -> &[u64] {
        &self.changed
    }
    /// Rows that changed after this generation, and of them those whose node's object did; in order, each once.
    pub(crate) fn changed_since(&self, generation: u64) -> (Vec<u32>, Vec<u32>) {
        let missed = usize::try_from(self.generation.saturating_sub(generation)).unwrap_or(usize::MAX);
        let mut any: Vec<u32> = if missed <= self.log.len() {
            self.log.range(self.log.len() - missed..).copied().collect()
        } else {
            (0..self.rows()).filter(|row| self.changed[*row as usize] > generation).collect()
        };
        any.sort_unstable();
        any.dedup();
        let objects = any.iter().copied().filter(|row| self.object_changed[*row as usize] > generation).collect();
        (any, objects)
    }
    pub fn rows(&self) -> u32 {
        self.rows.len() as u32
    }
    pub fn pod_count(&self) -> usize {
        self.pods.len()
    }
    /// The node that a pod is counted on.
    pub fn node_of(&self, uid: &str) -> Option<&str> {
        self.pods.get(uid).map(|seated| self.node_name(seated.row))
    }
    /// What is requested of a node: resource and amount.
    pub fn requested(&self, node: &str) -> Vec<(&str, i64)> {
        let row = self.by_name.get(node).and_then(|row| self.row(*row));
        row.map(|row| row.requested.iter().map(|(name, n)| (self.strings.text(*name), *n)).collect())
            .unwrap_or_default()
    }

    fn row(&self, row: u32) -> Option<&Row> {
        self.rows.get(row as usize)?.as_ref()
    }

    /// The pod as policies that want these columns see it.
    pub fn view(&mut self, pod: &PodInfo, columns: ColumnSet) -> PodView {
        PodView::new(pod, columns, &mut self.strings)
    }

    /// Makes sure that these columns are there too. Nodes are read again where they were not.
    pub fn want(&mut self, columns: ColumnSet) {
        if self.columns.includes(columns) {
            return;
        }
        self.columns = self.columns.union(columns);
        for row in 0..self.rows.len() {
            let Some(node) = self.rows[row].as_ref().and_then(|row| row.node.clone()) else { continue };
            let cells = self.cells_of(&node);
            if let Some(found) = self.rows[row].as_mut() {
                found.cells = cells;
            }
            self.touch(row as u32, true);
        }
    }

    fn cells_of(&mut self, node: &Node) -> Vec<(u32, Vec<i64>)> {
        let wanted = self.columns;
        wanted
            .nodes()
            .filter(|column| !from_pods(*column) && *column != id::NODE_ROW)
            .map(|column| {
                let mut cell = Vec::new();
                node_cell(node, column, &mut self.strings, &mut cell);
                (column, cell)
            })
            .collect()
    }

    fn touch(&mut self, row: u32, object: bool) {
        self.generation += 1;
        if self.log.len() == limits::CHANGES_LOGGED {
            self.log.pop_front();
        }
        self.log.push_back(row);
        self.changed[row as usize] = self.generation;
        if object {
            self.object_changed[row as usize] = self.generation;
        }
    }

    fn row_of(&mut self, name: &str) -> u32 {
        if let Some(row) = self.by_name.get(name) {
            return *row;
        }
        let name: Arc<str> = name.into();
        let made = Row {
            name: Arc::clone(&name),
            node: None,
            cells: Vec::new(),
            requested: Vec::new(),
            nonzero: (0, 0),
            pods: 0,
            ports: Vec::new(),
        };
        let row = match self.free.pop() {
            Some(row) => {
                self.rows[row as usize] = Some(made);
                row
            }
            None => {
                self.rows.push(Some(made));
                self.changed.push(0);
                self.object_changed.push(0);
                self.rows.len() as u32 - 1
            }
        };
        self.by_name.insert(name, row);
        row
    }

    /// Adds a node or takes its new form. Returns whether anything changed that a policy can see: heartbeats do not.
    pub fn set_node(&mut self, node: Arc<Node>) -> bool {
        let name = node.metadata.name.clone().unwrap_or_default();
        let cells = self.cells_of(&node);
        let row = self.row_of(&name);
        let Some(found) = self.rows[row as usize].as_mut() else { return false };
        let new = found.node.is_none();
        let same = !new && found.cells == cells;
        found.node = Some(node);
        if same {
            return false;
        }
        found.cells = cells;
        self.touch(row, true);
        if new {
            let at = self.order.partition_point(|other| self.node_name(*other) < name.as_str());
            self.order.insert(at, row);
        }
        true
    }

    pub fn remove_node(&mut self, name: &str) {
        let Some(row) = self.by_name.get(name).copied() else { return };
        let Some(found) = self.rows[row as usize].as_mut() else { return };
        if found.node.take().is_none() {
            return;
        }
        found.cells.clear();
        self.order.retain(|other| *other != row);
        self.touch(row, true);
        self.vacate(row);
    }

    /// Gives a row back that neither a node nor a pod needs.
    fn vacate(&mut self, row: u32) {
        let unused = self.row(row).is_some_and(|row| row.node.is_none() && row.pods == 0);
        if unused && let Some(gone) = self.rows[row as usize].take() {
            self.by_name.remove(&gone.name);
            self.free.push(row);
        }
    }

    /// Counts a pod on a node; where it was counted before no longer counts.
    pub fn seat(&mut self, node: &str, uid: &Arc<str>, usage: &Arc<Usage>) {
        if let Some(seated) = self.pods.get(uid) {
            if self.node_name(seated.row) == node && seated.usage == *usage {
                return;
            }
            self.unseat(&Arc::clone(uid));
        }
        let row = self.row_of(node);
        let Some(found) = self.rows[row as usize].as_mut() else { return };
        for (resource, amount) in &usage.requests {
            match found.requested.iter_mut().find(|(name, _)| name == resource) {
                Some((_, sum)) => *sum = sum.saturating_add(*amount),
                None => found.requested.push((*resource, *amount)),
            }
        }
        found.nonzero.0 = found.nonzero.0.saturating_add(usage.nonzero.0);
        found.nonzero.1 = found.nonzero.1.saturating_add(usage.nonzero.1);
        found.ports.extend(&usage.ports);
        found.pods += 1;
        self.pods.insert(Arc::clone(uid), Seated { row, usage: Arc::clone(usage) });
        self.touch(row, false);
    }

    /// No longer counts a pod. Returns whether it was counted.
    pub fn unseat(&mut self, uid: &str) -> bool {
        let Some(seated) = self.pods.remove(uid) else { return false };
        if let Some(found) = self.rows[seated.row as usize].as_mut() {
            for (resource, amount) in &seated.usage.requests {
                if let Some((_, sum)) = found.requested.iter_mut().find(|(name, _)| name == resource) {
                    *sum = sum.saturating_sub(*amount);
                }
            }
            found.nonzero.0 = found.nonzero.0.saturating_sub(seated.usage.nonzero.0);
            found.nonzero.1 = found.nonzero.1.saturating_sub(seated.usage.nonzero.1);
            for port in &seated.usage.ports {
                if let Some(at) = found.ports.iter().position(|other| other == port) {
                    found.ports.swap_remove(at);
                }
            }
            found.pods -= 1;
        }
        self.touch(seated.row, false);
        self.vacate(seated.row);
        true
    }

    /// The words of a node's cell.
    pub(crate) fn cell(&self, row: u32, column: u32, out: &mut Vec<i64>) {
        let Some(row) = self.row(row).filter(|row| row.node.is_some()) else { return };
        match column {
            id::NODE_ROW => out.push(1),
            id::NODE_REQUESTED => out.extend(row.requested.iter().flat_map(|(name, n)| [i64::from(*name), *n])),
            id::NODE_REQUESTED_NONZERO => out.extend([row.nonzero.0, row.nonzero.1]),
            id::NODE_POD_COUNT => out.push(i64::from(row.pods)),
            id::NODE_PORTS => {
                out.extend(row.ports.iter().flat_map(|p| [i64::from(p.ip), p.protocol as i64, i64::from(p.port)]));
            }
            _ => {
                if let Some((_, cell)) = row.cells.iter().find(|(id, _)| *id == column) {
                    out.extend_from_slice(cell);
                }
            }
        }
    }
}

/// Columns that change with a node's pods and not with its object.
pub(crate) fn from_pods(column: u32) -> bool {
    matches!(column, id::NODE_REQUESTED | id::NODE_REQUESTED_NONZERO | id::NODE_POD_COUNT | id::NODE_PORTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_the_same_by_the_log_and_by_looking_at_every_row() {
        let mut snapshot = Snapshot::new(ColumnSet::all());
        let node = |name: &str, cordoned: bool| {
            let value = serde_json::json!({"metadata": {"name": name}, "spec": {"unschedulable": cordoned}});
            Arc::new(serde_json::from_value::<Node>(value).expect("a node"))
        };
        for at in 0..20 {
            snapshot.set_node(node(&format!("n{at:02}"), false));
        }
        let by_rows = |snapshot: &Snapshot, generation: u64| {
            let newer = |stamps: &[u64]| -> Vec<u32> {
                (0..snapshot.rows()).filter(|row| stamps[*row as usize] > generation).collect()
            };
            (newer(&snapshot.changed), newer(&snapshot.object_changed))
        };
        let usage = Arc::new(Usage::default());
        for step in 0..limits::CHANGES_LOGGED as u64 + 100 {
            let name = format!("n{:02}", step % 17);
            if step % 5 == 0 {
                snapshot.set_node(node(&name, step % 2 == 0));
            } else {
                snapshot.seat(&name, &format!("p{}", step % 40).into(), &usage);
            }
            if step % 101 == 0 {
                for back in [0, 1, 7, 60, snapshot.generation()] {
                    let since = snapshot.generation() - back.min(snapshot.generation());
                    assert_eq!(snapshot.changed_since(since), by_rows(&snapshot, since), "step {step}, {back} back");
                }
            }
        }
        assert_eq!(snapshot.log.len(), limits::CHANGES_LOGGED);
        assert_eq!(snapshot.changed_since(0), by_rows(&snapshot, 0));
    }
}
