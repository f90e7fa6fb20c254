//! The one seam to admission: what a writer tells it, inside the compare-and-swap loop, and what it may answer. The
//! registry and the API server call it, the admission chain is behind it.

use crate::limits::{AUDIT_ANNOTATIONS_MAX, WARNINGS_MAX};
use crate::meta::{GroupResource, GroupVersionKind, GroupVersionResource};
use crate::object::Object;
use crate::record::Record;
use crate::status::Status;
use crate::user::UserInfo;
use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// `admission.Operation` of k8s.io/apiserver. Shown as there: `CREATE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        })
    }
}

/// The attributes of a request for admission: `admission.Attributes` of k8s.io/apiserver without the new object, which
/// is handed beside it.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// The verb as admission knows it.
    pub operation: Operation,
    /// As the request named it.
    pub resource: &'a GroupVersionResource,
    /// `""` for the object itself.
    pub subresource: &'a str,
    /// `""` for a cluster-scoped object.
    pub namespace: &'a str,
    /// `""` at a create with `generateName` before the name was made.
    pub name: &'a str,
    /// The user who writes.
    pub user: &'a UserInfo,
    /// Nothing will be stored.
    pub dry_run: bool,
    /// The fields of the call's options, whose kind follows from the operation (see [`Self::shown_options`]); null where the
    /// caller has none.
    pub options: &'a Value,
    /// The object as it is stored, in the version that the request named. Only at updates and deletions.
    pub old: Option<&'a Object>,
    /// Warnings are left here for the response's headers.
    pub warnings: &'a Warnings,
    /// What admission may ask about the kinds of objects.
    pub kinds: &'a dyn Kinds,
    /// Left here for who audits the request; `None`: nobody does.
    pub annotations: Option<&'a Annotations>,
}

impl Attributes<'_> {
    /// Whether this is about the objects of a resource themselves, no subresource.
    pub fn is(&self, group: &str, resource: &str) -> bool {
        // What differs most often, and in its length already, comes first: each plugin asks.
        self.resource.resource == resource && self.resource.group == group && self.subresource.is_empty()
    }

    /// The options as an object of the kind that the operation has, whatever the request's own verb: a patch is shown
    /// `UpdateOptions`, and what creates by a patch or an update `CreateOptions`. Null where there are none.
    pub fn shown_options(&self) -> Value {
        let kind = match self.operation {
            Operation::Create => "CreateOptions",
            Operation::Update => "UpdateOptions",
            Operation::Delete => "DeleteOptions",
            Operation::Connect => return Value::Null,
        };
        let Some(fields) = self.options.as_object() else { return Value::Null };
        let mut shown = Map::from_iter([
            ("kind".to_owned(), Value::from(kind)),
            ("apiVersion".to_owned(), Value::from("meta.k8s.io/v1")),
        ]);
        shown.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
        Value::Object(shown)
    }

    /// The resource without its version.
    pub fn group_resource(&self) -> GroupResource {
        self.resource.group_resource()
    }

    /// 403 in the words of `admission.NewForbidden`.
    pub fn forbidden(&self, why: &str) -> Status {
        Status::forbidden(&self.group_resource(), self.name, why)
    }
}

/// What admission may ask about the kinds of objects: `admission.ObjectInterfaces` of k8s.io/apiserver.
#[async_trait]
pub trait Kinds: fmt::Debug + Send + Sync {
    /// The other resources under which the same objects are served, each with the kind that the bodies have there.
    fn equivalents(&self, resource: &GroupVersionResource, subresource: &str) -> Vec<Equivalent>;

    /// An object of a resource as an equivalent one has it. Errors: a conversion webhook's.
    async fn convert(&self, object: &Object, to: &Equivalent) -> Result<Object, Status>;

    /// Whether a schema says what objects of the kind have.
    fn describes(&self, kind: &GroupVersionKind) -> bool;

    /// Reads an object of which others wrote parts as if it had come so, and fills in its defaults. Errors: 500, for a field of
    /// another type than its own, and where such are refused for one that its type does not have.
    fn read(&self, object: &mut Object, unknown: UnknownFields) -> Result<(), Status>;

    /// An object with what a configuration of the same kind sets, merged as server-side apply merges; nobody comes to own it.
    /// The error is structured-merge-diff's.
    fn merge(&self, object: &Object, configuration: &Map<String, Value>) -> Result<Object, String>;
}

/// What becomes of fields that a type does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownFields {
    Refused,
    Dropped,
}

/// A resource, and the kind of its bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equivalent {
    /// Under which the objects are served.
    pub resource: GroupVersionResource,
    /// Of the bodies of the resource, or of the subresource that was asked for.
    pub kind: GroupVersionKind,
}

/// Knows no kinds: for tests, and for plugins that are asked outside of a registry.
#[derive(Clone, Copy, Debug)]
pub struct NoKinds;

