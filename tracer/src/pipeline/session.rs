//! A recording, from the first probe to the finished profile. Where its probes are is in [`probing`], what the rings
//! tell of is taken in by [`notices`], and what is outstanding over time is in [`timing`].

mod notices;
mod probing;
mod timing;

use std::{
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use heaptide_common::{Counter, unwind::File};
use nix::sys::stat::{major, minor};
use rustc_hash::FxHashMap;
use thiserror::Error;

use probing::{Probed, file_id, file_name};
use timing::{Marks, suppress};

pub use timing::Current;

use super::{
    budget::Keeper,
    closing::Closing,
    knowledge::{Knowledge, OverTime},
    mailbox::{Inbox, Outbox, mailbox},
    planner::Planner,
    reader::{self, Reader},
    tables::{TableCounts, TableMaker},
    timelines::Timelines,
};
use crate::{
    allocator::{DiscoverError, Finder, Found, NamedAllocators},
    budget::Mode,
    kernel::{
        AttachError, Bill, Detaching, Diagnostics, Kernel, Launched, LoadError, Options, Probes, Ring, Scope,
        StackMethod, prices,
    },
    live::{Key, Limits, Notice, Shard, Start, Summary},
    process::{Identity, MappedFile, Mappings},
    profile::Profile,
    symbols::{Debuginfod, Progress},
    verdict::Suppressions,
};

/// How to record.
#[derive(Clone, Debug)]
pub struct Config {
    /// For the kernel part.
    pub kernel: Options,
    /// Most live blocks.
    pub max_live: u64,
    /// Memory younger than this is not shown.
    pub older: Duration,
    /// Allocators that the user has named.
    pub named: NamedAllocators,
    /// How much the targets may be slowed down, as a share of 1; `None`: as much as it takes. The kernel part must be
    /// loaded for sampling.
    pub budget: Option<f64>,
    /// How often it is looked at what is held.
    pub interval: Duration,
    /// Growth that is known.
    pub suppressions: Suppressions,
}

/// Why there is no recording.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The kernel part could not be loaded or spoken to.
    #[error(transparent)]
    Kernel(#[from] LoadError),
    /// A probe could not be attached.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// No allocator was found.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// A process has ended while probes went in.
    #[error("process {0} ended before it was recorded")]
    Gone(u32),
    /// A thread could not be started.
    #[error("a thread for a ring could not be started: {0}")]
    Thread(#[source] io::Error),
    /// A thread has died, and with it what it knew.
    #[error("a thread that reads a ring has died; this is a bug in heaptide, please report it")]
    ThreadDied,
}

/// What was attached to a process.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The process.
    pub pid: u32,
    /// Probes by file (without directories).
    pub files: Vec<(String, Probes)>,
    /// At a target's begin: named allocators of which nothing was found, each with the files that it should be in.
    pub missing: Vec<(String, String)>,
}

/// Where a recording stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Status {
    /// Time since its begin.
    pub elapsed: Duration,
    /// Records read.
    pub events: u64,
    /// Outstanding bytes; of growth, those that were touched and are still there.
    pub outstanding: u64,
    /// Whether only the growth of memory is recorded.
    pub is_growth: bool,
    /// Events lost.
    pub lost: u64,
    /// How blocks are recorded, with a budget.
    pub mode: Option<Mode>,
}

/// How long a recording waits for the tables of what is mapped before it begins. Stacks that are quicker than the rest
/// get their ends later.
const START_PATIENCE: Duration = Duration::from_millis(250);

/// A recording.
pub struct Session {
    config: Config,
    pub(super) kernel: Kernel,
    pub(super) keeper: Option<Keeper>,
    prepared: Vec<(Ring, Shard)>,
    readers: Vec<Reader>,
    notices: Inbox,
    sender: Outbox,
    pub(super) known: Knowledge,
    tables: TableMaker,
    /// Files whose tables are wanted, and that were not yet seen mapped.
    unseen: Vec<(u32, File)>,
    finder: Finder,
    pub(super) planner: Planner,
    probed: Probed,
    pub(super) bill: Bill,
    timelines: Timelines,
    marks: Marks,
    began: (Instant, SystemTime),
    from_start: bool,
}

