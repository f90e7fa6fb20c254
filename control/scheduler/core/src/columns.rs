//! The columns of the contract (plugins/wit/COLUMNS.md) by number and name, and sets of them.

/// Ids of the columns.
#[allow(missing_docs, reason = "plugins/wit/COLUMNS.md says what each is")]
pub mod id {
    pub const NODE_ROW: u32 = 0;
    pub const NODE_NAME: u32 = 1;
    pub const NODE_UNSCHEDULABLE: u32 = 2;
    pub const NODE_LABELS: u32 = 3;
    pub const NODE_TAINTS: u32 = 4;
    pub const NODE_ALLOCATABLE: u32 = 5;
    pub const NODE_REQUESTED: u32 = 6;
    pub const NODE_REQUESTED_NONZERO: u32 = 7;
    pub const NODE_POD_COUNT: u32 = 8;
    pub const NODE_PORTS: u32 = 9;
    pub const NODE_ANNOTATIONS: u32 = 10;
    pub const POD_ROW: u32 = 256;
    pub const POD_NAME: u32 = 257;
    pub const POD_NAMESPACE: u32 = 258;
    pub const POD_UID: u32 = 259;
    pub const POD_LABELS: u32 = 260;
    pub const POD_ANNOTATIONS: u32 = 261;
    pub const POD_REQUESTS: u32 = 262;
    pub const POD_REQUESTS_NONZERO: u32 = 263;
    pub const POD_TOLERATIONS: u32 = 264;
    pub const POD_NODE_NAME: u32 = 265;
    pub const POD_NODE_SELECTOR: u32 = 266;
    pub const POD_NODE_AFFINITY: u32 = 267;
    pub const POD_NODE_AFFINITY_PREFERRED: u32 = 268;
    pub const POD_PORTS: u32 = 269;
    pub const POD_PRIORITY: u32 = 270;
    pub const POD_IMAGES: u32 = 271;
    pub const POD_OWNER: u32 = 272;
}

/// Every column by id and name.
pub const COLUMNS: &[(u32, &str)] = &[
    (id::NODE_ROW, "node.row"),
    (id::NODE_NAME, "node.name"),
    (id::NODE_UNSCHEDULABLE, "node.unschedulable"),
    (id::NODE_LABELS, "node.labels"),
    (id::NODE_TAINTS, "node.taints"),
    (id::NODE_ALLOCATABLE, "node.allocatable"),
    (id::NODE_REQUESTED, "node.requested"),
    (id::NODE_REQUESTED_NONZERO, "node.requested-nonzero"),
    (id::NODE_POD_COUNT, "node.pod-count"),
    (id::NODE_PORTS, "node.ports"),
    (id::NODE_ANNOTATIONS, "node.annotations"),
    (id::POD_ROW, "pod.row"),
    (id::POD_NAME, "pod.name"),
    (id::POD_NAMESPACE, "pod.namespace"),
    (id::POD_UID, "pod.uid"),
    (id::POD_LABELS, "pod.labels"),
    (id::POD_ANNOTATIONS, "pod.annotations"),
    (id::POD_REQUESTS, "pod.requests"),
    (id::POD_REQUESTS_NONZERO, "pod.requests-nonzero"),
    (id::POD_TOLERATIONS, "pod.tolerations"),
    (id::POD_NODE_NAME, "pod.node-name"),
    (id::POD_NODE_SELECTOR, "pod.node-selector"),
    (id::POD_NODE_AFFINITY, "pod.node-affinity"),
    (id::POD_NODE_AFFINITY_PREFERRED, "pod.node-affinity-preferred"),
    (id::POD_PORTS, "pod.ports"),
    (id::POD_PRIORITY, "pod.priority"),
    (id::POD_IMAGES, "pod.images"),
    (id::POD_OWNER, "pod.owner"),
];

const FIRST_OF_PODS: u32 = id::POD_ROW;

/// Which columns are wanted, of nodes and of pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ColumnSet {
    nodes: u64,
    pods: u64,
}

/// A column that this version does not have: a newer component, or a misspelt one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no column {0:?}")]
pub struct UnknownColumn(pub String);

impl ColumnSet {
    /// Those of these names.
    ///
    /// # Errors
    /// Names the first that is no column.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownColumn> {
        let mut set = Self::default();
        for name in names {
            let (id, _) = COLUMNS.iter().find(|(_, n)| *n == name).ok_or_else(|| UnknownColumn(name.to_owned()))?;
            set.insert(*id);
        }
        Ok(set)
    }

    /// Every column.
    pub fn all() -> Self {
        let mut set = Self::default();
        COLUMNS.iter().for_each(|(id, _)| set.insert(*id));
        set
    }

    /// Adds a column.
    pub fn insert(&mut self, id: u32) {
        if id < FIRST_OF_PODS {
            self.nodes |= 1 << id;
        } else {
            self.pods |= 1 << (id - FIRST_OF_PODS);
        }
    }

    /// Whether it has the column.
    pub fn contains(self, id: u32) -> bool {
        if id < FIRST_OF_PODS { self.nodes & (1 << id) != 0 } else { self.pods & (1 << (id - FIRST_OF_PODS)) != 0 }
    }

    /// Those of either.
    pub fn union(self, other: Self) -> Self {
        Self { nodes: self.nodes | other.nodes, pods: self.pods | other.pods }
    }

    /// Whether it has all of the other's.
    pub fn includes(self, other: Self) -> bool {
        self.union(other) == self
    }

    /// The columns of pods among them.
    pub(crate) fn of_pods(self) -> Self {
        Self { nodes: 0, pods: self.pods }
    }

    /// Whether no two pods ever have the same cells.
    pub(crate) fn tells_pods_apart(self) -> bool {
        self.contains(id::POD_NAME) || self.contains(id::POD_UID)
    }

    /// Ids of the nodes' columns, in order.
    pub fn nodes(self) -> impl Iterator<Item = u32> {
        (0..64).filter(move |bit| self.nodes & (1 << bit) != 0)
    }

    /// Ids of the pods' columns, in order.
    pub fn pods(self) -> impl Iterator<Item = u32> {
        (0..64).filter(move |bit| self.pods & (1 << bit) != 0).map(|bit| bit + FIRST_OF_PODS)
    }
}
