//! `sampan envtest DIR`: what those who write operators test against (controller-runtime's envtest, kubebuilder's scaffolds,
//! kube-rs) looks for `kube-apiserver`, `etcd` and `kubectl` in a folder (`KUBEBUILDER_ASSETS`). They are this program, told by the
//! name under which it is called.

mod apiserver;
mod etcd;
mod flags;
mod kubectl;

use anyhow::{Context, bail};
use sampan_env::Env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The flags of `sampan envtest`.
#[derive(Clone, Debug, clap::Args)]
pub struct EnvtestFlags {
    /// Folder to write to; made where it is not there
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// What this program is called as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `kube-apiserver`.
    ApiServer,
    /// `etcd`.
    Etcd,
    /// `kubectl`.
    Kubectl,
}

const ROLES: [(&str, Role); 3] =
    [("kube-apiserver", Role::ApiServer), ("etcd", Role::Etcd), ("kubectl", Role::Kubectl)];

impl Role {
    /// The role that a program called so has; `None`: it is sampan itself.
    pub fn of(program: &Path) -> Option<Self> {
        let name = program.file_name()?;
        ROLES.iter().find(|(role, _)| name == *role).map(|(_, role)| *role)
    }
}

/// Writes the folder.
pub fn write(flags: &EnvtestFlags) -> anyhow::Result<()> {
    let own = std::env::current_exe().context("the path of this program")?;
    std::fs::create_dir_all(&flags.dir).with_context(|| flags.dir.display().to_string())?;
    let dir = std::fs::canonicalize(&flags.dir).with_context(|| flags.dir.display().to_string())?;
    for (name, _) in ROLES {
        link(&own, &dir.join(name))?;
    }
    sampan_cli::session::say(&format!(
        "{dir} has kube-apiserver, etcd and kubectl. Try next:\n  export KUBEBUILDER_ASSETS={dir}\n  go test ./...\n",
        dir = dir.display()
    ))
}

/// A link to the program in place of what is there, unless that is somebody's own.
fn link(own: &Path, to: &Path) -> anyhow::Result<()> {
    match std::fs::symlink_metadata(to) {
        Ok(there) if there.file_type().is_symlink() => {
            std::fs::remove_file(to).with_context(|| to.display().to_string())?;
        }
        Ok(_) => bail!("{} is there and is no link: choose another folder, or remove it", to.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| to.display().to_string()),
    }
    std::os::unix::fs::symlink(own, to).with_context(|| to.display().to_string())
}

/// Does what a program of that role does.
pub async fn run(role: Role, arguments: Vec<OsString>, env: &Env) -> anyhow::Result<()> {
    let arguments: Vec<String> = arguments.iter().map(|one| one.to_string_lossy().into_owned()).collect();
    match role {
        Role::ApiServer => apiserver::run(&arguments, env).await,
        Role::Etcd => etcd::run(&arguments, env).await,
        Role::Kubectl => kubectl::run(arguments, env).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_the_role() {
        let check =
            |program: &str, expected: Option<Role>| assert_eq!(Role::of(Path::new(program)), expected, "{program}");
        check("/tmp/bin/kube-apiserver", Some(Role::ApiServer));
        check("etcd", Some(Role::Etcd));
        check("./kubectl", Some(Role::Kubectl));
        check("/usr/bin/sampan", None);
    }

    #[test]
    fn a_folder_gets_links_and_keeps_what_is_somebodys_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let flags = EnvtestFlags { dir: folder.path().join("bin") };
        write(&flags).expect("written");
        write(&flags).expect("written again");
        for (name, _) in ROLES {
            assert!(flags.dir.join(name).exists(), "{name}");
        }
        std::fs::remove_file(flags.dir.join("etcd")).expect("removed");
        std::fs::write(flags.dir.join("etcd"), "another's").expect("written");
        let error = write(&flags).expect_err("it is another's");
        assert!(error.to_string().contains("is no link"), "{error}");
    }
}
