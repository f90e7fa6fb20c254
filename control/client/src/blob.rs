//! The source of a node's components, and the names of images.

use crate::limits;
use async_trait::async_trait;
use bytes::Bytes;

/// A resolved image: the bytes of its one Wasm layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// `sha256:` and 64 hex digits: of the layer; verified against the bytes.
    pub digest: String,
    /// `sha256:` and 64 hex digits: of the manifest; what a container's `imageID` carries.
    pub manifest_digest: String,
    pub media_type: String,
    pub bytes: Bytes,
}

/// The reason why an image cannot be had. Texts say what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    #[error("image {0:?} not found")]
    NotFound(String),
    #[error("image {reference:?} is not a Wasm component: {why}")]
    NotWasm { reference: String, why: String },
    #[error("image {reference:?} is corrupt: {why}")]
    Corrupt { reference: String, why: String },
    #[error("image {reference:?} is too large: more than {max} bytes")]
    TooLarge { reference: String, max: u64 },
    #[error("image {0:?}: pulling from other registries is not supported yet; import it with `sampan image import`")]
    ForeignRegistry(String),
    #[error("image {reference:?}: {why}")]
    Unavailable { reference: String, why: String },
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

/// Whoever has images: in process the embedded store, on an agent a puller.
#[async_trait]
pub trait BlobSource: Send + Sync {
    /// The component that `reference` names. Dropping the future abandons the pull.
    async fn fetch(&self, reference: &Reference) -> Result<Blob, BlobError>;
}

/// The name of an image: `[registry/]repository[:tag][@digest]`. Without a registry it is the embedded one, never a
/// public default.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    pub registry: Option<String>,
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid image name {text:?}: {why}")]
pub struct ReferenceError {
    pub text: String,
    pub why: &'static str,
}

impl Reference {
    /// Parses by the grammar of the distribution specification. The first part is a registry if it has a dot or a colon
    /// or is `localhost`.
    ///
    /// # Errors
    /// When the text does not follow the grammar.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let error = |why| ReferenceError { text: text.chars().take(limits::REFERENCE_MAX).collect(), why };
        if text.is_empty() || text.len() > limits::REFERENCE_MAX {
            return Err(error("it must have between 1 and 512 characters"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        if let Some(digest) = digest {
            let hex = digest.strip_prefix("sha256:").ok_or_else(|| error("a digest begins with sha256:"))?;
            if hex.len() != 64 || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(error("a digest has 64 lower-case hex digits"));
            }
        }
        let (rest, tag) = match rest.rsplit_once(':') {
            Some((rest, tag)) if !tag.contains('/') => (rest, Some(tag)),
            _ => (rest, None),
        };
        if let Some(tag) = tag {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
            if tag.is_empty() || tag.len() > 128 || !tag.bytes().all(plain) || tag.starts_with(['.', '-']) {
                return Err(error("a tag has up to 128 letters, digits, underscores, dots and dashes"));
            }
        }
        let (registry, repository) = match rest.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), rest),
            _ => (None, rest),
        };
        if registry.is_some_and(|host| host.is_empty() || !host.bytes().all(is_host)) {
            return Err(error("the registry is no host name"));
        }
        if repository.is_empty() || repository.len() > 255 || !repository.split('/').all(is_component) {
            return Err(error("a repository is lower-case letters, digits and separators between slashes"));
        }
        Ok(Self {
            registry: registry.map(str::to_owned),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// The digest or the tag: what a manifest is asked for by. Without either: `latest`.
    pub fn version(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }
}

fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
}

/// Lower-case letters and digits, separated by one dot, one or two underscores, or dashes.
fn is_component(text: &str) -> bool {
    let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let separators_are_right = text
        .split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit())
        .all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|byte| byte == b'-'));
    bytes.first().copied().is_some_and(edge) && bytes.last().copied().is_some_and(edge) && separators_are_right
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(registry) = &self.registry {
            write!(f, "{registry}/")?;
        }
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Reference {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart() {
        let check = |text: &str, registry: Option<&str>, repository: &str, version: &str| {
            let reference = Reference::parse(text).expect(text);
            assert_eq!(reference.registry.as_deref(), registry, "{text}");
            assert_eq!((reference.repository.as_str(), reference.version()), (repository, version), "{text}");
            assert_eq!(reference.to_string(), text);
        };
        let digest = format!("sha256:{}", "ab".repeat(32));
        check("hello", None, "hello", "latest");
        check("sampan/hello:v1", None, "sampan/hello", "v1");
        check(&format!("sampan/hello@{digest}"), None, "sampan/hello", &digest);
        check(&format!("sampan/hello:v1@{digest}"), None, "sampan/hello", &digest);
        check("ghcr.io/a/b-c.d__e:1", Some("ghcr.io"), "a/b-c.d__e", "1");
        check("localhost:5000/a", Some("localhost:5000"), "a", "latest");
        check("localhost/a", Some("localhost"), "a", "latest");
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in ["", "A", "a//b", "a:", "a:-x", "a@sha256:12", "a@md5:00", "/a", "a/", "a/../b", "a b", "ex.am/"] {
            assert!(Reference::parse(text).is_err(), "{text:?}");
        }
        assert!(Reference::parse(&"a".repeat(limits::REFERENCE_MAX + 1)).is_err());
    }
}
