//! The test programs of those who write operators, for `sampan envtest`: controller-runtime's own suite and a project as
//! kubebuilder scaffolds it, both out of published modules and unmodified.

use crate::command::run;
use crate::tools;
use anyhow::Context;
use std::path::Path;

const CONTROLLER_RUNTIME: &str = "sigs.k8s.io/controller-runtime@v0.25.2";
const KUBEBUILDER: &str = "sigs.k8s.io/kubebuilder/v4@v4.16.0";
/// The version of it that this kubebuilder's Makefile asks for.
const CONTROLLER_GEN: &str = "sigs.k8s.io/controller-tools/cmd/controller-gen@v0.22.0";

/// Builds what `tests/tests/envtest.tsv` names, under `envtest` in the tools' folder: `controller-runtime` and `project` are
/// sources, `bin` has a test program for each package.
pub fn prepare(root: &Path, tools: &Path) -> anyhow::Result<()> {
    let folder = tools.join("envtest");
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin)?;
    controller_runtime(&folder)?;
    project(&folder)?;
    let list = std::fs::read_to_string(root.join("tests/tests/envtest.tsv"))?;
    for line in list.lines().filter_map(|line| line.strip_prefix("suite\t")) {
        let (source, package) = line.split_once('\t').with_context(|| format!("not understood: {line}"))?;
        let output = bin.join(format!("{source}-{}.test", package.replace('/', "-")));
        // Always: Go itself knows whether anything has changed.
        let what = ["test", "-c", "-vet=off", "-o", &output.to_string_lossy(), &format!("./{package}")];
        run(&folder.join(source), "go", &what)?;
    }
    Ok(())
}

/// A copy, since tests write beside their sources and Go's modules are read-only.
fn controller_runtime(folder: &Path) -> anyhow::Result<()> {
    let copy = folder.join("controller-runtime");
    if copy.join("go.mod").exists() {
        return Ok(());
    }
    let source = tools::module(folder, CONTROLLER_RUNTIME)?;
    tools::copy_all(&source, &copy)
}

/// What `kubebuilder init` and `create api` make, and `make generate manifests` after them.
fn project(folder: &Path) -> anyhow::Result<()> {
    let project = folder.join("project");
    if project.join("ready").exists() {
        return Ok(());
    }
    let bin = folder.join("bin");
    let source = tools::module(folder, KUBEBUILDER)?;
    let kubebuilder = bin.join("kubebuilder").to_string_lossy().into_owned();
    run(&source, "go", &["build", "-o", &kubebuilder, "."])?;
    let place = format!("GOBIN={}", bin.to_string_lossy());
    run(folder, "env", &[&place, "go", "install", CONTROLLER_GEN])?;
    if project.exists() {
        std::fs::remove_dir_all(&project)?;
    }
    std::fs::create_dir_all(&project)?;
    let init = ["init", "--domain", "example.com", "--repo", "example.com/project", "--skip-go-version-check"];
    run(&project, &kubebuilder, &init)?;
    let kind = ["--group", "cache", "--version", "v1alpha1", "--kind", "Memcached", "--make=false"];
    run(&project, &kubebuilder, &[&["create", "api", "--resource", "--controller"][..], &kind].concat())?;
    let generate = bin.join("controller-gen").to_string_lossy().into_owned();
    run(&project, &generate, &["object:headerFile=hack/boilerplate.go.txt", "paths=./..."])?;
    let manifests = ["rbac:roleName=manager-role", "crd", "webhook", "paths=./..."];
    run(&project, &generate, &[&manifests[..], &["output:crd:artifacts:config=config/crd/bases"]].concat())?;
    std::fs::write(project.join("ready"), b"")?;
    Ok(())
}
