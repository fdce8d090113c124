//! `cargo xtask lint`: formatting, clippy, documentation, and what the dependencies' own words promise.

use std::process::Command;

use anyhow::Result;

use crate::toolchain::Toolchain;
use crate::workspace::Workspace;
use crate::{dependencies, kernel_part, process, setup};

/// Runs every lint; the kernel part's only where there is a compiler for it, and says so where there is none.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let toolchain = setup::present()?;
    lint(toolchain.as_ref(), workspace)
}

/// Runs every lint, with a given toolchain for the kernel part.
pub(crate) fn lint(toolchain: Option<&Toolchain>, workspace: &Workspace) -> Result<()> {
    process::run(process::cargo().args(["fmt", "--all", "--check"]))?;
    process::run(process::cargo().args(["clippy", "--all-targets", "--all-features", "--", "--deny", "warnings"]))?;
    match toolchain {
        Some(toolchain) => kernel_part(toolchain, workspace)?,
        None => process::say("lint: the kernel part is left out, since there is no eBPF toolchain (cargo xtask setup)"),
    }
    process::run(process::cargo().args(["doc", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings"))?;
    dependencies::check()?;
    // The rest of deny.toml, for those who have the program: advisories are left out, since they need the network and
    // change without a change here.
    if which::which("cargo-deny").is_ok() {
        process::run(process::cargo().args(["deny", "check", "bans", "licenses", "sources"]))?;
    }
    Ok(())
}

/// The kernel part's warnings are errors. Compilers of distributions come without a clippy that can read their library:
/// with them the compiler's own lints have to do.
fn kernel_part(toolchain: &Toolchain, workspace: &Workspace) -> Result<()> {
    let subcommand = if toolchain.has_clippy() { "clippy" } else { "build" };
    process::run(with_warnings_denied(&mut kernel_part::cargo(subcommand, toolchain, workspace)))
}

/// By cargo and not by a compiler flag, which would have everything compiled once more.
fn with_warnings_denied(cargo: &mut Command) -> &mut Command {
    cargo.args(["-Z", "warnings", "--config", "build.warnings='deny'"])
}
