//! The seam between encoded objects and what the store keeps of them: the place of encryption at rest.

use bytes::Bytes;

/// Turns a record's bytes into stored ones and back. Stateless per call; a key change reads old and new.
pub trait Codec: Send + Sync + 'static {
    /// `prefix` is the resource's, so that kinds may be treated apart.
    fn seal(&self, prefix: &str, plain: Bytes) -> Result<Bytes, CodecError>;
    fn open(&self, prefix: &str, stored: Bytes) -> Result<Bytes, CodecError>;
}

/// The reason why bytes could not be sealed or opened.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(pub String);

/// Stores what it is given.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Codec for Plain {
    fn seal(&self, _prefix: &str, plain: Bytes) -> Result<Bytes, CodecError> {
        Ok(plain)
    }
    fn open(&self, _prefix: &str, stored: Bytes) -> Result<Bytes, CodecError> {
        Ok(stored)
    }
}
