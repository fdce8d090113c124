//! What was typed. Each value is read by itself here; [`super::config`] says what they mean together.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, ArgGroup, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::config::Destination;
use super::help::{ABOUT, LONG_ABOUT, MAIN_HELP, MARK_HELP, RECORD_HELP, WATCH_HELP};
use super::{exit, values};
use crate::allocator::NamedAllocator;
use crate::kernel::StackMethod;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "heaptide", version, about = ABOUT, long_about = LONG_ABOUT)]
#[command(after_long_help = format!("{MAIN_HELP}\n\n{}", exit::HELP))]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Args {
    /// Says more on standard error: -v what is done, -vv what is seen on the way.
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Records allocations of running processes, or of a command, and reports which code holds the memory.
    #[command(after_long_help = format!("{RECORD_HELP}\n\n{}", exit::HELP))]
    Record(Box<RecordArgs>),
    /// Watches memory over time, and tells whether it is a leak, bloat that levels off, or memory that the allocator keeps.
    #[command(after_long_help = format!("{WATCH_HELP}\n\n{}", exit::HELP))]
    Watch(Box<WatchArgs>),
    /// Sets a mark in recordings that run: reports tell what was allocated after it and is still there.
    #[command(after_long_help = MARK_HELP)]
    Mark(MarkArgs),
    /// Tells what this machine and heaptide's rights offer, and what is missing for recording.
    #[command(after_long_help = "Exit codes: 0 recording is possible, 1 it is not, 2 wrong usage.")]
    Doctor(DoctorArgs),
    /// Writes the manual page to standard output.
    #[command(hide = true)]
    Man,
    /// Writes a shell's completions to standard output.
    #[command(hide = true)]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Becomes a command when heaptide says so: how heaptide starts the commands that it records.
    #[command(hide = true)]
    Launch(LaunchArgs),
}

/// What heaptide tells the launcher that it starts.
#[derive(Debug, clap::Args)]
pub struct LaunchArgs {
    /// Where heaptide listens.
    pub socket: PathBuf,
    /// Files that the command sees private copies of.
    #[arg(long)]
    pub private: Vec<PathBuf>,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

/// What to record, and what to make of it.
#[derive(Debug, clap::Args)]
pub struct RecordArgs {
    /// What is recorded, and how.
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// Reports every so often while recording [default: only at the end].
    #[arg(short, long, value_name = "TIME", value_parser = values::positive_time)]
    pub interval: Option<Duration>,
    /// Shows only blocks held for longer than this.
    #[arg(long, value_name = "TIME", value_parser = values::time, default_value = "0")]
    pub older: Duration,
    /// How many stacks the text report shows.
    #[arg(long, value_name = "N", value_parser = values::top, default_value = "10")]
    pub top: usize,
    /// Writes folded stacks, for flame graphs; - is standard output.
    #[arg(long, value_name = "FILE", value_parser = file_parser())]
    pub folded: Option<Destination>,
    /// Writes the whole profile as JSON; - is standard output.
    #[arg(long, value_name = "FILE", value_parser = file_parser())]
    pub json: Option<Destination>,
    /// Memory to show besides blocks and anonymous mappings.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub show: Vec<Show>,
}

/// What is recorded, and how.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("target").required(true).args(["pids", "name", "command"])))]
pub struct CaptureArgs {
    /// What is recorded.
    #[arg(long, value_name = "MODE", default_value = "blocks")]
    pub mode: Mode,
    /// Processes to record; may be repeated.
    #[arg(short = 'p', long = "pid", value_name = "PID[,PID...]", value_delimiter = ',', value_parser = values::pid)]
    pub pids: Vec<u32>,
    /// Records the processes of this name, also those that begin later: a service that is restarted.
    #[arg(short = 'n', long, value_name = "NAME", value_parser = values::name)]
    pub name: Option<String>,
    /// How long to record [default: until Ctrl-C, or until the processes end].
    #[arg(short, long, visible_alias = "for", value_name = "TIME", value_parser = values::positive_time)]
    pub duration: Option<Duration>,
    /// Leaves out blocks smaller than this.
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub min_size: Option<u64>,
    /// Leaves out blocks larger than this.
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub max_size: Option<u64>,
    /// Records one block in every so many bytes, and estimates the rest [default: records every block].
    #[arg(long, value_name = "SIZE", value_parser = values::sampling_interval)]
    pub sample: Option<Sample>,
    /// Keeps the slowdown of the processes below this: samples, or records in pulses, where it must.
    #[arg(long, value_name = "PERCENT", value_parser = values::overhead, conflicts_with_all = ["sample", "empty_programs"])]
    pub max_overhead: Option<u32>,
    /// Sets a mark every so often: reports then tell what is left of each time between marks.
    #[arg(long, value_name = "TIME", value_parser = values::positive_time)]
    pub mark_every: Option<Duration>,
    /// Growth that is known, and not to be reported: a file of suppressions as `LeakSanitizer` reads them.
    #[arg(long, value_name = "FILE")]
    pub suppressions: Option<PathBuf>,
    /// How stacks are taken.
    #[arg(long, value_name = "HOW", default_value = "cfi")]
    pub stacks: Stacks,
    /// Fetches missing debug information from the debuginfod servers that the environment names.
    #[arg(long)]
    pub debuginfod: bool,
    /// Records the processes' children too: those that there are, and those that come.
    #[arg(long)]
    pub follow: bool,
    /// How many blocks are kept at most; more are counted as refused.
    #[arg(long, value_name = "N", value_parser = values::count, default_value = "20M")]
    pub max_live: u64,
    /// Memory for events on their way, all rings together, rounded up to a power of two.
    #[arg(long, value_name = "SIZE", value_parser = values::ring_bytes, default_value = "32MiB")]
    pub ring: u64,
    /// How many rings; a power of two [default: by the number of processors].
    #[arg(long, value_name = "N", value_parser = values::shards, hide = true)]
    pub shards: Option<u32>,
    /// Puts in programs that do nothing: what then slows the target down are the probes alone. For measurements.
    #[arg(long, hide = true)]
    pub empty_programs: bool,
    /// Allocators besides the C library's.
    #[command(flatten)]
    pub allocators: AllocatorArgs,
    /// The command to run and record, with its arguments.
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// What to watch, and what to do about it.
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// What is recorded, and how.
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// A line every so often; memory over time is known to this.
    #[arg(short, long, value_name = "TIME", value_parser = values::watch_interval, default_value = "1s")]
    pub interval: Duration,
    /// Ends as soon as this is the verdict on a process, and sure.
    #[arg(long, value_name = "VERDICT")]
    pub until: Option<Word>,
    /// How sure a verdict must be for --until and --on.
    #[arg(long, value_name = "PERCENT", value_parser = values::confidence, default_value = "80%")]
    pub sure: f64,
    /// Tells by the exit code what the verdict is: 0 nothing grows, 10 something does, 11 it is too early to say.
    #[arg(long)]
    pub exit_code: bool,
    /// Writes lines for spreadsheets.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Writes a JSON object a line; the last one is the conclusion.
    #[arg(long)]
    pub json: bool,
    /// Runs a command when this becomes the verdict on a process, and sure; may be repeated.
    #[arg(long, num_args = 2, value_names = ["VERDICT", "CMD"])]
    pub on: Vec<String>,
    /// Runs a command when a condition begins to hold (see Conditions); may be repeated.
    #[arg(long, num_args = 2, value_names = ["CONDITION", "CMD"])]
    pub when: Vec<String>,
    /// A command is run at most once in this time, for whichever process; those that wait have their turn afterwards.
    #[arg(long, value_name = "TIME", value_parser = values::time, default_value = "10m")]
    pub cool_down: Duration,
    /// A command that takes longer than this is ended.
    #[arg(long, value_name = "TIME", value_parser = values::positive_time, default_value = "1m")]
    pub hook_timeout: Duration,
    /// Keeps profiles in this directory: of the peak, of each moment at which a command is run, and of the end.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// How many leak suspects are shown of each process.
    #[arg(long, value_name = "N", value_parser = values::top, default_value = "3")]
    pub top: usize,
}

/// What a verdict is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Word {
    /// A leak suspect.
    Growing,
    /// Bloat, a cache that warms up.
    LevelingOff,
    /// It does not grow.
    Steady,
    /// It comes and goes.
    Sawtooth,
    /// It gets less.
    Shrinking,
    /// The allocator keeps what was freed.
    Retention,
    /// Something else than the heap grows.
    NotTheHeap,
}

