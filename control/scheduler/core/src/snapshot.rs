//! A snapshot of the cluster: nodes in rows, their pods' use of them, and the last change of each row.

use crate::cells::{Signature, TooLarge, Word, Words, node_cell};
use crate::columns::{ColumnSet, id};
use crate::limits;
use crate::pod::{PodInfo, Port, Usage};
use crate::policies::Profile;
use crate::strings::{Strings, Text};
use crate::view::PodView;
use sampan_api::k8s::api::core::v1::Node;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// One node. A node that pods name but that is not there (yet, or any more) has a row too, and is no candidate.
#[derive(Clone, Debug, Default)]
struct Row {
    name: Arc<str>,
    node: Option<Arc<Node>>,
    /// Column and cell, of the wanted columns that come from the node's object.
    cells: Vec<(u32, Vec<Word>)>,
    /// Sum of what its pods request of a resource, and how many of them do. Sums of user's numbers: never too small a
    /// type for them.
    requested: BTreeMap<Text, (i128, u32)>,
    nonzero: (i128, i128),
    pods: u32,
    ports: BTreeMap<Port, u32>,
    /// Pods by priority.
    priorities: BTreeMap<i32, u32>,
}

impl Row {
    fn add(&mut self, usage: &Usage) {
        for (resource, amount) in &usage.requests {
            let (sum, pods) = self.requested.entry(resource.clone()).or_default();
            *sum += i128::from(*amount);
            *pods += 1;
        }
        self.nonzero.0 += i128::from(usage.nonzero.0);
        self.nonzero.1 += i128::from(usage.nonzero.1);
        usage.ports.iter().for_each(|port| *self.ports.entry(port.clone()).or_default() += 1);
        *self.priorities.entry(usage.priority).or_default() += 1;
        self.pods += 1;
    }

    fn remove(&mut self, usage: &Usage) {
        for (resource, amount) in &usage.requests {
            let Some((sum, pods)) = self.requested.get_mut(resource) else { continue };
            *sum -= i128::from(*amount);
            *pods -= 1;
            if *pods == 0 {
                self.requested.remove(resource);
            }
        }
        self.nonzero.0 -= i128::from(usage.nonzero.0);
        self.nonzero.1 -= i128::from(usage.nonzero.1);
        usage.ports.iter().for_each(|port| count_down(&mut self.ports, port));
        count_down(&mut self.priorities, &usage.priority);
        self.pods -= 1;
    }
}

fn count_down<K: Ord>(counts: &mut BTreeMap<K, u32>, key: &K) {
    let Some(count) = counts.get_mut(key) else { return };
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
}

/// A sum as cells have it: the nearest that fits.
fn word(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}

/// A pod that is counted on a node.
#[derive(Clone, Debug)]
struct Counted {
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
    pods: HashMap<Arc<str>, Counted>,
    generation: u64,
    /// For each row: the generation of its last change, and of the last change of its node's object.
    changed: Vec<u64>,
    object_changed: Vec<u64>,
    /// Rows of the last generations, the newest last.
    log: VecDeque<u32>,
}

impl Snapshot {
    /// An empty cluster of which these columns are wanted.
    pub fn new(columns: ColumnSet) -> Self {
        Self { columns, ..Self::default() }
    }

