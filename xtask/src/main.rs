//! `cargo xtask`: builds, tests and measures heaptide.
//!
//! One file a subcommand. What they share: [`process`] runs other programs, [`workspace`] knows where things lie,
//! [`findings`] looks at the machine, [`plan`] decides from that which eBPF toolchain to use or to install.

mod bench;
mod bless;
mod build;
mod completeness;
mod demo;
mod dependencies;
mod findings;
mod kernel_part;
mod lint;
mod piece;
mod plan;
mod process;
mod setup;
mod test;
mod toolchain;
mod verdicts;
mod vm;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Builds, tests and measures heaptide.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Finds or installs what the build needs: a compiler for eBPF and its linker.
    ///
    /// Says nothing when nothing is missing. Installs on Debian when run as root, and says first what and why.
    /// Elsewhere it lists each missing piece with the command that installs it.
    Setup(setup::Options),
    /// Builds the program with its kernel part, its man page and its shell completions.
    Build,
    /// Runs every check: formatting, lints, documentation, licences, offline tests, on-kernel tests.
    Test(test::Options),
    /// Measures what tracing costs, at full speed and with many live blocks and stacks; needs root.
    Bench(bench::Options),
    /// Counts how many stacks of Debian's programs are whole, under load; installs those programs; needs root.
    Completeness(completeness::Options),
    /// Watches real programs of known kinds (leaks, caches, cycles) by many seeds, and compares the verdicts; needs root.
    Verdicts(verdicts::Options),
    /// Traces a small leaking service for eight seconds and shows what it finds.
    Demo,
    /// Checks formatting, lints, documentation, and the dependencies' licences.
    Lint,
    /// Accepts what the offline tests produce now as the expected output (golden files).
    Bless,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            process::say(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let workspace = Workspace::find()?;
    match &cli.task {
        Task::Setup(options) => setup::run(options.needs()).map(drop),
        Task::Build => build::run(&workspace),
        Task::Test(options) => test::run(options, &workspace),
        Task::Bench(options) => bench::run(options, &workspace),
        Task::Completeness(options) => completeness::run(options, &workspace),
        Task::Verdicts(options) => verdicts::run(options, &workspace),
        Task::Demo => demo::run(&workspace),
        Task::Lint => lint::run(&workspace),
        Task::Bless => bless::run(&workspace),
    }
}