impl Session {
    /// Loads the kernel part. Nothing is attached yet.
    pub fn new(config: Config) -> Result<Self, SessionError> {
        let (mut kernel, rings, tables) = Kernel::load(&config.kernel)?;
        if config.budget.is_some() {
            kernel.expect_pauses();
        }
        let tables =
            TableMaker::start(tables, config.kernel.stacks == StackMethod::Cfi).map_err(SessionError::Thread)?;
        let limits = Limits {
            max_live: (config.max_live / u64::from(config.kernel.shards)).max(1),
            follow: config.kernel.follow,
            sampled: config.kernel.sample.is_some(),
            growth: config.kernel.growth,
        };
        let older = config.older.as_nanos() as u64;
        let (sender, notices) = mailbox();
        Ok(Self {
            keeper: config.budget.map(Keeper::new),
            timelines: Timelines::new(config.interval, !config.suppressions.is_empty()),
            marks: Marks::default(),
            config,
            kernel,
            prepared: rings.into_iter().map(|ring| (ring, Shard::new(limits, older))).collect(),
            readers: Vec::new(),
            notices,
            sender,
            known: Knowledge::new(),
            tables,
            unseen: Vec::new(),
            finder: Finder::default(),
            planner: Planner::new(prices()),
            probed: Probed::default(),
            bill: Bill::default(),
            began: (Instant::now(), SystemTime::now()),
            from_start: false,
        })
    }

    /// Attaches to a running process.
    pub fn attach(&mut self, pid: u32) -> Result<Attached, SessionError> {
        let found = self.discover(pid)?;
        let key = self.begin(pid, Start::Attached)?;
        self.kernel.watch_faults(pid)?;
        self.tables.want_all(&self.known.processes.get(key).mappings);
        Ok(Attached { missing: self.missing(&found), ..self.attach_found(key, &found)? })
    }

    /// Prepares to record process `pid`, which is about to run a program with these allocators. With `private` files,
    /// probes see every process that maps them.
    pub fn attach_launcher(
        &mut self,
        pid: u32,
        log: Launched,
        found: &[Found],
        libraries: &[PathBuf],
        private: bool,
    ) -> Result<Attached, SessionError> {
        for (file, mapped) in libraries.iter().filter_map(|library| library_of(pid, library)) {
            self.tables.want(file, mapped);
        }
        // Until it runs the program, the launcher allocates a little itself.
        if let Ok(mappings) = Mappings::read(pid) {
            self.tables.want_all(&mappings);
        }
        self.known.processes.follow_log(log, found, (!private).then_some(pid));
        self.from_start = true;
        let key = self.begin(pid, Start::Launched)?;
        self.kernel.watch_faults(pid)?;
        self.kernel.know_allocators(found)?;
        if private {
            let mut attached = Attached { pid, files: Vec::new(), missing: self.missing(found) };
            for found in found {
                let probes = self.kernel.attach(found, &self.planner.sites(found), Scope::Everyone)?;
                self.probed.everywhere.extend(file_id(found).map(|id| (id, probes.tally)));
                self.known.processes.planned_is_counted(found, probes.tally);
                attached.files.push((file_name(found), probes));
            }
            return Ok(attached);
        }
        Ok(Attached { missing: self.missing(found), ..self.attach_found(key, found)? })
    }

