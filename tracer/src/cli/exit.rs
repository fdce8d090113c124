//! Exit codes.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | heaptide's own failure |
//! | 2 | wrong usage |
//! | 10 | `watch --exit-code`: something grows |
//! | 11 | `watch --exit-code`: it is too early to say |
//! | 126, 127 | `record -- CMD`: CMD cannot be executed, is not found |
//! | CMD's own, 128 + n | `record -- CMD`: CMD exited so, or was ended by signal n |

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use crate::process::target::printable;

/// heaptide's own failure.
pub const FAILURE: u8 = 1;
/// Wrong usage.
pub const USAGE: u8 = 2;
/// Something grows: a leak suspect, or memory that is not the heap.
pub const GROWS: u8 = 10;
/// It is too early to say whether anything grows.
pub const TOO_EARLY: u8 = 11;
/// A command that cannot be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// A command that is not found.
pub const NOT_FOUND: u8 = 127;
/// The code of a command ended by signal n is this plus n, as shells have it.
const SIGNAL: i32 = 128;

/// The exit codes, as help texts and the manual page tell them.
pub(super) const HELP: &str = "\
Exit codes:
  0         done
  1         heaptide failed; one line on standard error says why
  2         wrong usage
  10, 11    watch --exit-code: something grows; it is too early to say
  126, 127  record -- CMD: CMD cannot be executed, CMD is not found
  other     record -- CMD: CMD's own, or 128 + n when signal n ended it";

/// Why a command could not be started. It decides heaptide's exit code.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such program.
    #[error("cannot find {program} (name a program in PATH, or give its path)")]
    NotFound {
        /// What was asked for, for a terminal.
        program: String,
    },
    /// There is one, but it does not run.
    #[error("cannot execute {program}: {reason}")]
    NotExecutable {
        /// What was asked for, for a terminal.
        program: String,
        /// What the kernel said.
        reason: io::Error,
    },
}

impl CommandError {
    /// What the failed start of `program` means.
    #[must_use]
    pub fn new(program: &OsStr, reason: io::Error) -> Self {
        let program = printable(&program.to_string_lossy());
        match reason.kind() {
            io::ErrorKind::NotFound => Self::NotFound { program },
            _ => Self::NotExecutable { program, reason },
        }
    }

    /// heaptide's exit code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => NOT_FOUND,
            Self::NotExecutable { .. } => NOT_EXECUTABLE,
        }
    }
}

/// heaptide's exit code for an error.
pub(super) fn code_of(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<CommandError>().map_or(FAILURE, CommandError::code)
}

/// heaptide's exit code after the recorded command ended with `status`.
#[must_use]
pub fn of_command(status: ExitStatus) -> ExitCode {
    ExitCode::from(command_code(status))
}

/// heaptide's exit code for the verdict on a watch, in its word.
#[must_use]
pub fn of_verdict(word: &str) -> u8 {
    match word {
        "growing" | "not_the_heap" => GROWS,
        "too_early" => TOO_EARLY,
        _ => 0,
    }
}

fn command_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| SIGNAL + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILURE)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use anyhow::Context;

    use super::*;

    #[test]
    fn a_command_gives_its_own_code_or_that_of_its_signal() {
        for (script, code) in [("exit 0", 0), ("exit 77", 77), ("kill -TERM $$", 128 + 15), ("kill -KILL $$", 128 + 9)]
        {
            let status = Command::new("sh").args(["-c", script]).status().unwrap();
            assert_eq!(command_code(status), code, "{script}");
        }
    }

    #[test]
    fn a_command_that_does_not_start_gives_the_shell_s_codes() {
        for (program, code) in [("/no/such/program", NOT_FOUND), ("/etc/passwd", NOT_EXECUTABLE), ("/", NOT_EXECUTABLE)]
        {
            let reason = Command::new(program).spawn().unwrap_err();
            let error = Err::<(), _>(CommandError::new(program.as_ref(), reason)).context("cannot record").unwrap_err();
            assert_eq!(code_of(&error), code, "{error:#}");
        }
        assert_eq!(code_of(&anyhow::anyhow!("anything else")), FAILURE);
    }
}
