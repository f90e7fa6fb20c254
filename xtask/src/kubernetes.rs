//! Programs of Kubernetes v1.35.0, built from its published modules: a module that requires it at the versions of its own build, and the
//! kube-apiserver and etcd that the nightly tier compares with.

use crate::{command, tools};
use std::path::Path;

const VERSION: &str = "v1.35.0";
/// The version of the modules that Kubernetes' repository holds.
const STAGING: &str = "v0.35.0";

/// Writes a module into the folder in which Kubernetes' packages can be built, with its staging modules as they were published.
///
/// # Errors
/// When the module cannot be fetched or written.
pub fn module(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let source = tools::module(folder, &format!("k8s.io/kubernetes@{VERSION}"))?;
    let upstream = std::fs::read_to_string(source.join("go.mod"))?;
    std::fs::write(folder.join("go.mod"), manifest(&upstream))?;
    std::fs::write(folder.join("go.sum"), std::fs::read(source.join("go.sum"))?)?;
    Ok(())
}

/// Builds a package of the module, by `go build` or another command of Go's that writes a program.
///
/// # Errors
/// When it does not build.
pub fn build(folder: &Path, what: &[&str], into: &Path, package: &str) -> anyhow::Result<()> {
    let version = "k8s.io/component-base/version";
    let flags = format!("-s -w -X {version}.gitVersion={VERSION} -X {version}.gitMajor=1 -X {version}.gitMinor=35");
    let into = into.to_string_lossy();
    command::run(folder, "go", &[what, &["-mod=mod", "-ldflags", &flags, "-o", &into, package]].concat())
}

/// Builds `kube-apiserver` and `etcd` under `kubernetes` in the tools' folder. What is there is not built again.
///
/// # Errors
/// When they do not build.
pub fn servers(tools: &Path) -> anyhow::Result<()> {
    let folder = tools.join("kubernetes");
    let (server, store) = (folder.join("kube-apiserver"), folder.join("etcd"));
    if server.exists() && store.exists() {
        return Ok(());
    }
    module(&folder)?;
    let main = folder.join("cmd/etcd");
    std::fs::create_dir_all(&main)?;
    let text = "package main\n\nimport (\n\t\"os\"\n\n\t\"go.etcd.io/etcd/server/v3/etcdmain\"\n)\n\nfunc main() { etcdmain.Main(os.Args) }\n";
    std::fs::write(main.join("main.go"), text)?;
    let imports = "//go:build tools\n\npackage tools\n\nimport _ \"k8s.io/kubernetes/cmd/kube-apiserver\"\n";
    std::fs::write(folder.join("tools.go"), imports)?;
    build(&folder, &["build"], &store, "./cmd/etcd")?;
    build(&folder, &["build"], &server, "k8s.io/kubernetes/cmd/kube-apiserver")
}

/// A module that requires Kubernetes at the versions of its own build, with its staging modules as they were published.
fn manifest(upstream: &str) -> String {
    let mut text = format!("module programs\n\ngo 1.25.0\n\nrequire k8s.io/kubernetes {VERSION}\n\n");
    let mut within = false;
    for line in upstream.lines() {
        within |= line.starts_with("require (");
        if within {
            text.push_str(line);
            text.push('\n');
        }
        within &= line != ")";
    }
    text.push_str("\nreplace (\n");
    for name in upstream.lines().filter_map(|line| line.trim().split_once(" => ./staging/")).map(|(name, _)| name) {
        let name = name.trim_start_matches("replace ");
        text.push_str(&format!("\t{name} => {name} {STAGING}\n"));
    }
    text.push_str(")\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_takes_published_modules_for_those_of_the_repository() {
        let upstream = "module k8s.io/kubernetes\n\nrequire (\n\ta v1\n)\n\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n)\n";
        let text = manifest(upstream);
        assert!(text.contains("require (\n\ta v1\n)\n"), "{text}");
        assert!(text.contains("replace (\n\tk8s.io/api => k8s.io/api v0.35.0\n)\n"), "{text}");
    }
}
