//! What the arguments mean, checked: plain structures that the commands work from.

mod capture;
mod watching;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap_complete::Shell;

pub use self::capture::{Capture, Sizes, Targets};
pub use self::watching::{Form, Hook, HookCause, Watching};
use super::args::{self, AllocatorArgs, DoctorArgs, LaunchArgs, MarkArgs, RecordArgs};
use crate::allocator::{NamedAllocators, TypedError};
use crate::process::target::printable;

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Record.
    Record(Box<Recording>),
    /// Watch.
    Watch(Box<Watching>),
    /// Set a mark in the recordings of a process, or in all.
    Mark(Option<u32>),
    /// Examine the machine, and a process.
    Doctor {
        /// The process.
        pid: Option<u32>,
        /// Allocators to look for in it, too.
        named: NamedAllocators,
    },
    /// Write the manual page.
    Man,
    /// Write completions for a shell.
    Completions(Shell),
    /// Become a command.
    Launch {
        /// Where heaptide listens.
        socket: PathBuf,
        /// Files that the command sees private copies of.
        private: Vec<PathBuf>,
        /// The command and its arguments.
        command: Vec<OsString>,
    },
}

/// What to record, and what to make of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// What is recorded.
    pub capture: Capture,
    /// How often to report meanwhile; `None`: only at the end. Never 0.
    pub interval: Option<Duration>,
    /// Younger blocks are not shown; 0 shows all.
    pub older: Duration,
    /// Most stacks in the text report; at least 1.
    pub top: usize,
    /// Where reports go.
    pub outputs: Outputs,
    /// What to show besides blocks and anonymous mappings.
    pub show: Show,
}

/// Where a report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To standard output.
    Stdout,
    /// To a file.
    File(PathBuf),
}

/// Where the reports go, besides the text report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// Folded stacks.
    pub folded: Option<Destination>,
    /// The profile as JSON.
    pub json: Option<Destination>,
}

impl Outputs {
    /// Whether standard output is free for the text report: it is never mixed with a report for programs.
    #[must_use]
    pub fn is_text_shown(&self) -> bool {
        ![&self.folded, &self.json].into_iter().any(|output| *output == Some(Destination::Stdout))
    }
}

/// What to show besides blocks and anonymous mappings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Show {
    /// Mapped files.
    pub files: bool,
    /// Stacks of threads.
    pub thread_stacks: bool,
}

/// Arguments that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// No size is both.
    #[error("--min-size {min} is larger than --max-size {max}: no allocation would be recorded")]
    Sizes {
        /// As asked for, in bytes.
        min: u64,
        /// As asked for, in bytes.
        max: u64,
    },
    /// Two reports in one place.
    #[error("--folded and --json go to the same place: give at least one of them a file of its own")]
    SameOutput,
    /// An option about blocks where none are recorded.
    #[error("{option} chooses among blocks, and --mode growth records none: leave one of the two out")]
    NoBlocks {
        /// The option.
        option: &'static str,
    },
    /// A report to a file without a name.
    #[error("--folded and --json expect a file's name, or - for standard output")]
    EmptyName,
    /// A file of suppressions that cannot be read.
    #[error("--suppressions {}: {reason} (name a file of lines such as leak:function)", printable(&path.to_string_lossy()))]
    Suppressions {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A cause for which no command can be run.
    #[error("{option} {typed}: {reason}")]
    Cause {
        /// The option.
        option: &'static str,
        /// What was given.
        typed: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Allocators that cannot be traced so.
    #[error(transparent)]
    Allocators(#[from] TypedError),
}

impl TryFrom<args::Command> for Command {
    type Error = UsageError;

    fn try_from(command: args::Command) -> Result<Self, UsageError> {
        Ok(match command {
            args::Command::Record(args) => Self::Record(Box::new(Recording::try_from(*args)?)),
            args::Command::Watch(args) => Self::Watch(Box::new(Watching::try_from(*args)?)),
            args::Command::Mark(MarkArgs { pid }) => Self::Mark(pid),
            args::Command::Doctor(DoctorArgs { pid, allocators }) => Self::Doctor { pid, named: named(allocators)? },
            args::Command::Man => Self::Man,
            args::Command::Completions { shell } => Self::Completions(shell),
            args::Command::Launch(LaunchArgs { socket, private, command }) => Self::Launch { socket, private, command },
        })
    }
}

impl TryFrom<RecordArgs> for Recording {
    type Error = UsageError;

    fn try_from(args: RecordArgs) -> Result<Self, UsageError> {
        let outputs = Outputs { folded: args.folded, json: args.json };
        if [&outputs.folded, &outputs.json].into_iter().flatten().any(|o| *o == Destination::File(PathBuf::new())) {
            return Err(UsageError::EmptyName);
        }
        if outputs.folded.is_some() && outputs.folded == outputs.json {
            return Err(UsageError::SameOutput);
        }
        Ok(Self {
            capture: Capture::try_from(args.capture)?,
            interval: args.interval,
            older: args.older,
            top: args.top,
            outputs,
            show: Show {
                files: args.show.contains(&args::Show::Files),
                thread_stacks: args.show.contains(&args::Show::ThreadStacks),
            },
        })
    }
}

fn named(args: AllocatorArgs) -> Result<NamedAllocators, TypedError> {
    NamedAllocators::from_typed(args.specs, &args.files)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
