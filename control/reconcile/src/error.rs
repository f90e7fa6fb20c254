//! Errors after which a reconcile is tried again.

/// The reason why a reconcile is to be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call that says by itself what it was for.
    #[error(transparent)]
    Client(#[from] sampan_client::Error),
    /// A call that failed.
    #[error("{what}: {source}")]
    Call { what: String, source: sampan_client::Error },
    /// An object that cannot be worked with.
    #[error("{0}")]
    Invalid(String),
    /// What the key waits for is not there, and no change of what is watched will tell when it is: no failure, and tried
    /// again as one.
    #[error("{0}")]
    NotYet(String),
    /// [`crate::limits::RECONCILE_TIMEOUT`] is over.
    #[error("not done within {} s", .after.as_secs())]
    TimedOut { after: std::time::Duration },
    /// The panic's own text.
    #[error("a reconcile panicked: {0}")]
    Panicked(String),
}

impl Error {
    /// Makes an error of a failed call; `what` names the call.
    pub fn of(what: impl Into<String>) -> impl FnOnce(sampan_client::Error) -> Self {
        let what = what.into();
        move |source| Self::Call { what, source }
    }

    /// The answer of the API, where one was given.
    pub fn client(&self) -> Option<&sampan_client::Error> {
        match self {
            Self::Client(error) | Self::Call { source: error, .. } => Some(error),
            _ => None,
        }
    }

    /// Someone else wrote first: ordinary, and not worth a warning.
    pub fn is_conflict(&self) -> bool {
        self.client().is_some_and(|error| error.is_conflict())
    }
}