#[async_trait]
impl Kinds for NoKinds {
    fn equivalents(&self, _: &GroupVersionResource, _: &str) -> Vec<Equivalent> {
        Vec::new()
    }

    async fn convert(&self, _: &Object, to: &Equivalent) -> Result<Object, Status> {
        Err(Status::internal(&format!("unable to convert to {}: unknown kind", to.resource)))
    }

    fn describes(&self, _: &GroupVersionKind) -> bool {
        false
    }

    fn read(&self, _: &mut Object, _: UnknownFields) -> Result<(), Status> {
        Ok(())
    }

    fn merge(&self, _: &Object, _: &Map<String, Value>) -> Result<Object, String> {
        Err("type converter must not be nil".to_owned())
    }
}

/// Whether admission changed the object: then defaults are applied again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutated {
    #[default]
    No,
    /// By code of this server, which writes fields that the type has, as the type has them.
    Yes,
    /// By somebody else, who may have written anything: the object is read again as if it had come so.
    ByOthers,
}

impl Mutated {
    /// The more of the two.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.max(other)
    }
}

/// Admits writes. It may be called several times for one request, as often as the compare-and-swap loop runs, and so has
/// no side effects. The objects are in the version that the request named.
#[async_trait]
pub trait Admission: Send + Sync {
    /// Changes the object, or refuses it. `object` is `None` for deletions, of which nothing can be changed. For an action
    /// the object is the call's body.
    async fn mutate(&self, attributes: &Attributes<'_>, object: Option<&mut Object>) -> Result<Mutated, Status>;
    /// Refuses or lets pass what will be written. `object` is `None` for deletions.
    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status>;
    /// Asked last of what is about to be created or updated: writes of other objects that stand or fall with it, or a
    /// refusal. Here alone the objects are in the version that is stored. Asked again when one of those was written by
    /// somebody else in the meantime. In a dry run the answer is dropped.
    async fn charge(&self, _: &Attributes<'_>, _: &Object) -> Result<Charges, Status> {
        Ok(Charges::default())
    }
}

/// Writes that go into the transaction of the write that is admitted: a quota's use beside what uses it.
#[derive(Default)]
pub struct Charges {
    /// Each of another object.
    pub writes: Vec<Charge>,
    /// Held until the transaction is done or has failed: the place in a line of those who would change the same objects.
    pub turn: Option<Box<dyn Any + Send + Sync>>,
}

impl Charges {
    /// Adds what another asks for. Turns are kept, both of them.
    pub fn add(&mut self, other: Self) {
        self.writes.extend(other.writes);
        self.turn = match (self.turn.take(), other.turn) {
            (Some(one), Some(two)) => Some(Box::new((one, two))),
            (one, two) => one.or(two),
        };
    }
}

/// The status of an object as it is to be.
#[derive(Clone, Debug)]
pub struct Charge {
    /// The resource, in the version that is stored.
    pub resource: GroupVersionResource,
    /// The object as the charge was computed from it; if it is another by now, the charge is asked for again.
    pub current: Arc<Record>,
    /// The object with its new status.
    pub object: Object,
}

/// Admission that changes and refuses nothing: for the server's own first objects, for what follows from a call that was
/// admitted, and for tests.
#[derive(Clone, Copy, Debug)]
pub struct AdmitAll;

#[async_trait]
impl Admission for AdmitAll {
    async fn mutate(&self, _: &Attributes<'_>, _: Option<&mut Object>) -> Result<Mutated, Status> {
        Ok(Mutated::No)
    }
    async fn validate(&self, _: &Attributes<'_>, _: Option<&Object>) -> Result<(), Status> {
        Ok(())
    }
}

/// The texts of a response's `Warning` headers, each once, in order, at most [`WARNINGS_MAX`].
#[derive(Debug, Default)]
pub struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    /// Adds a text unless it is there or there are too many.
    pub fn add(&self, text: impl Into<String>) {
        let text = text.into();
        let mut all = self.0.lock();
        if all.len() < WARNINGS_MAX && !all.contains(&text) {
            all.push(text);
        }
    }

    /// The texts; none are left.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

/// Annotations of a request for its audit, by key: what is said first stands. At most [`AUDIT_ANNOTATIONS_MAX`].
#[derive(Debug, Default)]
pub struct Annotations(Mutex<BTreeMap<String, String>>);

impl Annotations {
    /// Adds an annotation unless its key has one or there are too many.
    pub fn add(&self, key: impl Into<String>, value: impl Into<String>) {
        let mut all = self.0.lock();
        if all.len() < AUDIT_ANNOTATIONS_MAX {
            all.entry(key.into()).or_insert_with(|| value.into());
        }
    }

    /// The annotations; none are left.
    pub fn take(&self) -> BTreeMap<String, String> {
        std::mem::take(&mut self.0.lock())
    }
}
