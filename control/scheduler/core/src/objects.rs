//! Objects that a cycle has to see beside its snapshot: it names them, and goes on once it was told of them.

use sampan_api::k8s::api::core::v1::{Node, Pod};
use std::collections::HashMap;
use std::sync::Arc;

/// The kind of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A node, as the snapshot was made of it.
    Node,
    /// A pod, as it was last seen.
    Pod,
}

/// Names an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: ObjectKind,
    /// "" for a kind without namespaces.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// An object that was asked for.
#[derive(Clone, Debug)]
pub enum Object {
    /// A node.
    Node(Arc<Node>),
    /// A pod.
    Pod(Arc<Pod>),
}

/// The objects that a cycle asked for and was told of.
#[derive(Clone, Debug, Default)]
pub struct Objects(HashMap<ObjectRef, Option<Object>>);

impl Objects {
    /// Tells of an object; `None`: there is none of that name.
    pub fn tell(&mut self, name: ObjectRef, object: Option<Object>) {
        self.0.insert(name, object);
    }

    /// Adds what the other tells.
    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// `None`: nobody has told of it; `Some(None)`: there is no such object.
    pub fn get(&self, name: &ObjectRef) -> Option<Option<&Object>> {
        self.0.get(name).map(Option::as_ref)
    }
}
