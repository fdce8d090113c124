//! What the arguments mean, checked: plain structures that the commands work from.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap_complete::Shell;

use super::args::{self, AllocatorArgs, DoctorArgs, LaunchArgs, Mode, RecordArgs, Sample};
use crate::allocator::{NamedAllocators, TypedError};
use crate::kernel::StackMethod;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Record.
    Record(Box<Recording>),
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
    pub mode: Mode,
    /// Whom to record.
    pub targets: Targets,
    /// How long; `None`: until interrupted, or until the last target ends. Never 0.
    pub duration: Option<Duration>,
    /// How often to report meanwhile; `None`: only at the end. Never 0.
    pub interval: Option<Duration>,
    /// Allocations of other sizes are refused.
    pub sizes: Sizes,
    /// Bytes for which one block is recorded, on average; `None`: every block is recorded.
    pub sample: Option<u32>,
    /// How much the targets may be slowed down, in millionths; `None`: as much as it takes. Never 0.
    pub max_overhead: Option<u32>,
    /// Younger blocks are not shown; 0 shows all.
    pub older: Duration,
    /// Most stacks in the text report; at least 1.
    pub top: usize,
    /// Where reports go.
    pub outputs: Outputs,
    /// Whether debuginfod servers are asked for debug information.
    pub debuginfod: bool,
    /// Whether children of the targets are recorded too.
    pub follow: bool,
    /// How stacks are taken.
    pub stacks: StackMethod,
    /// Most live blocks that are kept; at least 1.
    pub max_live: u64,
    /// Bytes of all rings together; a power of two.
    pub ring_bytes: u64,
    /// Rings, a power of two; `None`: as many as suit the machine.
    pub shards: Option<u32>,
    /// Whether the probes' programs do nothing.
    pub empty_programs: bool,
    /// What to show besides blocks and anonymous mappings.
    pub show: Show,
    /// Allocators to trace besides those that heaptide knows.
    pub named: NamedAllocators,
}

/// Whom to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Running processes, each once, in the order in which they were named.
    Pids(Vec<u32>),
    /// A command that heaptide starts.
    Command {
        /// Its name or path.
        program: OsString,
        /// Its arguments, without its name.
        args: Vec<OsString>,
    },
}

/// Sizes of allocations that are recorded, in bytes, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The smallest.
    pub min: u64,
    /// The largest; not smaller than `min`.
    pub max: u64,
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
    /// Allocators that cannot be traced so.
    #[error(transparent)]
    Allocators(#[from] TypedError),
}

impl TryFrom<args::Command> for Command {
    type Error = UsageError;

    fn try_from(command: args::Command) -> Result<Self, UsageError> {
        Ok(match command {
            args::Command::Record(args) => Self::Record(Box::new(Recording::try_from(*args)?)),
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
        let sizes = Sizes { min: args.min_size.unwrap_or(0), max: args.max_size.unwrap_or(u64::MAX) };
        if sizes.min > sizes.max {
            return Err(UsageError::Sizes { min: sizes.min, max: sizes.max });
        }
        if args.mode == Mode::Growth
            && let Some(option) = about_blocks(&args)
        {
            return Err(UsageError::NoBlocks { option });
        }
        let outputs = Outputs { folded: args.folded, json: args.json };
        if [&outputs.folded, &outputs.json].into_iter().flatten().any(|o| *o == Destination::File(PathBuf::new())) {
            return Err(UsageError::EmptyName);
        }
        if outputs.folded.is_some() && outputs.folded == outputs.json {
            return Err(UsageError::SameOutput);
        }
        Ok(Self {
            mode: args.mode,
            targets: targets(args.pids, args.command),
            duration: args.duration,
            interval: args.interval,
            sizes,
            sample: match args.sample {
                None | Some(Sample::Everything) => None,
                Some(Sample::Every(interval)) => Some(interval),
            },
            max_overhead: args.max_overhead,
            older: args.older,
            top: args.top,
            outputs,
            debuginfod: args.debuginfod,
            follow: args.follow,
            stacks: args.stacks.into(),
            max_live: args.max_live,
            ring_bytes: args.ring,
            shards: args.shards,
            empty_programs: args.empty_programs,
            show: Show {
                files: args.show.contains(&args::Show::Files),
                thread_stacks: args.show.contains(&args::Show::ThreadStacks),
            },
            named: named(args.allocators)?,
        })
    }
}

/// An option that was given and has a meaning for blocks alone.
fn about_blocks(args: &RecordArgs) -> Option<&'static str> {
    let allocators = &args.allocators;
    [
        (args.sample.is_some(), "--sample"),
        (args.max_overhead.is_some(), "--max-overhead"),
        (args.min_size.is_some(), "--min-size"),
        (args.max_size.is_some(), "--max-size"),
        (!allocators.specs.is_empty(), "--allocator"),
        (!allocators.files.is_empty(), "--allocator-file"),
        (args.empty_programs, "--empty-programs"),
    ]
    .into_iter()
    .find_map(|(is_given, option)| is_given.then_some(option))
}

fn named(args: AllocatorArgs) -> Result<NamedAllocators, TypedError> {
    NamedAllocators::from_typed(args.specs, &args.files)
}

/// The parser lets exactly one of the two through.
fn targets(pids: Vec<u32>, command: Vec<OsString>) -> Targets {
    let mut command = command.into_iter();
    if let Some(program) = command.next() {
        return Targets::Command { program, args: command.collect() };
    }
    let mut once: Vec<u32> = Vec::with_capacity(pids.len());
    for pid in pids {
        if !once.contains(&pid) {
            once.push(pid);
        }
    }
    Targets::Pids(once)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
