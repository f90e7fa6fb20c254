// Builds guests with the workspace's own cargo. Shared by the build script and, by `#[path]`, by tests that run guests.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";

/// Variables that the outer cargo, clippy or a coverage tool set for host crates, and guests must not inherit.
const NOT_FOR_GUESTS: [&str; 14] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTDOCFLAGS",
    "RUSTC",
    "RUSTDOC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_LINKER",
    "CLIPPY_ARGS",
    "CLIPPY_CONF_DIR",
    "CLIPPY_TERMINAL_WIDTH",
    "TARGET",
    "MAKEFLAGS",
    "MFLAGS",
];

/// One guest: a package and what to build of it.
#[derive(Clone, Copy)]
pub struct Guest {
    pub package: &'static str,
    /// The file that cargo makes, without `.wasm`.
    pub file: &'static str,
    pub features: &'static str,
}

fn cargo(workspace: &Path) -> Command {
    // The cargo that runs us, so that its toolchain is the guests'.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let of_cargo = text.starts_with("CARGO") && !matches!(&*text, "CARGO_HOME" | "CARGO_NET_OFFLINE");
        if of_cargo || NOT_FOR_GUESTS.contains(&&*text) {
            command.env_remove(&name);
        }
    }
    command
}

/// Adds the guests' target to the toolchain where it is missing. True if it had to be added.
pub fn ensure_target(workspace: &Path, rustc: &OsStr, rustup: &OsStr) -> Result<bool, String> {
    let printed = Command::new(rustc)
        .current_dir(workspace)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|e| format!("rustc cannot be asked for {TARGET}: {e}"))?;
    let libdir = String::from_utf8_lossy(&printed.stdout).trim().to_owned();
    if printed.status.success() && Path::new(&libdir).is_dir() {
        return Ok(false);
    }
    let missing = format!("the Rust target {TARGET} is missing: run `rustup target add {TARGET}`");
    let status = Command::new(rustup).current_dir(workspace).args(["target", "add", TARGET]).status();
    match status {
        Ok(status) if status.success() => Ok(true),
        Ok(status) => Err(format!("{missing} (tried: {status})")),
        Err(error) => Err(format!("{missing} (there is no rustup here: {error})")),
    }
}

/// Builds `guest` and returns the component's path. `note` is told what the user should know.
pub fn build(workspace: &Path, guest: Guest, note: &mut dyn FnMut(String)) -> Result<PathBuf, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    if ensure_target(workspace, &rustc, "rustup".as_ref())? {
        note(format!("added the Rust target {TARGET} through rustup"));
    }
    let target_dir = workspace.join("target/guests");
    let output = cargo(workspace)
        .args(["build", "--quiet", "--profile", "guest", "--target", TARGET, "--target-dir"])
        .arg(&target_dir)
        .args(["--package", guest.package, "--features", guest.features])
        .output()
        .map_err(|e| format!("cargo cannot be run for {}: {e}", guest.package))?;
    if !output.status.success() {
        return Err(format!("{} does not build:\n{}", guest.package, String::from_utf8_lossy(&output.stderr)));
    }
    Ok(target_dir.join(TARGET).join("guest").join(guest.file).with_extension("wasm"))
}
