//! The one directory in which all state lives.

use anyhow::Context;
use std::fs::Permissions;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Paths below the data directory, as the README lists them.
#[derive(Clone, Debug)]
pub struct DataDir {
    pub root: PathBuf,
}

/// The rights of everybody but the owner.
const OTHERS: u32 = 0o077;

impl DataDir {
    /// Makes the directory if it is absent, readable by its owner only, and checks that it can be written.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        let explain = || {
            format!(
                "the data directory {} cannot be used; choose another with --data-dir, or mend its rights",
                root.display()
            )
        };
        builder.create(root).with_context(explain)?;
        let probe = root.join(".probe");
        std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)).with_context(explain)?;
        let data_dir = Self { root: root.to_owned() };
        data_dir.tighten().with_context(explain)?;
        Ok(data_dir)
    }

    /// What holds secrets is for its owner alone, whoever made it and with what mode: the directory itself may be one that
    /// others share, so it is left as it is.
    fn tighten(&self) -> std::io::Result<()> {
        let mut secret = vec![self.database(), self.pki()];
        secret.extend(["-wal", "-shm"].map(|end| {
            let mut path = self.database().into_os_string();
            path.push(end);
            path.into()
        }));
        secret.extend(["ca", "admin", "sa"].map(|name| self.pki().join(name).with_extension("key")));
        for path in secret {
            let mode = match std::fs::metadata(&path) {
                Ok(found) => found.permissions().mode(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if mode & OTHERS != 0 {
                std::fs::set_permissions(&path, Permissions::from_mode(mode & !OTHERS))?;
            }
        }
        Ok(())
    }

    pub fn database(&self) -> PathBuf {
        self.root.join("sampan.db")
    }
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }
    pub fn pki(&self) -> PathBuf {
        self.root.join("pki")
    }
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }
    pub fn ledger(&self) -> PathBuf {
        self.root.join("node/ledger")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_becomes_private_and_the_rest_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        std::fs::create_dir(root.join("pki")).expect("made");
        let files = [
            ("sampan.db", 0o600),
            ("sampan.db-wal", 0o600),
            ("pki", 0o700),
            ("pki/ca.key", 0o600),
            ("pki/ca.crt", 0o644),
            ("notes.txt", 0o644),
            ("", 0o755),
        ];
        for (name, _) in files {
            let path = root.join(name);
            if !path.is_dir() {
                std::fs::write(&path, "x").expect("written");
            }
            let mode = if path.is_dir() { 0o755 } else { 0o644 };
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("set");
        }
        DataDir::open(root).expect("it can be used");
        for (name, mode) in files {
            assert_eq!(root.join(name).metadata().expect(name).permissions().mode() & 0o777, mode, "{name:?}");
        }
    }
}
