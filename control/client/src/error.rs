use sampan_api::{Reason, Status};
use std::path::PathBuf;
use std::time::Duration;

/// The reason why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused; its own words.
    #[error(transparent)]
    Api(Box<Status>),
    #[error("cannot reach {server}: {source}")]
    Connect { server: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the connection broke: {0}")]
    Transport(Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within {} s", .after.as_secs())]
    Timeout { after: Duration },
    #[error("cannot decode {what}: {source}")]
    Decode { what: String, source: serde_json::Error },
    #[error("cannot encode {what}: {source}")]
    Encode { what: String, source: serde_json::Error },
    #[error("{what} is larger than {max} bytes")]
    TooLarge { what: &'static str, max: usize },
    /// A configuration or request of the caller's that makes no sense.
    #[error("{0}")]
    Config(String),
    #[error("{}: {source}", .path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// This side is shutting down.
    #[error("the client is closed")]
    Closed,
    #[error("not supported: {0}")]
    Unsupported(String),
    #[error("protocol error: {0}")]
    Protocol(String),
}

impl Error {
    pub(crate) fn transport(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Transport(source.into())
    }

    pub(crate) fn decode(what: impl Into<String>) -> impl FnOnce(serde_json::Error) -> Self {
        let what = what.into();
        move |source| Self::Decode { what, source }
    }

    pub(crate) fn encode(what: impl Into<String>) -> impl FnOnce(serde_json::Error) -> Self {
        let what = what.into();
        move |source| Self::Encode { what, source }
    }

    /// The server's refusal, if it was one.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Api(status) => Some(status),
            _ => None,
        }
    }

    /// The HTTP code of the server's refusal; 0 for every other error.
    pub fn code(&self) -> u16 {
        self.status().map_or(0, Status::code)
    }

    fn is(&self, reason: Reason) -> bool {
        self.status().is_some_and(|status| status.is(reason))
    }

    pub fn is_not_found(&self) -> bool {
        self.code() == 404
    }

    /// 409 because of a stale resourceVersion or precondition.
    pub fn is_conflict(&self) -> bool {
        self.is(Reason::Conflict)
    }

    pub fn is_already_exists(&self) -> bool {
        self.is(Reason::AlreadyExists)
    }

    /// The revision has been compacted: list again.
    pub fn is_expired(&self) -> bool {
        self.code() == 410
    }

    pub fn is_forbidden(&self) -> bool {
        self.code() == 403
    }

    pub fn is_invalid(&self) -> bool {
        self.code() == 422
    }

    /// 403 because the namespace is being terminated (a cause `NamespaceTerminating`, as client-go asks).
    pub fn is_namespace_terminating(&self) -> bool {
        self.is_forbidden()
            && self
                .status()
                .and_then(|status| status.details.as_deref())
                .is_some_and(|details| details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"))
    }

    /// Whether the same call may succeed later without anything being changed.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Api(status) => matches!(status.code(), 429 | 500 | 502 | 503 | 504),
            Self::Connect { .. } | Self::Transport(_) | Self::Timeout { .. } => true,
            _ => false,
        }
    }

    /// The wait that the server asks for.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.status()?.details.as_deref()?.retry_after_seconds?;
        u64::try_from(seconds).ok().map(Duration::from_secs)
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Api(Box::new(status))
    }
}
