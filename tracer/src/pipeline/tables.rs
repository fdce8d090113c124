//! Makes the tables of files that traced processes have mapped, on a thread of its own, and hands them to the kernel part.
//! Where a stack was quicker than its table, goes on with it by the table.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use heaptide_common::unwind::{File, MAX_ROWS as MOST_ROWS_OF_A_FILE, Rule};

use rustc_hash::FxHashSet;

use super::finish::{Finished, finish};
use crate::{
    kernel::{FileRows, Tables},
    live::Remains,
    process::{MappedFile, Mappings},
    unwind::Table,
};

/// What has become of the files that were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableCounts {
    /// Files with a table.
    pub files: u64,
    /// Rows of them all.
    pub rows: u64,
    /// Time that making them took, in nanoseconds.
    pub nanoseconds: u64,
    /// Files whose call frame information could not be read.
    pub failed: u64,
    /// Files for whose rows there was no room.
    pub refused: u64,
}

/// Most stacks that wait for their ends. Each has a copy of its thread's stack, up to 32 KiB; beyond, a stack stays as it
/// is, and is marked and counted as one that lacks its end.
const MOST_WAITING: usize = 4096;

enum Request {
    File(File, Arc<MappedFile>),
    /// Stacks of a process with these mappings.
    Finish(Vec<Remains>, Arc<Mappings>),
    /// The files that living processes have mapped: others may go.
    Used(FxHashSet<File>),
    /// Answered when everything asked for before is done.
    Flush(mpsc::Sender<TableCounts>),
}

/// The thread.
pub struct TableMaker {
    requests: Option<mpsc::Sender<Request>>,
    finished: mpsc::Receiver<Finished>,
    is_tight: Arc<AtomicBool>,
    waiting: Arc<Waiting>,
    thread: Option<JoinHandle<()>>,
}

/// Stacks that wait for their ends.
#[derive(Default)]
struct Waiting {
    stacks: AtomicUsize,
    /// Nobody will ask for what becomes of them any more.
    is_over: AtomicBool,
}

impl TableMaker {
    /// Starts it. Unless tables `are_needed`, it makes none.
    pub fn start(tables: Tables, are_needed: bool) -> std::io::Result<Self> {
        let (requests, asked) = mpsc::channel();
        let (results, finished) = mpsc::channel();
        let is_tight = Arc::new(AtomicBool::new(false));
        let store = TableStore { tables, counts: TableCounts::default(), is_tight: Arc::clone(&is_tight) };
        let waiting = Arc::new(Waiting::default());
        let theirs = Arc::clone(&waiting);
        let serve = move || serve(store, are_needed, &asked, &results, &theirs);
        let thread = std::thread::Builder::new().name("tables".to_owned()).spawn(serve)?;
        Ok(Self { requests: Some(requests), finished, is_tight, waiting, thread: Some(thread) })
    }

    /// Asks for the tables of all that a process has mapped to run.
    pub fn want_all(&self, mappings: &Mappings) {
        for mapping in mappings.iter().filter(|mapping| mapping.executable && mapping.file.is_file()) {
            self.want(mapping.file.key(), Arc::clone(&mapping.file));
        }
    }

    /// Asks for the table of a file. One that is there already is not made again.
    pub fn want(&self, file: File, mapped: Arc<MappedFile>) {
        self.send(Request::File(file, mapped));
    }

    /// Asks for the ends of stacks of a process with these mappings, unless too many wait for theirs.
    pub fn finish(&self, remains: Vec<Remains>, mappings: Arc<Mappings>) {
        if self.waiting.stacks.load(Ordering::Relaxed) >= MOST_WAITING {
            return;
        }
        self.waiting.stacks.fetch_add(remains.len(), Ordering::Relaxed);
        self.send(Request::Finish(remains, mappings));
    }

    /// The stacks that have got their ends since the last call.
    pub fn finished(&self) -> impl Iterator<Item = Finished> {
        self.finished.try_iter()
    }

    /// Whether there may be no room for the next table: then [`Self::drop_unused`] makes some.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.is_tight.load(Ordering::Relaxed)
    }

    /// Lets go of tables of files that are not among those `used`.
    pub fn drop_unused(&self, used: FxHashSet<File>) {
        self.send(Request::Used(used));
    }

    /// Waits until everything asked for so far is done, for at most `patience`; `None` when it is not.
    #[must_use]
    pub fn settled(&self, patience: Duration) -> Option<TableCounts> {
        let (answer, answered) = mpsc::channel();
        self.send(Request::Flush(answer));
        answered.recv_timeout(patience).ok()
    }

    fn send(&self, request: Request) {
        // A thread that has died leaves stacks to the frame pointer; its panic was reported.
        let _ = self.requests.as_ref().map(|requests| requests.send(request));
    }
}

