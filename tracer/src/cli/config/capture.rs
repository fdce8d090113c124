//! What is recorded, and how: what all commands that record have in common.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::{UsageError, named};
use crate::allocator::NamedAllocators;
use crate::cli::args::{CaptureArgs, Mode, Sample};
use crate::kernel::StackMethod;
use crate::verdict::Suppressions;

/// What is recorded, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// What is recorded.
    pub mode: Mode,
    /// Whom to record.
    pub targets: Targets,
    /// How long; `None`: until interrupted, or until the last target ends. Never 0.
    pub duration: Option<Duration>,
    /// Allocations of other sizes are refused.
    pub sizes: Sizes,
    /// Bytes for which one block is recorded, on average; `None`: every block is recorded.
    pub sample: Option<u32>,
    /// How much the targets may be slowed down, in millionths; `None`: as much as it takes. Never 0.
    pub max_overhead: Option<u32>,
    /// How often a mark is set; `None`: only when asked for. Never 0.
    pub mark_every: Option<Duration>,
    /// Growth that is known.
    pub suppressions: Suppressions,
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
    /// Allocators to trace besides those that heaptide knows.
    pub named: NamedAllocators,
}

/// Whom to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Running processes, each once, in the order in which they were named.
    Pids(Vec<u32>),
    /// Processes of this name, those that run and those that will.
    Named(String),
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

impl TryFrom<CaptureArgs> for Capture {
    type Error = UsageError;

    fn try_from(args: CaptureArgs) -> Result<Self, UsageError> {
        let sizes = Sizes { min: args.min_size.unwrap_or(0), max: args.max_size.unwrap_or(u64::MAX) };
        if sizes.min > sizes.max {
            return Err(UsageError::Sizes { min: sizes.min, max: sizes.max });
        }
        if args.mode == Mode::Growth
            && let Some(option) = about_blocks(&args)
        {
            return Err(UsageError::NoBlocks { option });
        }
        Ok(Self {
            mode: args.mode,
            targets: targets(args.pids, args.name, args.command),
            duration: args.duration,
            sizes,
            sample: match args.sample {
                None | Some(Sample::Everything) => None,
                Some(Sample::Every(interval)) => Some(interval),
            },
            max_overhead: args.max_overhead,
            mark_every: args.mark_every,
            suppressions: args.suppressions.map(suppressions).transpose()?.unwrap_or_default(),
            debuginfod: args.debuginfod,
            follow: args.follow,
            stacks: args.stacks.into(),
            max_live: args.max_live,
            ring_bytes: args.ring,
            shards: args.shards,
            empty_programs: args.empty_programs,
            named: named(args.allocators)?,
        })
    }
}

/// An option that was given and has a meaning for blocks alone.
fn about_blocks(args: &CaptureArgs) -> Option<&'static str> {
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

fn suppressions(path: PathBuf) -> Result<Suppressions, UsageError> {
    let text = fs::read_to_string(&path).map_err(|error| error.to_string());
    let parsed = text.and_then(|text| Suppressions::parse(&text).map_err(|error| error.to_string()));
    parsed.map_err(|reason| UsageError::Suppressions { path, reason })
}

/// The parser lets exactly one of the three through.
fn targets(pids: Vec<u32>, name: Option<String>, command: Vec<OsString>) -> Targets {
    if let Some(name) = name {
        return Targets::Named(name);
    }
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
