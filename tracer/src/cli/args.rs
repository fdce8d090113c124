//! What was typed. Each value is read by itself here; [`super::config`] says what they mean together.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, ArgGroup, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::config::Destination;
use super::{exit, values};
use crate::allocator::NamedAllocator;
use crate::kernel::StackMethod;

const ABOUT: &str = "Tells which code of a running process holds its memory";

const LONG_ABOUT: &str = "\
Tells which code of a running process holds its memory.

heaptide follows every allocation and every release of a process with eBPF probes, and reports which code allocated \
what is still held. The program needs neither preparation nor restart, and runs on when heaptide ends.";

// The manual page shows these texts as they stand: no line is wider than a terminal of 80 columns, indented.
const MAIN_HELP: &str = "\
Examples:
  sudo heaptide record -p 4711 -d 30s   which code holds what process 4711
                                        allocates in 30 seconds
  sudo heaptide record -- ./server -v   a program, from start to end
  sudo heaptide watch -p 4711           whether it is a leak, over time
  sudo heaptide doctor                  what this machine lacks, if anything";

const RECORD_HELP: &str = "\
Examples:
  sudo heaptide record -p 4711                      until Ctrl-C
  sudo heaptide record -p 4711 -d 1m --older 10s    held for over 10 seconds
  sudo heaptide record -p 4711,4712 -d 30 -i 5      a report every 5 seconds
  sudo heaptide record -p 4711 -d 30s --folded out  for flame graphs
  sudo heaptide record -p 4711 -d 30s --json -      all there is to know
  sudo heaptide record -p 4711 --sample 512KiB      a busy program: estimates
  sudo heaptide record -p 4711 --max-overhead 3%    never slowed down by more
  sudo heaptide record --follow -- make -j4         a command's children too
  sudo heaptide record -p 4711 --mode growth        what makes it grow, for a
                                                    program that must not wait

--sample 512KiB chooses blocks at random, by their bytes, and costs the program
little: sums become estimates, and the report says how sure they are. What a
process allocated in all is still counted exactly. 0 records every block.

--max-overhead 3% records all blocks while the processes' CPU time grows by less
than that (one that uses less than a tenth of a CPU counts as using a tenth).
Where it would grow by more, blocks are sampled; and where the probes alone
cost too much, all is recorded in short pulses: of what was freed between them
nothing is known, so what is outstanding is at most what is told. The report
says when, and what it cost. It takes at most a second to find out.

--mode growth puts no probe on malloc or free. It records page faults and
mappings: which stacks have touched memory for the first time and so made the
process grow, how much of it is still there, and how much of that is the
heap's. The stack is that of the touch, not that of the allocation.

Times: 30s, 500ms, 2m, 1h; a bare number is seconds.
Sizes: 4096, 4K or 4KiB (all 4096 bytes), 4KB (4000 bytes).

--debuginfod asks the servers in DEBUGINFOD_URLS by curl, and keeps what they
give where elfutils does (DEBUGINFOD_CACHE_PATH). sudo removes variables that
it is not told to keep: sudo --preserve-env=DEBUGINFOD_URLS heaptide ...

Allocators: --allocator takes a preset (python, ruby, glib-slice,
sqlite3, openssl, nginx, cuda), or a pattern of file names and functions:
  --allocator sqlite3                SQLite's, in libsqlite3.so*
  --allocator '*/libmozsqlite3.so:sqlite3'    the same in another file
  --allocator 'libpool.so*:pool_alloc(size=1)->ret,pool_free(0)'
                    the size is argument 1, counted from 0; the block is
                    returned, and is argument 0 when it is freed
  f(size=0*1)       the size is a product
  f(size=1:int)     the size is an int, no size_t
  f(size=1)->*0     the block is stored where argument 0 points, and an
                    int is returned: 0 when it succeeded
  f(block=0,size=1) the block of argument 0 is resized, as by realloc
NAME=FILE:... gives it a name for reports. A file is found by its name, or
by its path when the pattern has a slash; A|B is either. What such an
allocator takes from malloc is not counted twice. --allocator-file reads
the same from TOML; docs/allocators.md tells more.

Output: the text report goes to standard output, unless --folded or --json
goes there. Files are written under another name and renamed when they are
complete; a path that cannot be written is refused before anything is
attached.";

const WATCH_HELP: &str = "\
Examples:
  sudo heaptide watch -p 4711                    is it a leak? until Ctrl-C
  sudo heaptide watch -n redis-server            also when it is restarted
  sudo heaptide watch -p 4711 --follow           a server and its workers
  sudo heaptide watch -p 4711 --for 1h --csv     for a spreadsheet
  sudo heaptide watch -p 4711 --until growing    ends when it is a leak
  sudo heaptide watch --for 10m --exit-code -- ./soak-test
                                                 fails (10) if that leaks
  sudo heaptide watch -p 4711 --keep profiles \\
       --on growing 'systemctl restart worker' \\
       --when 'rss>90%limit' 'page-somebody \"$HEAPTIDE_NAME\"'

A leak never levels off, and bloat does: a short look cannot tell them apart.
The first verdicts come after some 16 lines; until one is sure, it is too early
to say. docs/verdicts.md tells what each verdict means and how it is found.

Conditions compare a number of a process: outstanding, blocks, rss, pss, uss,
anonymous, file, shmem, swap, allocator, cgroup, growth.
  outstanding>500MiB        rss>90%limit        growth>1MiB/min
  blocks>1000000 && pss>=2GiB
The limit is that of the control group, or the machine's memory.

Commands are run by sh, with the facts in variables (HEAPTIDE_PID,
HEAPTIDE_NAME, HEAPTIDE_VERDICT, HEAPTIDE_RSS_BYTES, ...) and as JSON on their
standard input. What they print goes to standard error. With --keep, a profile
of the moment is written before. An empty command only keeps the profile.

Marks: `heaptide mark`, or SIGUSR1 to heaptide. What was allocated after one
mark and is still there at the next is not in use for a moment only.

Times, sizes and allocators are written as for record: heaptide record --help.";

const MARK_HELP: &str = "\
Examples:
  sudo heaptide mark            before a request that leaks, and after it
  sudo heaptide mark -p 4711    of several recordings, that of process 4711";

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
    /// Ends as soon as this is the verdict on a process.
    #[arg(long, value_name = "VERDICT")]
    pub until: Option<Word>,
    /// Tells by the exit code what the verdict is: 0 nothing grows, 10 something does, 11 it is too early to say.
    #[arg(long)]
    pub exit_code: bool,
    /// Writes lines for spreadsheets.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Writes a JSON object a line; the last one is the conclusion.
    #[arg(long)]
    pub json: bool,
    /// Runs a command when this becomes the verdict on a process; may be repeated.
    #[arg(long, num_args = 2, value_names = ["VERDICT", "CMD"])]
    pub on: Vec<String>,
    /// Runs a command when a condition begins to hold (see Conditions); may be repeated.
    #[arg(long, num_args = 2, value_names = ["CONDITION", "CMD"])]
    pub when: Vec<String>,
    /// A command is run at most once in this time.
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