    /// Begins to record: at one instant for all probes.
    pub fn start(&mut self) -> Result<(), SessionError> {
        if self.tables.settled(START_PATIENCE).is_none() {
            log::info!("not all tables for unwinding are made yet; the recording begins without the rest");
        }
        for (index, (ring, shard)) in self.prepared.drain(..).enumerate() {
            let reader = Reader::start(ring, shard, index, self.sender.clone()).map_err(SessionError::Thread)?;
            self.readers.push(reader);
        }
        self.began = (Instant::now(), SystemTime::now());
        self.known.processes.cpu.restart();
        self.bill.open_window();
        if let Some(keeper) = &mut self.keeper {
            keeper.start();
        }
        Ok(self.kernel.start()?)
    }

    /// The next thing that the rings tell of stacks or processes.
    pub async fn notice(&mut self) -> Option<Notice> {
        self.notices.next().await
    }

    /// Whether something is still looked for.
    #[must_use]
    pub fn is_looking(&self) -> bool {
        !self.probed.wanted.is_empty() || !self.probed.changed.is_empty() || self.known.is_stale
    }

    /// Whether a process that is traced is alive, as far as the rings have told.
    #[must_use]
    pub fn is_anything_alive(&self) -> bool {
        self.known.processes.alive().next().is_some()
    }

    /// The processes that are alive, as far as the rings have told.
    pub fn alive(&self) -> impl Iterator<Item = u32> {
        self.known.processes.alive().map(|key| key.pid)
    }

    /// The reader of kernel-side diagnostics.
    pub fn diagnostics(&mut self) -> Option<Diagnostics> {
        self.kernel.diagnostics()
    }

    /// Begins to measure what the kernel part costs, if it is not measured now.
    pub fn open_bill(&mut self) {
        self.bill.open_window();
    }

    /// When what is measured now is to be closed.
    #[must_use]
    pub fn bill_end(&self) -> Option<Instant> {
        self.bill.window_end()
    }

    /// Ends to measure.
    pub fn close_bill(&mut self) {
        self.bill.close_window(&self.kernel);
    }

