/// Why a reconcile is to be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Client(#[from] sampan_client::Error),
    #[error("{what}: {source}")]
    Call { what: String, source: sampan_client::Error },
    #[error("{0}")]
    Invalid(String),
    #[error("not done within {} s", .after.as_secs())]
    TimedOut { after: std::time::Duration },
    #[error("a reconcile panicked: {0}")]
    Panicked(String),
}

impl Error {
    pub(crate) fn of(what: impl Into<String>) -> impl FnOnce(sampan_client::Error) -> Self {
        let what = what.into();
        move |source| Self::Call { what, source }
    }

    pub(crate) fn client(&self) -> Option<&sampan_client::Error> {
        match self {
            Self::Client(error) | Self::Call { source: error, .. } => Some(error),
            _ => None,
        }
    }

    /// Someone else wrote first: ordinary, and not worth a warning.
    pub(crate) fn is_conflict(&self) -> bool {
        self.client().is_some_and(|error| error.is_conflict())
    }
}
