//! The suite's programs, built from the published modules of Kubernetes.

use crate::kubernetes;
use std::path::{Path, PathBuf};

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
    kubernetes::module(&suite.folder)?;
    let imports = "//go:build tools\n\npackage tools\n\nimport (\n\t_ \"k8s.io/kubernetes/cmd/kubectl\"\n\t_ \"k8s.io/kubernetes/test/e2e\"\n)\n";
    std::fs::write(suite.folder.join("tools.go"), imports)?;
    kubernetes::build(&suite.folder, &["build"], &suite.kubectl, "k8s.io/kubernetes/cmd/kubectl")?;
    kubernetes::build(&suite.folder, &["test", "-c"], &suite.e2e, "k8s.io/kubernetes/test/e2e")?;
    Ok(suite)
}
