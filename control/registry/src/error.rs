//! Errors of calls, and the one place where they become a Kubernetes Status.

use crate::options::Caller;
use crate::resource::Resource;
use sampan_api::field::FieldErrors;
use sampan_api::meta::{GroupKind, GroupResource};
use sampan_api::status::{Reason, Status};

/// The message of a lost compare-and-swap (registry.OptimisticLockErrorMsg).
pub(crate) const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("{resource} {name:?} not found")]
    NotFound { resource: GroupResource, name: String },
    /// `being_deleted`: the one that is in the way only waits for its finalizers. `with_base`: the new one has a
    /// `generateName`, and may be given another name.
    #[error("{resource} {name:?} already exists")]
    AlreadyExists { resource: GroupResource, name: String, being_deleted: bool, with_base: bool },
    #[error("conflict on {resource} {name:?}: {message}")]
    Conflict { resource: GroupResource, name: String, message: String },
    #[error("{kind} {name:?} is invalid: {errors}")]
    Invalid { kind: GroupKind, name: String, errors: FieldErrors },
    #[error("{0}")]
    BadRequest(String),
    /// A failure for which Kubernetes gives a message and nothing else.
    #[error("{0}")]
    Plain(String),
    #[error("{0}")]
    Internal(String),
    /// `metadata.resourceVersion` or an option names a revision that does not exist yet.
    #[error("revision {wanted} is ahead of {current}")]
    Ahead { wanted: u64, current: u64 },
    /// History that was asked for is gone.
    #[error("history is gone: {0}")]
    Expired(String),
    /// A page's `continue` token is too old; `token` goes on from there with the current state.
    #[error("the continue token is too old")]
    ContinueExpired { token: String },
    /// Admission, a transform or an action has its own words.
    #[error("{0}")]
    Status(Box<Status>),
    #[error(transparent)]
    Store(sampan_store::Error),
}

impl Error {
    pub(crate) fn not_found(row: &Resource, name: &str) -> Self {
        Self::NotFound { resource: row.group_resource(), name: name.to_owned() }
    }

    pub(crate) fn conflict(row: &Resource, name: &str, message: impl Into<String>) -> Self {
        Self::Conflict { resource: row.group_resource(), name: name.to_owned(), message: message.into() }
    }

    pub(crate) fn modified(row: &Resource, name: &str) -> Self {
        Self::conflict(row, name, MODIFIED)
    }

    pub(crate) fn invalid(row: &Resource, name: &str, errors: FieldErrors) -> Self {
        Self::Invalid { kind: row.group_kind(), name: name.to_owned(), errors }
    }

    /// Kubernetes' storage tells in these words, under its own key, of an object that is another one than was wanted (`what`: `UID`), or
    /// in another state (`ResourceVersion`); a dry run does not come to the storage, whose prefix the key then lacks.
    pub(crate) fn unmet(
        caller: &Caller<'_>,
        row: &Resource,
        namespace: &str,
        name: &str,
        what: &str,
        wanted: &str,
        found: &str,
    ) -> Self {
        let prefix = if caller.dry_run { "" } else { "/registry" };
        let namespace = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        let place = match &row.kept_at {
            Some(place) => place.to_string(),
            None if row.defined => format!("{}/{}", row.group, row.resource),
            None => row.resource.to_string(),
        };
        let message = format!(
            "StorageError: invalid object, Code: 4, Key: {prefix}/{place}/{namespace}{name}, ResourceVersion: 0, \
             AdditionalErrorMsg: Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
        );
        Self::conflict(row, name, message)
    }

    /// The answer to the client.
    pub fn status(&self) -> Status {
        match self {
            Self::NotFound { resource, name } => Status::not_found(resource, name),
            Self::AlreadyExists { resource, name, being_deleted, with_base } => {
                let mut status = match *with_base {
                    true => Status::generate_name_conflict(resource, name, 1),
                    false => Status::already_exists(resource, name),
                };
                if *being_deleted {
                    status.message = format!("object is being deleted: {}", status.message);
                }
                status
            }
            Self::Conflict { resource, name, message } => Status::conflict(resource, name, message),
            Self::Invalid { kind, name, errors } => Status::invalid(kind, name, errors),
            Self::BadRequest(message) => Status::bad_request(message.clone()),
            Self::Plain(message) => plain(message),
            Self::Internal(message) => Status::internal(message),
            Self::Ahead { wanted, current } => Status::too_large_resource_version(*wanted, *current, 1),
            Self::Expired(message) => Status::expired(message.clone()),
            Self::ContinueExpired { token } => {
                let mut status = Status::expired(
                    "The provided continue parameter is too old to display a consistent list result. You can start a \
                     new list without the continue parameter, or use the continue token in this response to retrieve \
                     the remainder of the results. Continuing with the provided token results in an inconsistent list \
                     - objects that were created, modified, or deleted between the time the first chunk was returned \
                     and now may show up in the list.",
                );
                status.continue_token = Some(token.clone());
                status
            }
            Self::Status(status) => (**status).clone(),
            Self::Store(error) => store_status(error),
        }
    }
}

/// A failure of which nothing is told but a message.
fn plain(message: &str) -> Status {
    Status { reason: String::new(), ..Status::failure(Reason::InternalError, message) }
}

/// The Status of an error of the store, where no call has made something better of it.
fn store_status(error: &sampan_store::Error) -> Status {
    use sampan_store::Error as Store;
    match error {
        Store::Compacted { floor } => {
            Status::expired(format!("the history before revision {floor} has been compacted"))
        }
        Store::Future { current } => Status::timeout(&format!("the server is at revision {current}"), 1),
        Store::TooLarge { .. } => Status::request_entity_too_large(&error.to_string()),
        Store::DiskFull => {
            Status::service_unavailable("the disk is full: reads go on, writes are refused until there is room")
        }
        Store::Closed => Status::service_unavailable("the server is shutting down"),
        Store::Conflict { .. } => Status::failure(Reason::Conflict, error.to_string()),
        other => Status::internal(&other.to_string()),
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        error.status()
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl From<sampan_store::Error> for Error {
    fn from(error: sampan_store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<sampan_watch::Error> for Error {
    fn from(error: sampan_watch::Error) -> Self {
        use sampan_watch::Error as Watch;
        match error {
            Watch::Expired { .. } => Self::Expired(error.to_string()),
            Watch::Ahead { wanted, current } => Self::Ahead { wanted, current },
            Watch::Store(error) => Self::Store(error),
            Watch::UnknownResource(_) => Self::Status(Box::new(Status::no_such_resource())),
            Watch::Undecodable { .. } => Self::Internal(error.to_string()),
        }
    }
}
