//! The seam to admission: what the registry tells it, inside the compare-and-swap loop, and what it may answer.

use crate::options::Warnings;
use crate::resource::Resource;
use async_trait::async_trait;
use sampan_api::object::Object;
use sampan_api::status::Status;
use sampan_api::user::UserInfo;
use serde_json::Value;

/// `admission.Operation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

/// What is to be admitted; `admission.Attributes` without the new object, which is handed beside it.
#[derive(Clone, Copy)]
pub struct Attributes<'a> {
    pub operation: Operation,
    /// The row that the request named (its group, version, resource and kind).
    pub resource: &'a Resource,
    /// `""` for the object itself.
    pub subresource: &'a str,
    /// `""` for a cluster-scoped object.
    pub namespace: &'a str,
    /// May be `""` at a create with `generateName` before the name was made.
    pub name: &'a str,
    pub user: &'a UserInfo,
    pub dry_run: bool,
    /// The call's options as an object (`CreateOptions`, ...), where the caller has them; otherwise null.
    pub options: &'a Value,
    /// The object as it is stored, at updates and deletions.
    pub old: Option<&'a Object>,
    pub warnings: &'a Warnings,
}

/// Whether a plugin changed the object: then defaults are applied again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutated {
    Yes,
    No,
}

/// The chain. May be called several times for one request, as often as the compare-and-swap loop runs.
/// The objects are in the version that the request named.
#[async_trait]
pub trait Admission: Send + Sync {
    /// Changes the object. Not called for deletions; for an action or a stream the object is its body.
    async fn mutate(&self, attributes: &Attributes<'_>, object: &mut Object) -> Result<Mutated, Status>;
    /// Refuses or lets pass. `object` is `None` for deletions.
    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status>;
}

/// Admission that changes and refuses nothing: for the server's own first objects, and for tests.
#[derive(Clone, Copy, Debug)]
pub struct AdmitAll;

#[async_trait]
impl Admission for AdmitAll {
    async fn mutate(&self, _: &Attributes<'_>, _: &mut Object) -> Result<Mutated, Status> {
        Ok(Mutated::No)
    }
    async fn validate(&self, _: &Attributes<'_>, _: Option<&Object>) -> Result<(), Status> {
        Ok(())
    }
}
