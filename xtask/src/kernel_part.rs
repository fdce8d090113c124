//! The kernel part: its own package, target, profile, compiler and folder.

use std::process::Command;

use crate::toolchain::{BPF_TARGET, Toolchain};
use crate::workspace::Workspace;

/// The profile in the workspace's `Cargo.toml`.
const PROFILE: &str = "bpf";

/// Where the compiled object lies in the kernel part's own cargo folder.
pub(crate) fn compiled(workspace: &Workspace) -> std::path::PathBuf {
    workspace.kernel_build().join(BPF_TARGET).join(PROFILE).join("heaptide-ebpf")
}

/// Cargo with `subcommand` (`build`, `clippy`) for the kernel part.
pub(crate) fn cargo(subcommand: &str, toolchain: &Toolchain, workspace: &Workspace) -> Command {
    let mut cargo = toolchain.cargo();
    cargo.args([subcommand, "--package", "heaptide-ebpf", "--profile", PROFILE, "--target", BPF_TARGET]);
    // No core library comes compiled for this target.
    cargo.args(["-Z", "build-std=core"]);
    // Both folders: with a build folder of its own set, cargo would put what lies between there.
    let folder = workspace.kernel_build();
    cargo.arg("--target-dir").arg(&folder).env("CARGO_BUILD_BUILD_DIR", &folder);
    cargo
}
