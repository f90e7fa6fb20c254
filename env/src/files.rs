//! Files as this program writes them: whole or not at all, for their owner alone, and never through a link that somebody
//! has put in the way.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Mode of a file that holds secrets or state.
pub const PRIVATE: u32 = 0o600;
/// Mode of a file that anybody may read.
pub const PUBLIC: u32 = 0o644;

/// The failure that a file survives once [`replace`] has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of this process: nothing is synced.
    Process,
    /// The loss of power: file and folder are synced.
    Power,
}

/// Puts `content` in the place of `path`, readable by its owner only, whoever could read what was there before. A reader
/// sees the old file or the new one. What is at `path` is replaced, also where it is a link.
pub fn replace(path: &Path, content: &[u8], durability: Durability) -> io::Result<()> {
    replace_with_mode(path, content, PRIVATE, durability)
}

/// As [`replace`], with a mode (the process's umask takes rights from it).
pub fn replace_with_mode(path: &Path, content: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    let beside = beside(path)?;
    let written = (|| {
        let mut file = create(&beside, mode)?;
        file.write_all(content)?;
        if durability == Durability::Power {
            file.sync_all()?;
        }
        std::fs::rename(&beside, path)
    })();
    if let Err(error) = written {
        // Whatever is left of it is of no use; that it cannot be removed either changes nothing.
        std::fs::remove_file(&beside).unwrap_or_default();
        return Err(error);
    }
    if durability == Durability::Power {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// A new file. What an earlier process has left under that name, or somebody has put there, is removed first: it may be
/// a link, or open to others.
pub fn create(path: &Path, mode: u32) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// A new, empty file; an error of kind `AlreadyExists` where there is anything under that name.
pub fn create_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path)
}

/// A file that is there to be locked, made if it is absent. Its content is of no matter; a link in its place is an error.
pub fn open_lock(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    OpenOptions::new().write(true).create(true).truncate(false).mode(PRIVATE).custom_flags(flags).open(path)
}

/// The name under which a file is written before it takes its place: of this process and this call alone.
fn beside(path: &Path) -> io::Result<PathBuf> {
    static CALLS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let call = CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let mut name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?.to_owned();
    name.push(format!(".{}-{call}.new", std::process::id()));
    Ok(path.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(crate::Env::system().uuid());
        std::fs::create_dir(&folder).expect("a folder");
        folder
    }

    #[test]
    fn what_is_replaced_is_private_whatever_was_there() {
        let folder = folder();
        let (file, victim) = (folder.join("file"), folder.join("victim"));
        for durability in [Durability::Process, Durability::Power] {
            for before in ["absent", "open to all", "a link"] {
                std::fs::remove_file(&file).unwrap_or_default();
                std::fs::write(&victim, "untouched").expect("written");
                match before {
                    "open to all" => {
                        std::fs::write(&file, "old").expect("written");
                        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).expect("opened");
                    }
                    "a link" => std::os::unix::fs::symlink(&victim, &file).expect("a link"),
                    _ => {}
                }
                replace(&file, b"new", durability).expect(before);
                let found = std::fs::symlink_metadata(&file).expect("there");
                assert!(found.is_file() && found.permissions().mode() & 0o777 == PRIVATE, "{before}");
                assert_eq!(std::fs::read(&file).expect("readable"), b"new", "{before}");
                assert_eq!(std::fs::read(&victim).expect("readable"), b"untouched", "{before}");
            }
        }
        let names = std::fs::read_dir(&folder).expect("a folder").count();
        assert_eq!(names, 2, "nothing is left beside");
        // Somebody knows the names that are used meanwhile.
        for call in 0..100 {
            let guessed = folder.join(format!("file.{}-{call}.new", std::process::id()));
            std::os::unix::fs::symlink(&victim, guessed).expect("a link");
        }
        replace(&file, b"newer", Durability::Process).expect("replaced");
        assert!(std::fs::symlink_metadata(&file).expect("there").is_file());
        assert_eq!(std::fs::read(&victim).expect("readable"), b"untouched");
        std::fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_new_file_takes_the_place_of_a_link() {
        let folder = folder();
        let (file, victim) = (folder.join("file"), folder.join("victim"));
        std::fs::write(&victim, "untouched").expect("written");
        std::os::unix::fs::symlink(&victim, &file).expect("a link");
        create(&file, PRIVATE).expect("made").write_all(b"new").expect("written");
        assert_eq!(std::fs::read(&victim).expect("readable"), b"untouched");
        let lock = folder.join("lock");
        std::os::unix::fs::symlink(folder.join("absent"), &lock).expect("a link");
        assert!(open_lock(&lock).is_err() && !folder.join("absent").exists());
        std::fs::remove_file(&lock).expect("removed");
        assert!(open_lock(&lock).is_ok() && open_lock(&lock).is_ok(), "made, and found");
        assert!(replace(&folder.join("no/such/folder"), b"", Durability::Process).is_err());
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
