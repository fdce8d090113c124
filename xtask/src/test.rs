//! `cargo xtask test`: everything that must hold before a change is merged.

use std::process::Command;

use anyhow::{Result, ensure};
use clap::Args;

use crate::plan::Needs;
use crate::workspace::Workspace;
use crate::{build, lint, process, setup, vm};

#[derive(Args)]
pub(crate) struct Options {
    /// Only what needs neither root nor a kernel with eBPF: lints and offline tests
    #[arg(long, conflicts_with = "kernel")]
    offline: bool,
    /// Only the build and the tests that attach to real processes; needs root
    #[arg(long)]
    kernel: bool,
    /// Only the build and some of these tests on Debian's kernels 6.1 and 6.12, in emulated machines
    #[arg(long, conflicts_with_all = ["offline", "kernel"])]
    vm: bool,
}

pub(crate) fn run(options: &Options, workspace: &Workspace) -> Result<()> {
    if options.offline {
        lint::run(workspace)?;
        build::program(workspace)?;
        offline(workspace, &[])?;
        return process::conclude("passed: lints, offline tests");
    }

    let toolchain = setup::run(Needs::Test)?;
    if options.vm {
        build::build(&toolchain, workspace)?;
        vm::run(workspace)?;
        return process::conclude("passed: build, tests on other kernels");
    }
    if !options.kernel {
        lint::lint(Some(&toolchain), workspace)?;
    }
    build::build(&toolchain, workspace)?;
    if !options.kernel {
        offline(workspace, &[])?;
    }
    on_kernel(workspace)?;
    process::conclude(if options.kernel {
        "passed: build, on-kernel tests"
    } else {
        "passed: lints, build, offline tests, on-kernel tests"
    })
}

/// The tests that need no root, those of the documentation among them, each with `environment` besides its own.
/// All of them run, also after one has failed.
pub(crate) fn offline(workspace: &Workspace, environment: &[(&str, &str)]) -> Result<()> {
    process::run(cargo_test(workspace).envs(environment.iter().copied()))
}

/// The tests that attach to real processes, one after the other: they count what is attached on the machine.
fn on_kernel(workspace: &Workspace) -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "the on-kernel tests need root; --offline runs all others");
    let mut tests = cargo_test(workspace);
    tests.args(["--package", "heaptide-tests", "--features", "kernel", "--", "--test-threads", "1"]);
    process::run(&mut tests)
}

fn cargo_test(workspace: &Workspace) -> Command {
    let mut tests = process::cargo();
    tests.args(["test", "--no-fail-fast"]).env("HEAPTIDE", workspace.program());
    tests
}