    /// Where the recording stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let gauges = || self.readers.iter().map(Reader::gauge);
        Status {
            elapsed: self.began.0.elapsed(),
            events: gauges().map(|gauge| gauge.events.load(Ordering::Relaxed)).sum(),
            outstanding: gauges().map(|gauge| gauge.outstanding.load(Ordering::Relaxed)).sum(),
            is_growth: self.config.kernel.growth,
            lost: self.kernel.counters().map_or(0, |counters| counters.lost()),
            mode: self.keeper.as_ref().map(Keeper::mode),
        }
    }

    /// A profile of now, with the `most` largest stacks of each process, and those that grow; with the `ages` of what is
    /// outstanding, if they are wanted, which takes a look at every block.
    pub async fn interim(&mut self, most: usize, ages: bool) -> Result<Profile, SessionError> {
        let mut summary = Summary::default();
        // One of them takes them in.
        let mut counts = self.kernel.counts();
        for reader in &self.readers {
            let told = reader.summary(std::mem::take(&mut counts), ages).await;
            summary.merge(told.ok_or(SessionError::ThreadDied)?);
        }
        self.refresh();
        let mut closing = self.closing()?;
        closing.settle(&self.tables, &mut self.known);
        if ages {
            self.timelines.take_ages_of(&summary);
            self.timelines.judge_all();
            self.suppress();
        }
        let over_time = OverTime { timelines: &self.timelines, marks: self.marks.told(), now: reader::now() };
        Ok(self.known.profile(&self.config, summary, &closing, over_time, most))
    }

    /// Takes the probes out, reads what is left, and gives the finished profile. The last probe is out when the second
    /// value is dropped. Names are asked of these servers, too.
    pub fn finish(
        mut self,
        debuginfod: Option<Debuginfod>,
        progress: Arc<Progress>,
    ) -> Result<(Profile, Detaching), SessionError> {
        self.kernel.stop()?;
        // For the account only: it is too late to act on it.
        self.look_at_budget()?;
        self.known.processes.refresh();
        self.close_bill();
        let mut closing = self.closing()?;
        let mut counts = self.kernel.counts();
        let Self { config, kernel, readers, mut notices, sender, mut known, tables, mut timelines, marks, .. } = self;
        let ended = reader::now();
        // The target gets its speed back before anything else is done.
        let detaching = kernel.detach_all();
        let mut summary = Summary::default();
        for reader in readers {
            summary.merge(reader.finish(std::mem::take(&mut counts)).ok_or(SessionError::ThreadDied)?);
        }
        drop(sender);
        while let Some(notice) = notices.waiting() {
            match notice {
                Notice::Remains(remains) => {
                    if known.keep_unfinished(*remains) {
                        known.finish_stacks(&tables);
                    }
                }
                other => known.take_in(other),
            }
        }
        closing.refused_stacks = notices.refused();
        known.processes.refresh();
        closing.settle(&tables, &mut known);
        known.symbolizer.prepare_report(debuginfod, progress);
        timelines.take_ages_of(&summary);
        timelines.judge_all();
        suppress(&config.suppressions, &mut timelines, &mut known);
        let over_time = OverTime { timelines: &timelines, marks: marks.told(), now: ended };
        Ok((known.profile(&config, summary, &closing, over_time, usize::MAX), detaching))
    }

    /// From now on one block in every `interval` bytes is recorded, on average; 1 or 0: every block.
    pub fn set_interval(&mut self, interval: u32) -> Result<(), SessionError> {
        Ok(self.kernel.set_interval(interval)?)
    }

    /// What the kernel part has to tell now.
    fn closing(&self) -> Result<Closing, SessionError> {
        let counters = self.kernel.counters()?;
        let outcomes = self.kernel.outcomes()?;
        let elapsed = self.began.0.elapsed();
        let budget = self.keeper.as_ref().map(Keeper::told);
        // A recording that could have been sampled, and was not, is none.
        let sampled = match (&budget, self.config.kernel.sample) {
            (Some(budget), _) => budget.coarsest(),
            (None, sample) => sample.map(|_| self.kernel.interval()),
        };
        let mut closing = Closing {
            counters,
            tallied: self.kernel.tallied()?,
            outcomes,
            tables: TableCounts::default(),
            trap_seconds: 0.0,
            refused_stacks: self.notices.refused(),
            elapsed,
            began: self.began.1,
            bpf: None,
            from_start: self.from_start,
            late: self.probed.late,
            late_libraries: self.probed.late_libraries,
            sampled,
            budget,
            sees_guests: self.kernel.sees_guests() || self.probed.by_process.values().all(FxHashMap::is_empty),
        };
        closing.trap_seconds = self.planner.seconds_of(
            closing.hits(),
            closing.counters[Counter::HitsStepped],
            closing.counters[Counter::HitsAtReturns],
        );
        closing.bpf = self.bill.seconds(closing.hits(), elapsed);
        Ok(closing)
    }

    fn begin(&mut self, pid: u32, start: Start) -> Result<Key, SessionError> {
        self.kernel.trace(pid)?;
        for (_, shard) in &mut self.prepared {
            shard.begin(pid, start);
        }
        let key = Key { pid, generation: 0 };
        self.known.processes.begin(key);
        Ok(key)
    }
}

/// A library as the launched process `pid` will map it.
fn library_of(pid: u32, library: &Path) -> Option<(File, Arc<MappedFile>)> {
    let path = library.canonicalize().ok()?;
    let inside = Path::new("/proc").join(pid.to_string()).join("root").join(path.strip_prefix("/").ok()?);
    let metadata = fs::metadata(inside).ok()?;
    let device = (major(metadata.dev()) as u32, minor(metadata.dev()) as u32);
    let identity = Identity { device, inode: metadata.ino(), path: path.as_os_str().as_bytes().into() };
    Some((File::new(device, metadata.ino()), MappedFile::shared(identity, pid, 0..0)))
}
