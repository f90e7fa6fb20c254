//! The options of a call, already parsed from its query or body.

use crate::conversion::Conversions;
use async_trait::async_trait;
use sampan_api::admission::{Admission, Warnings};
use sampan_api::object::Object;
use sampan_api::selector::{FieldSelector, LabelSelector};
use sampan_api::status::Status;
use sampan_api::user::UserInfo;
use std::fmt::Debug;
use std::sync::Arc;

/// The caller and its options: handed to every write. Borrowed from the request for its duration.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    pub user: &'a UserInfo,
    /// The API verb (`create`, `update`, `patch`, `delete`, ...), for the writer's identity in the log.
    pub verb: &'a str,
    pub user_agent: &'a str,
    pub request_id: &'a str,
    /// The manager of the written fields: `fieldManager`, or the first part of the user agent.
    pub field_manager: &'a str,
    /// `dryRun=All`: everything but the write.
    pub dry_run: bool,
    /// The fields of the call's options (`metav1.CreateOptions`, ...), for admission; null where there are none.
    pub options: &'a serde_json::Value,
    pub admission: &'a dyn Admission,
    /// Warnings are left here for the response's headers.
    pub warnings: &'a Warnings,
}

/// Asks the cluster's authorizer whether the reader may do what it does to the resource in `history.sampan.dev`.
#[async_trait]
pub trait HistoryRight: Debug + Send + Sync {
    /// The error is the refusal that the reader is answered with.
    async fn check(&self, past: Past) -> Result<(), Status>;
}

/// The owner of an old revision that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// That of the place which the request names.
    Own,
    /// That of a namespace which had the name before. A right that holds in the namespace of today, which its owner may
    /// have given, does not reach it: it takes one over all namespaces.
    OfAnother,
}

/// Asks for the right to read history, where a read needs one of its own. `None`: no right.
pub type OfferedRight = Option<Arc<dyn HistoryRight>>;

/// Options of a GET of one object.
#[derive(Clone, Debug, Default)]
pub struct GetOptions {
    /// As it came: `""` most recent, `"0"` anything cached, otherwise not older than (or exactly) this revision.
    pub resource_version: String,
    /// `Exact` reads the revision's own state, out of history. Kubernetes knows no such thing for a GET: ours.
    pub version_match: String,
    /// For a state that is older than the right to the kind reaches.
    pub history: OfferedRight,
}

/// Options of a LIST or WATCH, as `metav1.ListOptions`.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    pub labels: LabelSelector,
    pub fields: FieldSelector,
    /// 0: all.
    pub limit: u64,
    /// The token of the page before, as the client sent it.
    pub continue_token: String,
    pub resource_version: String,
    /// `resourceVersionMatch` as it came: `""`, `Exact`, `NotOlderThan`; others are refused by the call.
    pub version_match: String,
    pub allow_bookmarks: bool,
    pub send_initial_events: Option<bool>,
    /// Of a watch; `None`: the server's own choice.
    pub timeout_seconds: Option<u64>,
    /// For a state that is older than the right to the kind reaches.
    pub history: OfferedRight,
}

/// `metav1.DeleteOptions`, as far as they concern the registry (`dryRun` is in [`Caller`]).
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    pub grace_period_seconds: Option<i64>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub propagation: Option<Propagation>,
    /// The deprecated way to say Orphan (`true`) or Background (`false`).
    pub orphan_dependents: Option<bool>,
}

/// `propagationPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Orphan,
    Background,
    Foreground,
}

impl Propagation {
    /// The option's text.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "Orphan" => Some(Self::Orphan),
            "Background" => Some(Self::Background),
            "Foreground" => Some(Self::Foreground),
            _ => None,
        }
    }
}

/// The check before an update may create an object that is not there (handlers/update.go's `withAuthorization`).
#[async_trait]
pub trait CreateValidation: Send + Sync {
    /// Asked where the strategy's own validation asks, each time that the update comes to a creation.
    async fn validate(&self) -> Result<(), Status>;
}

/// Options of an update.
#[derive(Clone, Default)]
pub struct UpdateOptions<'a> {
    /// The name of a stored view, or of an action that writes through the object; `""` for the object itself.
    pub subresource: String,
    /// Whether an update of what is absent creates it.
    pub create: Creation<'a>,
    /// Fails with 409 unless the current object has this UID (a PUT's body's, a binding's).
    pub uid: Option<String>,
    /// Fails with 409 unless the current object is of this revision, as it is written (a binding's). That of the object which is
    /// written is looked at in any case.
    pub version: Option<String>,
    /// The owners of what is changed.
    pub managers: Managers,
    /// Those that the transform asks for, where it needs objects in other versions.
    pub conversions: Option<&'a Conversions>,
    /// Of a subresource with a kind of its own that writes through the object: the transform then makes one of that kind.
    pub face: Option<&'a dyn Face>,
}

/// An object as a subresource with a kind of its own has it, which is what admission is shown of a write to it.
pub trait Face: Send + Sync {
    /// The object as the subresource has it. `managers`: with who owns its fields.
    fn of(&self, object: &Object, managers: FaceManagers) -> Object;
    /// The object with what was written to its face.
    ///
    /// # Errors
    /// 422, where the face is invalid.
    fn write(&self, current: &Object, face: &Object) -> Result<Object, Status>;
}

/// Whether a face shows who owns its fields: what a write starts from does, what validation is shown does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaceManagers {
    Shown,
    Left,
}

/// Whether an update of what is absent creates it, by the check of the creation.
#[derive(Clone, Copy, Default)]
pub enum Creation<'a> {
    /// It is NotFound.
    #[default]
    Never,
    /// Where the strategy lets an update create (PUT).
    WhereAllowed(&'a dyn CreateValidation),
    /// Whatever the strategy says (server-side apply).
    Always(&'a dyn CreateValidation),
}

/// The owners of the fields that a write changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Managers {
    /// The registry finds out what changed, and notes it.
    #[default]
    Track,
    /// The object says in `metadata.managedFields` what they are (server-side apply).
    Told,
}
