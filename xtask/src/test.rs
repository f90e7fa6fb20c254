//! `cargo xtask test`: the one command that continuous integration and people run.

use crate::command::{self, run_with};
use crate::ratchet::Counting;
use crate::{clients, envtest, kubernetes, tidy, tools};
use std::path::Path;

pub fn run(root: &Path, tier: &str) -> anyhow::Result<()> {
    command::run(root, "cargo", &["fmt", "--all", "--check"])?;
    tidy::run(root, Counting::Compare)?;
    let tools = tools::prepare(root)?;
    if tier == "nightly" {
        tools::interpreted(root, &tools)?;
        clients::prepare(root, &tools)?;
        envtest::prepare(root, &tools)?;
        kubernetes::servers(&tools)?;
    }
    let deny = tools.join(tools::DENY).to_string_lossy().into_owned();
    command::run(root, &deny, &["deny", "check", "bans", "licenses", "sources"])?;
    // With the tests, whose features the dependencies then have: they are built once for both.
    command::run(root, "cargo", &["build", "--release", "--workspace", "--bins", "--tests"])?;
    command::run(root, "cargo", &["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    let tools = tools.to_string_lossy();
    let env = [("SAMPAN_TIER", tier), ("SAMPAN_TOOLS", tools.as_ref())];
    // Passing tests' output is shown too: it says how many comparisons with reference data were made.
    let words = ["test", "--release", "--workspace", "--no-fail-fast", "--", "--show-output"];
    run_with(root, "cargo", &words, &env)
}