    /// The texts that cells refer to.
    pub fn strings(&self) -> &Strings {
        &self.strings
    }
    /// The strings, to make a [`PodInfo`] with.
    pub fn strings_mut(&mut self) -> &mut Strings {
        &mut self.strings
    }
    /// The columns that it holds.
    pub fn columns(&self) -> ColumnSet {
        self.columns
    }
    /// Rows of the nodes that are there, by name.
    pub fn order(&self) -> &[u32] {
        &self.order
    }
    /// A row's place in [`Snapshot::order`]; `None`: it is no node's.
    pub(crate) fn position(&self, row: u32) -> Option<usize> {
        let name = self.row(row).filter(|row| row.node.is_some()).map(|row| &*row.name)?;
        let at = self.order.partition_point(|other| self.node_name(*other) < name);
        (self.order.get(at) == Some(&row)).then_some(at)
    }
    /// Whether a node is there at that row.
    pub(crate) fn is_node(&self, row: u32) -> bool {
        self.row(row).is_some_and(|row| row.node.is_some())
    }
    /// Name of the row's node; "" for a row that is not used.
    pub fn node_name(&self, row: u32) -> &str {
        self.row(row).map_or("", |row| &row.name)
    }
    /// The node of that name, if it is there.
    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.row(*self.by_name.get(name)?)?.node.as_ref()
    }
    /// Grows with each change.
    pub fn generation(&self) -> u64 {
        self.generation
    }
    /// The lowest priority among the pods of a row.
    pub(crate) fn lowest_priority(&self, row: u32) -> Option<i32> {
        self.row(row)?.priorities.keys().next().copied()
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
    /// Rows that were ever used: every row's number is below it.
    pub fn rows(&self) -> u32 {
        self.rows.len() as u32
    }
    /// Pods that are counted on a node.
    pub fn pod_count(&self) -> usize {
        self.pods.len()
    }
    /// The node that a pod is counted on.
    pub fn node_of(&self, uid: &str) -> Option<&str> {
        self.pods.get(uid).map(|counted| self.node_name(counted.row))
    }
    /// The sum of requests on a node: resource and amount.
    pub fn requested(&self, node: &str) -> Vec<(&str, i64)> {
        let row = self.by_name.get(node).and_then(|row| self.row(*row));
        row.map(|row| row.requested.iter().map(|(name, (n, _))| (name.as_str(), word(*n))).collect())
            .unwrap_or_default()
    }

    fn row(&self, row: u32) -> Option<&Row> {
        self.rows.get(row as usize)?.as_ref()
    }

    /// The pod as each unit of the profile sees it.
    pub fn view(&mut self, pod: &PodInfo, profile: &Profile) -> PodView {
        PodView::new(pod, profile, &mut self.strings)
    }

    /// The pod as a unit that wants these columns sees it.
    ///
    /// # Errors
    /// When the pod brings more than policies take.
    pub fn signature(&mut self, pod: &PodInfo, columns: ColumnSet) -> Result<Signature, TooLarge> {
        Signature::new(pod, columns, &mut self.strings)
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

    fn cells_of(&mut self, node: &Node) -> Vec<(u32, Vec<Word>)> {
        let wanted = self.columns;
        wanted
            .nodes()
            .filter(|column| !from_pods(*column) && *column != id::NODE_ROW)
            .map(|column| {
                let mut cell = Words { strings: &mut self.strings, words: Vec::new() };
                node_cell(node, column, &mut cell);
                (column, cell.words)
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
        let made = Row { name: Arc::clone(&name), ..Row::default() };
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

    /// A node is gone. Its pods stay counted on its row until they go too.
    pub fn remove_node(&mut self, name: &str) {
        let Some(row) = self.by_name.get(name).copied() else { return };
        let Some(found) = self.rows[row as usize].as_mut() else { return };
        if found.node.take().is_none() {
            return;
        }
        found.cells.clear();
        self.order.retain(|other| *other != row);
        self.touch(row, true);
        self.release_row(row);
    }

    /// Gives a row back that neither a node nor a pod needs.
    fn release_row(&mut self, row: u32) {
        let unused = self.row(row).is_some_and(|row| row.node.is_none() && row.pods == 0);
        if unused && let Some(gone) = self.rows[row as usize].take() {
            self.by_name.remove(&gone.name);
            self.free.push(row);
        }
    }

    /// Counts a pod on a node; where it was counted before no longer counts.
    pub fn add_pod(&mut self, node: &str, uid: &Arc<str>, usage: &Arc<Usage>) {
        if let Some(counted) = self.pods.get(uid) {
            if self.node_name(counted.row) == node && counted.usage == *usage {
                return;
            }
            self.remove_pod(&Arc::clone(uid));
        }
        let row = self.row_of(node);
        let Some(found) = self.rows[row as usize].as_mut() else { return };
        found.add(usage);
        self.pods.insert(Arc::clone(uid), Counted { row, usage: Arc::clone(usage) });
        self.touch(row, false);
    }

    /// No longer counts a pod. Returns whether it was counted.
    pub fn remove_pod(&mut self, uid: &str) -> bool {
        let Some(counted) = self.pods.remove(uid) else { return false };
        if let Some(found) = self.rows[counted.row as usize].as_mut() {
            found.remove(&counted.usage);
        }
        self.touch(counted.row, false);
        self.release_row(counted.row);
        true
    }

    /// The words of a node's cell, one by one.
    pub(crate) fn cell(&self, row: u32, column: u32, mut out: impl FnMut(&Word)) {
        let Some(row) = self.row(row).filter(|row| row.node.is_some()) else { return };
        let mut numbers = |numbers: &[i64]| numbers.iter().for_each(|number| out(&Word::Number(*number)));
        match column {
            id::NODE_ROW => numbers(&[1]),
            id::NODE_REQUESTED => {
                for (name, (sum, _)) in &row.requested {
                    out(&name.into());
                    out(&word(*sum).into());
                }
            }
            id::NODE_REQUESTED_NONZERO => numbers(&[word(row.nonzero.0), word(row.nonzero.1)]),
            id::NODE_POD_COUNT => numbers(&[i64::from(row.pods)]),
            id::NODE_PORTS => {
                for port in row.ports.keys() {
                    out(&(&port.ip).into());
                    out(&Word::Number(port.protocol as i64));
                    out(&Word::Number(i64::from(port.port)));
                }
            }
            _ => {
                if let Some((_, cell)) = row.cells.iter().find(|(id, _)| *id == column) {
                    cell.iter().for_each(out);
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
                snapshot.add_pod(&name, &format!("p{}", step % 40).into(), &usage);
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
