//! What is done: one file a command.

mod capture;
mod completions;
mod doctor;
mod man;
mod mark;
mod record;
mod watch;

use std::process::ExitCode;

use super::{config::Command, exit};
use crate::process::launcher;

/// Does what is asked for.
pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Record(recording) => record::run(&recording),
        Command::Watch(watching) => watch::run(&watching),
        Command::Mark(pid) => mark::run(pid),
        Command::Doctor { pid, named } => doctor::run(pid, &named),
        Command::Man => man::run(),
        Command::Completions(shell) => completions::run(shell),
        Command::Launch { socket, private, command } => {
            launcher(&socket, &private, &command)?;
            Ok(ExitCode::from(exit::FAILURE))
        }
    }
}
