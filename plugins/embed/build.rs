//! Builds the guests for wasm32-wasip2 with a cargo of their own, and precompiles them for the stated baseline.

mod guests;

use guests::{Guest, build};
use sampan_wasm_runtime::{Precompiled, Role, digest_of, precompile};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// One component that the binary carries.
struct Embedded {
    guest: Guest,
    /// Its name in the embedded registry.
    reference: &'static str,
    role: Role,
}

const fn embedded(
    package: &'static str,
    file: &'static str,
    features: &'static str,
    reference: &'static str,
    role: Role,
) -> Embedded {
    Embedded { guest: Guest { package, file, features }, reference, role }
}

/// hello:v1 is the last of its package, so that what stays in the guests' target directory is v1.
const EMBEDDED: [Embedded; 7] = [
    embedded("example-hello", "example_hello", "v2", "sampan/hello:v2", Role::Service),
    embedded("example-hello", "example_hello", "", "sampan/hello:v1", Role::Service),
    embedded("example-worker", "example-worker", "", "sampan/worker:v1", Role::Command),
    embedded("example-batch", "example-batch", "", "sampan/batch:v1", Role::Command),
    embedded("example-memory-bomb", "example-memory-bomb", "", "sampan/memory-bomb:v1", Role::Command),
    embedded("example-cpu-burner", "example-cpu-burner", "", "sampan/cpu-burner:v1", Role::Command),
    embedded("sampan-policies", "sampan_policies", "", "sampan/policies:v1", Role::Policy),
];

const SOURCES: [&str; 9] = [
    "examples/hello",
    "examples/worker",
    "examples/batch",
    "examples/memory-bomb",
    "examples/cpu-burner",
    "plugins/policies",
    "plugins/sdk/rust",
    "plugins/wit",
    "plugins/embed/guests.rs",
];

fn main() {
    if let Err(error) = run() {
        // One line for each, or cargo shows only the first.
        for line in error.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn run() -> Result<(), String> {
    let here = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").map_err(|e| e.to_string())?);
    let out = PathBuf::from(std::env::var("OUT_DIR").map_err(|e| e.to_string())?);
    let workspace = here.join("../..").canonicalize().map_err(|e| format!("the workspace: {e}"))?;
    println!("cargo::rerun-if-changed=build.rs");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let mut table = String::from("pub static COMPONENTS: &[Component] = &[\n");
    for (index, item) in EMBEDDED.iter().enumerate() {
        let built = build(&workspace, item.guest, &mut |note| println!("cargo::warning={note}"))?;
        let component = fs::read(&built).map_err(|e| format!("{}: {e}", built.display()))?;
        let made = precompile(item.role, &component).map_err(|e| format!("{}: {e}", item.reference))?;
        write_item(&mut table, &out, index, item, &component, &made)?;
    }
    table.push_str("];\n");
    fs::write(out.join("components.rs"), table).map_err(|e| format!("components.rs: {e}"))
}

fn write_item(
    table: &mut String,
    out: &Path,
    index: usize,
    item: &Embedded,
    component: &[u8],
    made: &Precompiled,
) -> Result<(), String> {
    for (extension, content) in [("wasm", component), ("cwasm", &made.artefact)] {
        let path = out.join(format!("{index}.{extension}"));
        fs::write(&path, content).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    writeln!(
        table,
        "    Component {{ reference: {reference:?}, bytes: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{index}.wasm\")), seed: Seed {{ \
         digest: {digest:?}, role: Role::{role:?}, engine_hash: {hash}, \
         worlds: Worlds {{ command: {command}, service: {service}, policy: {policy}, termination: {termination} }}, \
         artefact: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{index}.cwasm\")) }} }},",
        reference = item.reference,
        digest = digest_of(component),
        role = item.role,
        hash = made.engine_hash,
        command = made.worlds.command,
        service = made.worlds.service,
        policy = made.worlds.policy,
        termination = made.worlds.termination,
    )
    .map_err(|e| e.to_string())
}