impl Word {
    /// As it stands in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Growing => "growing",
            Self::LevelingOff => "leveling_off",
            Self::Steady => "steady",
            Self::Sawtooth => "sawtooth",
            Self::Shrinking => "shrinking",
            Self::Retention => "retention",
            Self::NotTheHeap => "not_the_heap",
        }
    }
}

/// What to mark.
#[derive(Debug, clap::Args)]
pub struct MarkArgs {
    /// Marks the recordings of this process alone [default: all that run].
    #[arg(short = 'p', long = "pid", value_name = "PID", value_parser = values::pid)]
    pub pid: Option<u32>,
}

/// Allocators that the user names.
#[derive(Debug, clap::Args)]
pub struct AllocatorArgs {
    /// Traces an allocator that stands on another, by a preset or by its functions (see Allocators); may be repeated.
    #[arg(long = "allocator", value_name = "SPEC", value_parser = values::allocator)]
    pub specs: Vec<NamedAllocator>,
    /// Traces the allocators that a TOML file describes; may be repeated.
    #[arg(long = "allocator-file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// How blocks are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Each is recorded.
    Everything,
    /// One in so many bytes, on average.
    Every(u32),
}

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Every block that is allocated or released, and mappings.
    Blocks,
    /// What makes resident memory grow: page faults and mappings, no blocks. Costs next to nothing.
    Growth,
}

/// Memory that is not shown unless asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Show {
    /// Mapped files.
    Files,
    /// Stacks of threads.
    ThreadStacks,
}

/// How stacks are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stacks {
    /// Whole, by call frame information: needs no frame pointers.
    Cfi,
    /// By frame pointers: whole only where every function keeps one.
    Fp,
    /// Not at all: totals only.
    None,
}

impl From<Stacks> for StackMethod {
    fn from(stacks: Stacks) -> Self {
        match stacks {
            Stacks::Cfi => Self::Cfi,
            Stacks::Fp => Self::FramePointers,
            Stacks::None => Self::None,
        }
    }
}

/// What to examine.
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Examines this process too, and lists the allocators found in it.
    #[arg(short = 'p', long = "pid", value_name = "PID", value_parser = values::pid)]
    pub pid: Option<u32>,
    /// Allocators to look for, too.
    #[command(flatten)]
    pub allocators: AllocatorArgs,
}

/// File names need not be text.
fn file_parser() -> impl clap::builder::TypedValueParser<Value = Destination> {
    use clap::builder::TypedValueParser;
    clap::builder::OsStringValueParser::new().try_map(values::destination)
}
