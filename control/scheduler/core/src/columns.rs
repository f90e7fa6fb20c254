//! The columns of the contract (plugins/wit/COLUMNS.md) by number and name, and sets of them.

/// Ids of the columns and the table of their names, out of one list. Each line says what a cell holds, in the notation of
/// plugins/wit/COLUMNS.md.
macro_rules! columns {
    ($($(#[doc = $cell:literal])+ $constant:ident = $id:literal, $name:literal;)*) => {
        /// Ids of the columns, and what a cell of each holds (`s`: id of a string, `n`: number, `*`: repeated).
        pub mod id {
            $($(#[doc = $cell])+ pub const $constant: u32 = $id;)*
        }

        /// Every column by id and name.
        pub const COLUMNS: &[(u32, &str)] = &[$((id::$constant, $name)),*];
    };
}

columns! {
    /// `[1]`, or empty: the row is gone (always sent).
    NODE_ROW = 0, "node.row";
    /// `s`.
    NODE_NAME = 1, "node.name";
    /// `n` 0 or 1.
    NODE_UNSCHEDULABLE = 2, "node.unschedulable";
    /// (`s` key, `s` value)* sorted by key.
    NODE_LABELS = 3, "node.labels";
    /// (`s` key, `s` value, `n` effect)*; effects: 0 NoSchedule, 1 PreferNoSchedule, 2 NoExecute.
    NODE_TAINTS = 4, "node.taints";
    /// (`s` resource, `n`)*; cpu in thousandths, the rest in units.
    NODE_ALLOCATABLE = 5, "node.allocatable";
    /// (`s` resource, `n`)*; the sum over the node's pods.
    NODE_REQUESTED = 6, "node.requested";
    /// `n` cpu in thousandths, `n` memory in bytes: as above, with 100m and 200Mi for a container that asks for none.
    NODE_REQUESTED_NONZERO = 7, "node.requested-nonzero";
    /// `n`.
    NODE_POD_COUNT = 8, "node.pod-count";
    /// (`s` host IP, `n` protocol, `n` port)*; protocols: 0 TCP, 1 UDP, 2 SCTP.
    NODE_PORTS = 9, "node.ports";
    /// (`s` key, `s` value)* sorted by key.
    NODE_ANNOTATIONS = 10, "node.annotations";
    /// `[1]`, or empty: the row is gone (always sent).
    POD_ROW = 256, "pod.row";
    /// `s`.
    POD_NAME = 257, "pod.name";
    /// `s`.
    POD_NAMESPACE = 258, "pod.namespace";
    /// `s`.
    POD_UID = 259, "pod.uid";
    /// (`s` key, `s` value)* sorted by key.
    POD_LABELS = 260, "pod.labels";
    /// (`s` key, `s` value)* sorted by key.
    POD_ANNOTATIONS = 261, "pod.annotations";
    /// (`s` resource, `n`)*; init containers, sidecars, overhead and pod-level resources counted as Kubernetes does.
    POD_REQUESTS = 262, "pod.requests";
    /// `n` cpu in thousandths, `n` memory in bytes.
    POD_REQUESTS_NONZERO = 263, "pod.requests-nonzero";
    /// (`s` key, `n` operator, `s` value, `n` effect)*; operators: 0 Equal, 1 Exists; effect as above, -1 for all.
    POD_TOLERATIONS = 264, "pod.tolerations";
    /// `s`.
    POD_NODE_NAME = 265, "pod.node-name";
    /// (`s` key, `s` value)* sorted by key.
    POD_NODE_SELECTOR = 266, "pod.node-selector";
    /// Empty: none required; else `n` terms, each: `n` requirements, each: `n` kind, `s` key, `n` operator, `n` values, `s`*.
    POD_NODE_AFFINITY = 267, "pod.node-affinity";
    /// (`n` weight, then one term as above)*.
    POD_NODE_AFFINITY_PREFERRED = 268, "pod.node-affinity-preferred";
    /// (`s` host IP, `n` protocol, `n` port)*, host ports only.
    POD_PORTS = 269, "pod.ports";
    /// `n`.
    POD_PRIORITY = 270, "pod.priority";
    /// `s`*.
    POD_IMAGES = 271, "pod.images";
    /// `s` kind, `s` name, `s` uid of the controller; empty: none.
    POD_OWNER = 272, "pod.owner";
    /// (`s` key, `n` operator, `n` value, `n` effect)*: those that compare; operators: 4 Gt, 5 Lt; effect as above, -1 for all.
    POD_COMPARING_TOLERATIONS = 273, "pod.comparing-tolerations";
}

const FIRST_OF_PODS: u32 = id::POD_ROW;

/// A set of columns, of nodes and of pods.
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
    /// The columns of these names.
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

    /// The columns of either set.
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
