//! The authorities that the host's system trusts: the files and folders in which Go's crypto/x509 looks for them on Linux.

use crate::limits::{ROOTS_FILE_MAX, ROOTS_FILES_MAX};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tokio::task::JoinError;

/// Of these files the first that is there counts.
const FILES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Of these folders all count, where no file has any and no others are named.
const FOLDERS: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

static ROOTS: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();

/// Has the system's authorities read, off the threads that serve: [`of_system`] gives them without a wait then.
pub(crate) async fn ready() -> Result<(), JoinError> {
    if ROOTS.get().is_some() {
        return Ok(());
    }
    sampan_env::blocking(of_system).await.map(|_| ())
}

/// The system's authorities, read when they are first asked for.
pub(crate) fn of_system() -> &'static [CertificateDer<'static>] {
    ROOTS.get_or_init(|| {
        let file = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty());
        let folders = std::env::var_os("SSL_CERT_DIR").filter(|folders| !folders.is_empty());
        let files = file.map_or_else(|| FILES.iter().map(PathBuf::from).collect(), |file| vec![PathBuf::from(file)]);
        let roots = read(&files, folders.map(|folders| split(&folders)).as_deref());
        tracing::info!(count = roots.len(), "authorities that this system trusts");
        roots
    })
}

fn split(folders: &OsString) -> Vec<PathBuf> {
    std::env::split_paths(folders).collect()
}

/// The certificates of the first of the files that is there, and those in the folders that somebody names; where there are none,
/// of the system's own folders. What cannot be read is passed over.
fn read(files: &[PathBuf], named: Option<&[PathBuf]>) -> Vec<CertificateDer<'static>> {
    let mut all = files.iter().find_map(|file| certificates(file)).unwrap_or_default();
    let own: Vec<PathBuf> = match named {
        None if all.is_empty() => FOLDERS.iter().map(PathBuf::from).collect(),
        _ => Vec::new(),
    };
    let entries = named.unwrap_or(&own).iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).take(ROOTS_FILES_MAX);
    all.extend(paths.filter_map(|path| certificates(&path)).flatten());
    // Folders have links by hash beside the files themselves.
    all.sort_by(|one, other| one.as_ref().cmp(other.as_ref()));
    all.dedup();
    all
}

/// The certificates of a file; `None`: there is no such file, or it is too large.
fn certificates(path: &Path) -> Option<Vec<CertificateDer<'static>>> {
    let file = std::fs::File::open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut pem = Vec::new();
    file.take(ROOTS_FILE_MAX + 1).read_to_end(&mut pem).ok()?;
    if pem.len() as u64 > ROOTS_FILE_MAX {
        tracing::warn!(path = %path.display(), "a file of authorities is too large, and is passed over");
        return None;
    }
    Some(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_counts_and_the_folders_that_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let certificate = || sampan_testing::tls::pair().certificate_pem;
        std::fs::create_dir(at("links")).expect("made");
        std::fs::write(at("bundle"), format!("{}# a remark\n{}", certificate(), certificate())).expect("written");
        let one = certificate();
        for name in ["links/a.pem", "links/a1b2.0"] {
            std::fs::write(at(name), &one).expect("written");
        }
        std::fs::write(at("links/readme"), "none here").expect("written");
        let check = |files: &[&str], folders: &[&str], count: usize| {
            let paths = |names: &[&str]| names.iter().map(|name| at(name)).collect::<Vec<_>>();
            assert_eq!(read(&paths(files), Some(&paths(folders))).len(), count, "{files:?} {folders:?}");
        };
        check(&["absent", "bundle"], &["links"], 3);
        check(&["absent", "bundle"], &[], 2);
        check(&["absent"], &["links", "absent"], 1);
        check(&["links/readme"], &["links"], 1);
        check(&[], &["absent"], 0);
    }
}
