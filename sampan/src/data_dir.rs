//! The one directory in which all state lives.

use anyhow::Context;
use sampan_env::files;
use std::fs::Permissions;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Paths below the data directory, as the README lists them.
#[derive(Clone, Debug)]
pub struct DataDir {
    /// The directory itself.
    pub root: PathBuf,
}

/// The folder of the node.
const NODE: &str = "node";
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
        files::create(&probe, files::PRIVATE).and_then(|_| std::fs::remove_file(&probe)).with_context(explain)?;
        let data_dir = Self { root: root.to_owned() };
        data_dir.tighten().with_context(explain)?;
        Ok(data_dir)
    }

    /// Takes other users' rights from files and folders that hold secrets, whoever made them and with what mode: the
    /// directory itself may be one that others share, so it is left as it is, and so is the target of a link in it.
    /// Files of the node's ledger, the cache and the image store are made anew at each write, and stand in folders that
    /// others cannot enter.
    fn tighten(&self) -> std::io::Result<()> {
        let mut secret = vec![self.pki(), self.blobs(), self.cache(), self.lock(), self.addresses()];
        secret.extend(self.database_files());
        secret.extend(["ca", "admin", "sa"].map(|name| self.pki().join(name).with_extension("key")));
        secret.extend(self.ledger().ancestors().take_while(|path| *path != self.root).map(Path::to_owned));
        for path in secret {
            let found = match std::fs::symlink_metadata(&path) {
                Ok(found) if found.is_symlink() => continue,
                Ok(found) => found,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let mode = found.permissions().mode();
            if mode & OTHERS != 0 {
                std::fs::set_permissions(&path, Permissions::from_mode(mode & !OTHERS))?;
            }
        }
        Ok(())
    }

    /// The log.
    pub fn database(&self) -> PathBuf {
        self.root.join("sampan.db")
    }
    /// The log, and what SQLite keeps beside it.
    fn database_files(&self) -> [PathBuf; 3] {
        ["", "-wal", "-shm"].map(|end| {
            let mut path = self.database().into_os_string();
            path.push(end);
            path.into()
        })
    }
    /// All that a cluster keeps in the directory but its lock: files and folders.
    pub fn content(&self) -> Vec<PathBuf> {
        let mut all = self.database_files().to_vec();
        all.extend([self.pki(), self.blobs(), self.cache(), self.root.join(NODE), self.addresses()]);
        all
    }
    /// Whether a cluster keeps anything there.
    pub fn has_cluster(&self) -> bool {
        self.content().iter().any(|path| path.symlink_metadata().is_ok())
    }
    /// Locked by the process that uses the directory.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }
    /// Certificates and keys.
    pub fn pki(&self) -> PathBuf {
        self.root.join("pki")
    }
    /// The OCI image layout.
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }
    /// Compiled components.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }
    /// The record of the addresses that the cluster had at its last start.
    pub fn addresses(&self) -> PathBuf {
        self.root.join("addresses.json")
    }
    /// The node's record of started pods.
    pub fn ledger(&self) -> PathBuf {
        self.root.join(NODE).join("ledger")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_becomes_private_and_the_rest_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        for folder in ["pki", "blobs", "cache", "node/ledger"] {
            std::fs::create_dir_all(root.join(folder)).expect("made");
        }
        // What another has put where the probe is to be.
        std::os::unix::fs::symlink(root.join("notes.txt"), root.join(".probe")).expect("a link");
        let files = [
            ("sampan.db", 0o600),
            ("sampan.db-wal", 0o600),
            ("pki", 0o700),
            ("pki/ca.key", 0o600),
            ("pki/ca.crt", 0o644),
            ("blobs", 0o700),
            ("cache", 0o700),
            ("node", 0o700),
            ("node/ledger", 0o700),
            ("addresses.json", 0o600),
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
        assert_eq!(std::fs::read(root.join("notes.txt")).expect("readable"), b"x", "nothing is written through a link");
        assert!(root.join(".probe").symlink_metadata().is_err());
    }
}
