//! `sampan reset`: deletes what a cluster keeps, while it does not run.

use crate::config::ClusterFlags;
use crate::data_dir::DataDir;
use anyhow::{Context, bail};
use sampan_cli::session::say;
use sampan_client::kubeconfig::{self, Forgotten};
use sampan_env::{Env, files};
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// The flags of `sampan reset`.
#[derive(Clone, Debug, clap::Args)]
pub struct ResetFlags {
    #[command(flatten)]
    cluster: ClusterFlags,
    /// Kubeconfig that the cluster's context is taken out of instead of $KUBECONFIG or ~/.kube/config
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Deletes the cluster's data, and its contexts.
///
/// # Errors
/// The cluster runs, the directory is none of a cluster's, nobody says yes, or files cannot be removed.
pub async fn run(flags: &ResetFlags, env: &Env) -> anyhow::Result<()> {
    let root = flags.cluster.directory();
    // Where it is a link, what it points to goes.
    let root = std::fs::canonicalize(&root).unwrap_or(root);
    let data_dir = DataDir { root: root.clone() };
    let there: Vec<PathBuf> = data_dir.content().into_iter().filter(|path| path.symlink_metadata().is_ok()).collect();
    if there.is_empty() {
        if root.exists() && !is_empty(&root)? && !data_dir.lock().exists() {
            bail!("{} is no data directory of a cluster: nothing was removed", root.display());
        }
        return say(&format!("there is no cluster in {}: nothing to remove\n", root.display()));
    }
    let lock = lock(&data_dir)?;
    if !flags.yes && !confirmed(&flags.cluster.cluster().context(), &root)? {
        bail!("nothing was removed");
    }
    let contexts = forget(flags, &data_dir, env).await?;
    for path in &there {
        remove(path)?;
    }
    remove(&data_dir.lock())?;
    drop(lock);
    let mut text = format!("removed the cluster in {}", root.display());
    if !contexts.is_empty() {
        text.push_str(&format!(", and the context {} of the kubeconfig", contexts.join(", ")));
    }
    match std::fs::remove_dir(&root) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => text.push_str("; other files in it stay"),
        Err(error) => return Err(error).with_context(|| root.display().to_string()),
    }
    say(&format!("{text}\n`sampan up{}` starts an empty one\n", flags.cluster.repeated()))
}

fn is_empty(root: &Path) -> anyhow::Result<bool> {
    let mut entries = std::fs::read_dir(root).with_context(|| root.display().to_string())?;
    Ok(entries.next().is_none())
}

/// Keeps a cluster from starting here meanwhile.
fn lock(data_dir: &DataDir) -> anyhow::Result<File> {
    let path = data_dir.lock();
    let file = files::open_lock(&path).with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("the cluster in {} is running: end its `sampan up` first (Ctrl-C)", data_dir.root.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn confirmed(name: &str, root: &Path) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("this deletes the cluster {name} for good, and nobody can be asked: say --yes");
    }
    let mut out = std::io::stderr();
    write!(out, "Delete the cluster {name} in {}, with all its objects, images and keys? [y/N] ", root.display())
        .and_then(|()| out.flush())
        .context("standard error")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("standard input")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Takes the contexts of the cluster out of the kubeconfig. One that was never written has none.
async fn forget(flags: &ResetFlags, data_dir: &DataDir, env: &Env) -> anyhow::Result<Vec<String>> {
    let path = data_dir.pki().join("ca.crt");
    let ca_pem = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let target = flags.kubeconfig.clone().map_or(kubeconfig::Target::Default, kubeconfig::Target::File);
    let forgotten = Forgotten { ca_pem: &ca_pem, name: None, previous: None };
    kubeconfig::forget(&target, &forgotten, env).await.context("the kubeconfig")
}

/// Removes a file, or a folder with all that is in it; of a link the link alone.
fn remove(path: &Path) -> anyhow::Result<()> {
    let found = path.symlink_metadata().map(|found| found.is_dir());
    let removed = match found {
        Ok(true) => std::fs::remove_dir_all(path),
        Ok(false) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(root: &Path) -> ResetFlags {
        let cluster = ClusterFlags { name: None, data_dir: Some(root.to_owned()) };
        ResetFlags { cluster, kubeconfig: Some(root.with_extension("kubeconfig")), yes: true }
    }

    #[tokio::test]
    async fn a_cluster_goes_whole_and_nothing_else_does() {
        let env = Env::system();
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("data");
        let check = async |part: Option<&str>| {
            let done = run(&flags(&root), &env).await;
            assert_eq!(done.as_ref().is_err(), part.is_some(), "{done:?}");
            if let (Err(error), Some(part)) = (done, part) {
                assert!(error.to_string().contains(part), "{error}");
            }
        };
        // There is none, twice.
        check(None).await;
        std::fs::create_dir(&root).expect("made");
        check(None).await;
        // Somebody's folder.
        let notes = root.join("notes.txt");
        std::fs::write(&notes, "mine").expect("written");
        check(Some("no data directory")).await;
        let data_dir = DataDir { root: root.clone() };
        let victim = folder.path().join("victim");
        std::fs::create_dir(&victim).expect("made");
        std::fs::write(victim.join("file"), "another's").expect("written");
        std::fs::create_dir_all(data_dir.pki()).expect("made");
        std::fs::create_dir_all(data_dir.ledger()).expect("made");
        std::os::unix::fs::symlink(&victim, data_dir.blobs()).expect("a link");
        std::fs::write(data_dir.database(), "x").expect("written");
        let running = files::open_lock(&data_dir.lock()).expect("opened");
        running.lock().expect("locked");
        check(Some("is running")).await;
        assert!(data_dir.database().exists());
        drop(running);
        check(None).await;
        let left: Vec<_> = std::fs::read_dir(&root).expect("readable").flatten().map(|one| one.file_name()).collect();
        assert_eq!(left, ["notes.txt"]);
        assert!(victim.join("file").exists(), "what a link points to stays");
        std::fs::remove_file(&notes).expect("removed");
        std::fs::write(data_dir.database(), "x").expect("written");
        check(None).await;
        assert!(!root.exists());
    }
}
