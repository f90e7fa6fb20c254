//! Where bodies can be sent: stored kinds, calls by name, and what stands below an object.

use sampan_registry::resource::{Body, Resource, SubresourceBody};
use sampan_registry::{ResourceTable, Verbs};
use sampan_schema::{Schema, TypeId};
use sampan_testing::generate::{self, Long, Place};
use serde_json::Value;
use std::sync::Arc;

/// How a body of the target is sent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// To the collection, which keeps it.
    Store,
    /// To the collection, which answers.
    Call,
    /// To a path below an object.
    Below(&'static str),
}

/// What bodies of one type are sent to.
#[derive(Clone)]
pub struct Target {
    pub row: Arc<Resource>,
    /// The subresource; empty: the row itself.
    pub below: String,
    pub type_id: TypeId,
    api_version: String,
    kind: String,
    pub first: First,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.row.api_version(), self.row.kind)?;
        if self.below.is_empty() { Ok(()) } else { write!(f, "/{}", self.below) }
    }
}

impl Target {
    /// Every row that takes bodies in its own version, with its type, and every subresource whose bodies are of a kind of
    /// their own.
    pub fn all() -> Vec<Self> {
        let table = ResourceTable::builtin().expect("the built-in rows make a table");
        let mut targets = Vec::new();
        for row in table.iter().filter(|row| row.stored_as.is_none()) {
            let gvk = row.gvk();
            let first = if row.body == Body::Stored { First::Store } else { First::Call };
            if let Some(type_id) = Schema::builtin().type_of(&gvk) {
                let (api_version, kind) = (gvk.api_version(), gvk.kind.to_string());
                targets.push(Self { row: row.clone(), below: String::new(), type_id, api_version, kind, first });
            }
            for one in row.subresources.iter().filter(|one| matches!(one.body, SubresourceBody::Action(_))) {
                let method = if one.verbs.contains(Verbs::UPDATE) { "PUT" } else { "POST" };
                let Some(gvk) = &one.kind else { continue };
                let Some(type_id) = Schema::builtin().type_of(gvk) else { continue };
                let (api_version, kind) = (gvk.api_version(), gvk.kind.to_string());
                let (below, first) = (one.name.to_string(), First::Below(method));
                targets.push(Self { row: row.clone(), below, type_id, api_version, kind, first });
            }
        }
        targets
    }

    pub fn object(&self, place: &Place, long: Long, shift: usize) -> Value {
        generate::object(&self.api_version, &self.kind, place, long, shift)
    }

    /// Where it is created.
    pub fn collection(&self) -> String {
        let mut path = self.row.gvr().base_path();
        if self.row.namespaced {
            path.push_str("/namespaces/default");
        }
        path.push_str(&format!("/{}", self.row.resource));
        path
    }

    /// Under which key it is stored.
    pub fn key(&self) -> String {
        let group = if self.row.group.is_empty() { "core" } else { &self.row.group };
        let namespace = if self.row.namespaced { "default/" } else { "" };
        format!("/registry/{group}/{}/{namespace}x", self.row.resource)
    }

    pub fn views(&self) -> impl Iterator<Item = &str> {
        self.row.subresources.iter().filter(|one| one.body == SubresourceBody::View).map(|one| &*one.name)
    }
}
