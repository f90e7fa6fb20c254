//! Compiled artefacts on disk: `<dir>/<engine hash>/<digest>.cwasm`, and beside each a description with its checksum.
//!
//! Invariant: nothing is deserialised whose checksum was not verified first: an artefact is as powerful as a shared
//! library. A file is never changed in place: the engine keeps it mapped.

use crate::error::Error;
use crate::inspect::Worlds;
use sampan_env::files::{self, Durability};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// The content digest of a component: `sha256:` and 64 lower-case hex digits.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Digest(String);

impl Digest {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let hex = text.strip_prefix("sha256:").unwrap_or("");
        let well_formed = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if well_formed { Ok(Self(text.to_owned())) } else { Err(Error::BadDigest { digest: text.to_owned() }) }
    }

    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(digest_of(bytes))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }
}

/// The digest that names `bytes`: `sha256:<hex>`.
pub fn digest_of(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(71);
    out.push_str("sha256:");
    for byte in Sha256::digest(bytes) {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
    out
}

#[derive(Serialize, Deserialize)]
struct Description {
    /// Of the artefact, not of the component.
    artefact: String,
    worlds: Worlds,
}

/// The artefacts of one engine.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
}

impl Cache {
    pub(crate) fn open(root: &Path, engine_hash: u64) -> Result<Self, Error> {
        let dir = root.join(format!("{engine_hash:016x}"));
        fs::create_dir_all(&dir).map_err(|e| Error::io(format!("making {}", dir.display()), e))?;
        Ok(Self { dir })
    }

    fn path(&self, digest: &Digest, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", digest.hex()))
    }

    /// The worlds of a component that was compiled before; the artefact itself is not looked at.
    pub(crate) fn worlds(&self, digest: &Digest) -> Option<Worlds> {
        self.describe(digest).map(|description| description.worlds)
    }

    fn describe(&self, digest: &Digest) -> Option<Description> {
        serde_json::from_slice(&fs::read(self.path(digest, "json")).ok()?).ok()
    }

    /// The path of a verified artefact. What is absent, damaged or changed is None, and compiled anew.
    pub(crate) fn get(&self, digest: &Digest) -> Option<(PathBuf, Worlds)> {
        let description = self.describe(digest)?;
        let path = self.path(digest, "cwasm");
        let content = fs::read(&path).ok()?;
        if digest_of(&content) == description.artefact {
            return Some((path, description.worlds));
        }
        tracing::warn!(path = %path.display(), "a cached artefact does not have its checksum and is compiled anew");
        None
    }

    pub(crate) fn put(&self, digest: &Digest, artefact: &[u8], worlds: Worlds) -> Result<PathBuf, Error> {
        let path = self.path(digest, "cwasm");
        self.write(&path, artefact)?;
        let description = Description { artefact: digest_of(artefact), worlds };
        let json = serde_json::to_vec(&description)
            .map_err(|e| Error::io("describing an artefact", std::io::Error::other(e)))?;
        self.write(&self.path(digest, "json"), &json)?;
        Ok(path)
    }

    /// A reader sees all of the file or none.
    fn write(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        files::replace(path, content, Durability::Power)
            .map_err(|e| Error::io(format!("writing {}", path.display()), e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_got_and_what_was_changed_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::open(dir.path(), 7).expect("a cache");
        let digest = Digest::of(b"component");
        let worlds = Worlds { command: true, ..Worlds::default() };
        assert!(cache.get(&digest).is_none());
        let path = cache.put(&digest, b"machine code", worlds).expect("written");
        assert_eq!(cache.get(&digest), Some((path.clone(), worlds)));
        fs::write(&path, b"machine c0de").expect("tampered with");
        assert!(cache.get(&digest).is_none());
    }

    #[test]
    fn digests_are_checked() {
        assert!(Digest::parse(&digest_of(b"x")).is_ok());
        for bad in ["", "sha256:", "sha256:../../etc", "md5:00", &digest_of(b"x").to_uppercase()] {
            assert!(Digest::parse(bad).is_err(), "{bad}");
        }
    }
}
