//! Guests that are scheduling policies, in the store of a running cluster.

#[path = "../../plugins/embed/guests.rs"]
mod guests;

use crate::{Sampan, command, root};
use guests::{Guest, build};

/// A policy of this workspace: its package and its file.
pub const HOSTILE: (&str, &str) = ("sampan-hostile-policy", "sampan_hostile_policy");
/// See `examples/policy`.
pub const QUIET: (&str, &str) = ("quiet-nodes", "quiet_nodes");

/// Builds a guest and puts it into the running cluster's store under that name.
///
/// # Panics
/// When it does not build, or is not taken.
pub fn import(sampan: &Sampan, (package, file): (&'static str, &'static str), name: &str) {
    let guest = Guest { package, file, features: "" };
    let component = build(&root(), guest, &mut |note| println!("{note}")).unwrap_or_else(|error| panic!("{error}"));
    // The server's user may not be allowed into the workspace.
    let copy = sampan.folder.join(format!("{file}.wasm"));
    std::fs::copy(&component, &copy).expect("the guest is copied");
    let imported = command(&sampan.folder)
        .args(["image", "import", &copy.to_string_lossy(), name, "--data-dir"])
        .arg(sampan.folder.join("data"))
        .status()
        .expect("it starts");
    assert!(imported.success());
}
