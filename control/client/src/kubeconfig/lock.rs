//! The lock of a kubeconfig: one of ours that dies with its process, and kubectl's own, a file that may outlive whoever
//! made it.

use crate::Result;
use crate::error::Error;
use crate::limits::{CONFIG_LOCK_POLL, CONFIG_LOCK_STALE, CONFIG_LOCK_WAIT};
use sampan_env::{Env, files};
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Keeps others out of a kubeconfig until it is dropped.
pub(super) struct Lock {
    /// `<file>.lock`, created exclusively, as kubectl does for the moment of its write (clientcmd's lockFile).
    path: PathBuf,
    /// Its folder, locked: among processes of ours this decides, and the kernel frees it with its owner.
    _folder: Option<Folder>,
}

impl Lock {
    /// Waits for whoever has the file now. `held`: locks of the same caller, whose folders are not locked twice.
    ///
    /// # Errors
    /// `File`, with the path that could not be locked.
    pub(super) async fn take(file: &Path, held: &[Self], env: &Env) -> Result<Self> {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|source| Error::File { path: folder.to_owned(), source })?;
        let folder = Folder::take(folder, held, env).await?;
        let mut path = OsString::from(file);
        path.push(".lock");
        let path = PathBuf::from(path);
        let deadline = env.instant() + CONFIG_LOCK_WAIT;
        loop {
            let error = match files::create_lock(&path) {
                Ok(_) => return Ok(Self { path, _folder: folder }),
                Err(error) => error,
            };
            if error.kind() != ErrorKind::AlreadyExists {
                return Err(Error::File { path, source: error });
            }
            if is_stale(&path, env) || env.instant() >= deadline {
                tracing::warn!(file = %path.display(), "a lock that its owner has left behind is removed");
                match std::fs::remove_file(&path) {
                    Err(source) if source.kind() != ErrorKind::NotFound => return Err(Error::File { path, source }),
                    _ => continue,
                }
            }
            env.sleep(CONFIG_LOCK_POLL).await;
        }
    }
}

/// kubectl holds its lock for the time of one write: an older one has no owner any more. Ours is behind the folder's.
fn is_stale(path: &Path, env: &Env) -> bool {
    let made = std::fs::symlink_metadata(path).and_then(|found| found.modified());
    made.is_ok_and(|made| env.now().duration_since(made).is_ok_and(|age| age >= CONFIG_LOCK_STALE))
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(file = %self.path.display(), %error, "the lock of the kubeconfig stays behind");
        }
    }
}

struct Folder {
    path: PathBuf,
    _file: File,
}

impl Folder {
    /// None: the caller has it already.
    async fn take(folder: &Path, held: &[Lock], env: &Env) -> Result<Option<Self>> {
        let fail = |source| Error::File { path: folder.to_owned(), source };
        let path = folder.canonicalize().map_err(fail)?;
        if held.iter().filter_map(|lock| lock._folder.as_ref()).any(|one| one.path == path) {
            return Ok(None);
        }
        let file = File::open(&path).map_err(fail)?;
        let deadline = env.instant() + CONFIG_LOCK_WAIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self { path, _file: file })),
                Err(TryLockError::WouldBlock) if env.instant() < deadline => env.sleep(CONFIG_LOCK_POLL).await,
                Err(TryLockError::WouldBlock) => {
                    let why = "another process keeps kubeconfig files of this folder locked";
                    return Err(fail(std::io::Error::new(ErrorKind::WouldBlock, why)));
                }
                Err(TryLockError::Error(source)) => return Err(fail(source)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_lock_whose_owner_is_gone_holds_nobody_up() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("config");
        let lock = directory.path().join("config.lock");
        // Left behind long ago, or by a clock that is ahead of ours.
        for env in [Env::system(), Env::simulated(1, std::time::SystemTime::UNIX_EPOCH)] {
            std::fs::write(&lock, "").expect("written");
            let made = std::fs::File::options().write(true).open(&lock).expect("there");
            let age = CONFIG_LOCK_STALE * 2;
            made.set_modified(Env::system().now() - age).expect("aged");
            let began = env.instant();
            let taken = Lock::take(&file, &[], &env).await.expect("taken");
            assert!(env.instant() - began <= CONFIG_LOCK_WAIT + Duration::from_secs(1));
            assert!(lock.exists());
            drop(taken);
            assert!(!lock.exists());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_locked_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("config");
        std::fs::create_dir(directory.path().join("config.lock")).expect("made");
        let error = Lock::take(&file, &[], &Env::system()).await.err().expect("a folder is no lock");
        assert!(error.to_string().contains("config.lock"), "{error}");
        std::fs::remove_dir(directory.path().join("config.lock")).expect("removed");

        let held = Lock::take(&file, &[], &Env::system()).await.expect("free");
        let error = Lock::take(&file, &[], &Env::system()).await.err().expect("held");
        assert!(error.to_string().contains(&directory.path().display().to_string()), "{error}");
        let second = Lock::take(&directory.path().join("other"), std::slice::from_ref(&held), &Env::system()).await;
        assert!(second.is_ok(), "files of one folder are locked together");
    }
}
