//! The columns by name and number: plugins/wit/COLUMNS.md is the contract, this is its shape in Rust.

macro_rules! columns {
    ($($variant:ident = $id:literal, $name:literal;)*) => {
        /// Something that a policy may ask to know of nodes or of the pod in hand.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Column { $($variant = $id),* }
        impl Column {
            /// Every column, in order of the ids.
            pub const ALL: &'static [Column] = &[$(Column::$variant),*];
            /// Its name in the contract.
            pub fn name(self) -> &'static str {
                match self { $(Column::$variant => $name),* }
            }
            /// Its number in the contract.
            pub fn id(self) -> u32 {
                self as u32
            }
        }
    };
}

columns! {
    NodeRow = 0, "node.row";
    NodeName = 1, "node.name";
    NodeUnschedulable = 2, "node.unschedulable";
    NodeLabels = 3, "node.labels";
    NodeTaints = 4, "node.taints";
    NodeAllocatable = 5, "node.allocatable";
    NodeRequested = 6, "node.requested";
    NodeRequestedNonzero = 7, "node.requested-nonzero";
    NodePodCount = 8, "node.pod-count";
    NodePorts = 9, "node.ports";
    NodeAnnotations = 10, "node.annotations";
    PodRow = 256, "pod.row";
    PodName = 257, "pod.name";
    PodNamespace = 258, "pod.namespace";
    PodUid = 259, "pod.uid";
    PodLabels = 260, "pod.labels";
    PodAnnotations = 261, "pod.annotations";
    PodRequests = 262, "pod.requests";
    PodRequestsNonzero = 263, "pod.requests-nonzero";
    PodTolerations = 264, "pod.tolerations";
    PodNodeName = 265, "pod.node-name";
    PodNodeSelector = 266, "pod.node-selector";
    PodNodeAffinity = 267, "pod.node-affinity";
    PodNodeAffinityPreferred = 268, "pod.node-affinity-preferred";
    PodPorts = 269, "pod.ports";
    PodPriority = 270, "pod.priority";
    PodImages = 271, "pod.images";
    PodOwner = 272, "pod.owner";
}

/// A taint's effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    NoSchedule = 0,
    PreferNoSchedule = 1,
    NoExecute = 2,
}

impl Effect {
    pub(crate) fn from_word(word: i64) -> Option<Self> {
        match word {
            0 => Some(Self::NoSchedule),
            1 => Some(Self::PreferNoSchedule),
            2 => Some(Self::NoExecute),
            _ => None,
        }
    }
}

/// What a requirement of a node selector asks of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    In = 0,
    NotIn = 1,
    Exists = 2,
    DoesNotExist = 3,
    Gt = 4,
    Lt = 5,
}

impl Operator {
    pub(crate) fn from_word(word: i64) -> Option<Self> {
        [Self::In, Self::NotIn, Self::Exists, Self::DoesNotExist, Self::Gt, Self::Lt]
            .into_iter()
            .find(|operator| *operator as i64 == word)
    }
}

/// A port's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp = 0,
    Udp = 1,
    Sctp = 2,
}
