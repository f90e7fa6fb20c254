//! The suite's programs, built from the published modules of Kubernetes.

use crate::{command, tools};
use std::path::{Path, PathBuf};

const VERSION: &str = "v1.35.0";
/// The version of the modules that Kubernetes' repository holds.
const STAGING: &str = "v0.35.0";

/// The suite, and where what it writes goes.
pub(super) struct Suite {
    pub(super) e2e: PathBuf,
    pub(super) kubectl: PathBuf,
    pub(super) folder: PathBuf,
}

/// Builds the suite and the kubectl of its version under the tools' folder. What is there is not built again.
pub(super) fn build(root: &Path) -> anyhow::Result<Suite> {
    let folder = root.join("target/tools/conformance");
    std::fs::create_dir_all(&folder)?;
    let suite = Suite { e2e: folder.join("e2e.test"), kubectl: folder.join("kubectl"), folder };
    if suite.e2e.exists() && suite.kubectl.exists() {
        return Ok(suite);
    }
    let module = format!("k8s.io/kubernetes@{VERSION}");
    let source = tools::module(&suite.folder, &module)?;
    let upstream = std::fs::read_to_string(source.join("go.mod"))?;
    std::fs::write(suite.folder.join("go.mod"), manifest(&upstream))?;
    std::fs::write(suite.folder.join("go.sum"), std::fs::read(source.join("go.sum"))?)?;
    let imports = "//go:build tools\n\npackage tools\n\nimport (\n\t_ \"k8s.io/kubernetes/cmd/kubectl\"\n\t_ \"k8s.io/kubernetes/test/e2e\"\n)\n";
    std::fs::write(suite.folder.join("tools.go"), imports)?;
    let version = "k8s.io/component-base/version";
    let flags = format!("-s -w -X {version}.gitVersion={VERSION} -X {version}.gitMajor=1 -X {version}.gitMinor=35");
    let build = |what: &[&str], into: &Path, package: &str| {
        let into = into.to_string_lossy();
        command::run(&suite.folder, "go", &[what, &["-mod=mod", "-ldflags", &flags, "-o", &into, package]].concat())
    };
    build(&["build"], &suite.kubectl, "k8s.io/kubernetes/cmd/kubectl")?;
    build(&["test", "-c"], &suite.e2e, "k8s.io/kubernetes/test/e2e")?;
    Ok(suite)
}

/// A module that requires Kubernetes at the versions of its own build, with its staging modules as they were published.
fn manifest(upstream: &str) -> String {
    let mut text = format!("module conformance\n\ngo 1.25.0\n\nrequire k8s.io/kubernetes {VERSION}\n\n");
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
