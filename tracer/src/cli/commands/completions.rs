//! `heaptide completions`: for a shell's completion directory.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::cli::args::Args;
use crate::cli::output;

/// Writes the completions to standard output.
pub(super) fn run(shell: Shell) -> anyhow::Result<ExitCode> {
    // Generated into memory: the generator gives up loudly when writing fails.
    let mut script = Vec::new();
    generate(shell, &mut Args::command(), "heaptide", &mut script);
    output::show(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
