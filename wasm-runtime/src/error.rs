use crate::inspect::InspectError;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Errors between a digest and a running guest. What a guest does wrong is not here: it is an [`crate::Exit`].
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("{digest:?} is no digest of the form sha256:<64 hex digits>")]
    BadDigest { digest: String },
    #[error("the content has digest {actual}, not {expected}")]
    DigestMismatch { expected: String, actual: String },
    #[error(transparent)]
    NotRunnable(#[from] InspectError),
    #[error("the component does not compile: {message}")]
    Compile { message: String },
    #[error("compiling was stopped: {why}")]
    CompileKilled { why: String },
    /// The machine's doing, not the component's: it may be tried again.
    #[error("compiling was put off: {why}")]
    CompileStarved {
        why: String,
        /// CPU time that it had: what one component had in all attempts is remembered.
        cpu: Duration,
    },
    #[error("the component exports no {wanted}; it exports {found}")]
    MissingWorld { wanted: &'static str, found: String },
    #[error("the component cannot be linked: {message}")]
    Link { message: String },
    #[error("{address} cannot be listened on: {source}")]
    Bind { address: SocketAddr, source: Arc<std::io::Error> },
    #[error("{what}: {source}")]
    Io { what: String, source: Arc<std::io::Error> },
    #[error("the image could not be fetched: {0}")]
    Fetch(String),
    #[error("the engine refused: {0}")]
    Engine(String),
    #[error("the runtime is shutting down")]
    ShuttingDown,
}

impl Error {
    pub(crate) fn engine(error: wasmtime::Error) -> Self {
        Self::Engine(format!("{error:#}"))
    }

    pub(crate) fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { what: what.into(), source: Arc::new(source) }
    }
}
