//! The command line: what was typed ([`args`]), what it means ([`config`]), and what is done about it ([`commands`]).

pub mod args;
pub mod commands;
pub mod config;
pub mod exit;
mod help;
mod log;
pub mod output;
mod table;
mod values;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::process::target::printable;

/// Runs heaptide with the given arguments, the program's name first, and says how it went.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match args::Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => return show_usage(&error),
    };
    log::start(args.verbose);
    let command = match config::Command::try_from(args.command) {
        Ok(command) => command,
        Err(error) => return show_usage(&usage_error(&error)),
    };
    match commands::run(command) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

/// What clap has to say: help and version on standard output, wrong usage on standard error.
fn show_usage(error: &clap::Error) -> ExitCode {
    // Nobody is left to be told that help could not be shown.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::USAGE))
}

/// Wrong usage that only shows when arguments are seen together, in clap's words.
fn usage_error(error: &config::UsageError) -> clap::Error {
    let mut command = args::Args::command();
    command.build();
    let record = command.find_subcommand("record").cloned().unwrap_or(command);
    record.clone().error(ErrorKind::ValueValidation, error)
}

fn fail(error: &anyhow::Error) -> ExitCode {
    if output::is_closed_stdout(error) {
        // The reader has seen enough, as `head` has.
        return ExitCode::SUCCESS;
    }
    // Nobody is left to be told when standard error is closed.
    let _ = writeln!(io::stderr(), "heaptide: {}", one_line(error));
    ExitCode::from(exit::code_of(error))
}

/// The error and its causes in one line that a terminal can be shown.
fn one_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    printable(&text.lines().map(str::trim).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_without_control_characters() {
        let error = anyhow::anyhow!("the \u{1b}[31mkernel\nsaid no").context("cannot attach");
        assert_eq!(one_line(&error), "cannot attach: the ?[31mkernel said no");
    }
}
