//! The columns by name and number: plugins/wit/COLUMNS.md is the contract, this is its shape in Rust.

macro_rules! columns {
    ($($(#[doc = $cell:literal])+ $variant:ident = $id:literal, $name:literal;)*) => {
        /// Something that a policy may ask to know of nodes or of the pod in hand.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Column { $($(#[doc = $cell])+ $variant = $id),* }
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
    /// `[1]`, or empty: the row is gone (always sent).
    NodeRow = 0, "node.row";
    /// `s`.
    NodeName = 1, "node.name";
    /// `n` 0 or 1.
    NodeUnschedulable = 2, "node.unschedulable";
    /// (`s` key, `s` value)* sorted by key.
    NodeLabels = 3, "node.labels";
    /// (`s` key, `s` value, `n` effect)*; effects: 0 NoSchedule, 1 PreferNoSchedule, 2 NoExecute.
    NodeTaints = 4, "node.taints";
    /// (`s` resource, `n`)*; cpu in thousandths, the rest in units.
    NodeAllocatable = 5, "node.allocatable";
    /// (`s` resource, `n`)*; the sum over the node's pods.
    NodeRequested = 6, "node.requested";
    /// `n` cpu in thousandths, `n` memory in bytes: as above, with 100m and 200Mi for a container that asks for none.
    NodeRequestedNonzero = 7, "node.requested-nonzero";
    /// `n`.
    NodePodCount = 8, "node.pod-count";
    /// (`s` host IP, `n` protocol, `n` port)*; protocols: 0 TCP, 1 UDP, 2 SCTP.
    NodePorts = 9, "node.ports";
    /// (`s` key, `s` value)* sorted by key.
    NodeAnnotations = 10, "node.annotations";
    /// `[1]`, or empty: the row is gone (always sent).
    PodRow = 256, "pod.row";
    /// `s`.
    PodName = 257, "pod.name";
    /// `s`.
    PodNamespace = 258, "pod.namespace";
    /// `s`.
    PodUid = 259, "pod.uid";
    /// (`s` key, `s` value)* sorted by key.
    PodLabels = 260, "pod.labels";
    /// (`s` key, `s` value)* sorted by key.
    PodAnnotations = 261, "pod.annotations";
    /// (`s` resource, `n`)*; init containers, sidecars, overhead and pod-level resources counted as Kubernetes does.
    PodRequests = 262, "pod.requests";
    /// `n` cpu in thousandths, `n` memory in bytes.
    PodRequestsNonzero = 263, "pod.requests-nonzero";
    /// (`s` key, `n` operator, `s` value, `n` effect)*; operators: 0 Equal, 1 Exists; effect as above, -1 for all.
    PodTolerations = 264, "pod.tolerations";
    /// `s`.
    PodNodeName = 265, "pod.node-name";
    /// (`s` key, `s` value)* sorted by key.
    PodNodeSelector = 266, "pod.node-selector";
    /// Empty: none required; else `n` terms, each: `n` requirements, each: `n` kind, `s` key, `n` operator, `n` values, `s`*.
    PodNodeAffinity = 267, "pod.node-affinity";
    /// (`n` weight, then one term as above)*.
    PodNodeAffinityPreferred = 268, "pod.node-affinity-preferred";
    /// (`s` host IP, `n` protocol, `n` port)*, host ports only.
    PodPorts = 269, "pod.ports";
    /// `n`.
    PodPriority = 270, "pod.priority";
    /// `s`*.
    PodImages = 271, "pod.images";
    /// `s` kind, `s` name, `s` uid of the controller; empty: none.
    PodOwner = 272, "pod.owner";
    /// (`s` key, `n` operator, `n` value, `n` effect)*: those that compare; operators: 4 Gt, 5 Lt; effect as above, -1 for all.
    PodComparingTolerations = 273, "pod.comparing-tolerations";
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

/// The comparison that a requirement of a node selector makes.
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