impl Drop for TableMaker {
    fn drop(&mut self) {
        self.waiting.is_over.store(true, Ordering::Relaxed);
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    mut store: TableStore,
    are_needed: bool,
    asked: &mpsc::Receiver<Request>,
    results: &mpsc::Sender<Finished>,
    waiting: &Waiting,
) {
    if are_needed {
        store.add_vdso();
    }
    while let Ok(request) = asked.recv() {
        match request {
            Request::File(..) if !are_needed => {}
            Request::File(file, mapped) => store.add(file, &mapped),
            Request::Finish(remains, mappings) => {
                waiting.stacks.fetch_sub(remains.len(), Ordering::Relaxed);
                if waiting.is_over.load(Ordering::Relaxed) {
                    continue;
                }
                for remains in remains {
                    // Whoever asked may have gone.
                    let _ = results.send(finish(&remains, &mappings, &mut store));
                }
            }
            Request::Used(used) => store.drop_unused(&used),
            // Whoever asked may have lost patience.
            Request::Flush(answer) => drop(answer.send(store.counts)),
        }
    }
}

/// The tables that there are.
pub(super) struct TableStore {
    tables: Tables,
    counts: TableCounts,
    is_tight: Arc<AtomicBool>,
}

impl TableStore {
    /// Makes a file's table, unless it is there.
    pub(super) fn add(&mut self, file: File, mapped: &MappedFile) {
        if !self.tables.has(&file) {
            self.insert(file, &mapped.name, || Ok(made(&Table::build(&*mapped.open()?)?)));
        }
    }

    /// The rule at a place in a file; `None` when the file has no table.
    pub(super) fn rule(&self, file: &File, place: u64) -> Option<Rule> {
        self.tables.rule(file, place)
    }

    fn drop_unused(&mut self, used: &FxHashSet<File>) {
        if let Err(error) = self.tables.retain(|file| *file == File::VDSO || used.contains(file)) {
            log::warn!("tables could not be taken back: {error}");
        }
        self.is_tight.store(self.tables.is_tight(), Ordering::Relaxed);
    }

    /// The vDSO is the same in all processes.
    fn add_vdso(&mut self) {
        self.insert(File::VDSO, "[vdso]", || Ok(made(&Table::parse(&own_vdso().context("this process has none")?)?)));
    }

    fn insert(&mut self, file: File, name: &str, make: impl FnOnce() -> anyhow::Result<FileRows>) {
        let begin = Instant::now();
        let rows = make().unwrap_or_else(|error| {
            log::info!("{name}: no call frame information: {error:#}");
            self.counts.failed += 1;
            // With a table without rows, the kernel part goes by the frame pointer, and does not ask again.
            FileRows::default()
        });
        match self.tables.insert(file, &rows) {
            Ok(true) => {
                log::debug!("{name}, {file:?}: {} rows", rows.rows.len());
                self.counts.files += 1;
                self.counts.rows += rows.rows.len() as u64;
            }
            Ok(false) => self.counts.refused += 1,
            Err(error) => {
                log::warn!("the table of {name} could not be handed to the kernel: {error}");
                self.counts.failed += 1;
            }
        }
        self.is_tight.store(self.tables.is_tight(), Ordering::Relaxed);
        self.counts.nanoseconds += begin.elapsed().as_nanos() as u64;
    }
}

fn made(table: &Table) -> FileRows {
    let (code_offset, rows) = table.by_place();
    debug_assert!(rows.len() <= 2 * MOST_ROWS_OF_A_FILE, "bounded when it was made");
    let rows = rows.iter().map(|row| u64::from(row.pc) | u64::from(row.rule.bits()) << u32::BITS).collect();
    FileRows { code_offset, rows }
}

/// A copy of the vDSO of this process.
fn own_vdso() -> Option<Vec<u8>> {
    let mappings = Mappings::read(std::process::id()).ok()?;
    let mapping = mappings.iter().find(|mapping| mapping.executable && !mapping.file.is_file())?;
    let mut bytes = vec![0; usize::try_from(mapping.end - mapping.start).ok()?];
    fs::File::open("/proc/self/mem").ok()?.read_exact_at(&mut bytes, mapping.start).ok()?;
    Some(bytes)
}
