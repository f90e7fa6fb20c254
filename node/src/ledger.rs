//! The ledger of started pods, in files that outlive the process: one a pod UID, replaced whole.

use crate::observed::Observed;
use sampan_env::files::{self, Durability};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// One pod of the ledger.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The pod's UID, which names the entry's file.
    pub uid: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The pod's state when the entry was written.
    pub observed: Observed,
}

/// A file of the ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the node's ledger {path}: {error}")]
pub struct LedgerError {
    /// The file or folder.
    pub path: PathBuf,
    /// The error of the operating system.
    pub error: std::io::Error,
}

/// The folder of the entries. It must survive the end of the process, not the loss of power: after that the API's own
/// status says what ran.
#[derive(Clone, Debug)]
pub struct Ledger {
    folder: PathBuf,
}

impl Ledger {
    /// The ledger in `folder`, which is made if it is absent.
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        let ledger = Self { folder: folder.to_owned() };
        std::fs::create_dir_all(folder).map_err(|error| ledger.error(folder, error))?;
        Ok(ledger)
    }

    fn error(&self, path: &Path, error: std::io::Error) -> LedgerError {
        LedgerError { path: path.to_owned(), error }
    }

    fn path(&self, uid: &str) -> PathBuf {
        // UIDs come from the API server; only what a UID may hold becomes part of a path.
        let name: String = uid.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        self.folder.join(format!("{name}.json"))
    }

    /// All entries by UID. One that cannot be read is left out and named in the log: the API's status stands in for it.
    pub fn load(&self) -> Result<HashMap<String, LedgerEntry>, LedgerError> {
        let mut entries = HashMap::new();
        let folder = std::fs::read_dir(&self.folder).map_err(|error| self.error(&self.folder, error))?;
        for file in folder {
            let path = file.map_err(|error| self.error(&self.folder, error))?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let bytes = std::fs::read(&path).map_err(|error| self.error(&path, error))?;
            match serde_json::from_slice::<LedgerEntry>(&bytes) {
                Ok(entry) => {
                    entries.insert(entry.uid.clone(), entry);
                }
                Err(error) => tracing::warn!(path = %path.display(), %error, "an entry of the ledger cannot be read"),
            }
        }
        Ok(entries)
    }

    /// One entry, if there is one that can be read. Blocks for a file's reading.
    pub fn get(&self, uid: &str) -> Result<Option<LedgerEntry>, LedgerError> {
        let path = self.path(uid);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| self.error(&path, error.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.error(&path, error)),
        }
    }

    /// Blocks for a file's writing: call it where that may be.
    pub fn save(&self, entry: &LedgerEntry) -> Result<(), LedgerError> {
        let path = self.path(&entry.uid);
        let bytes = serde_json::to_vec(entry).map_err(|error| self.error(&path, error.into()))?;
        files::replace(&path, &bytes, Durability::Process).map_err(|error| self.error(&path, error))
    }

    /// Takes an entry out; one that is not there is no error. Blocks for the file's removal.
    pub fn remove(&self, uid: &str) -> Result<(), LedgerError> {
        let path = self.path(uid);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.error(&path, error)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn entries_are_kept_replaced_and_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = Ledger::open(folder.path()).expect("opens");
        let entry = LedgerEntry {
            uid: "u-1".into(),
            namespace: "default".into(),
            name: "a".into(),
            observed: Observed::new(["c"], SystemTime::UNIX_EPOCH),
        };
        ledger.save(&entry).expect("saved");
        std::fs::write(folder.path().join("broken.json"), "{").expect("written");
        let found = ledger.load().expect("loads");
        assert_eq!(found.len(), 1);
        assert_eq!(found["u-1"].observed, entry.observed);
        assert_eq!(ledger.get("u-1").expect("reads").expect("there").observed, entry.observed);
        ledger.remove("u-1").expect("removed");
        assert!(ledger.get("u-1").expect("reads").is_none() && ledger.get("broken").is_err());
        ledger.remove("u-1").expect("not there is fine");
        assert!(ledger.load().expect("loads").is_empty());
    }
}
