//! The one directory in which all state lives.

use anyhow::Context;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Paths below the data directory, as the README lists them.
#[derive(Clone, Debug)]
pub struct DataDir {
    pub root: PathBuf,
}

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
        Ok(Self { root: root.to_owned() })
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
