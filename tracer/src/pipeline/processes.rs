//! Names and mappings of every traced process, kept past its end.

use std::{collections::BTreeMap, sync::Arc};

use heaptide_common::unwind::File;
use procfs::process::Process as ProcProcess;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{coverage::Traced, cpu::CpuTimes, perf_maps::PerfMaps, resident::Residents};
use crate::{
    allocator::Found,
    kernel::{Launched, Mapped, Tally},
    live::Key,
    process::{Identity, MappedFile, Mapping, Mappings, PerfMap, printable},
    profile::{Allocator, Resident},
};

/// What is known of one account's process.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The command's name.
    pub name: String,
    /// What it has mapped.
    pub mappings: Mappings,
    /// Its traced allocators.
    pub(super) allocators: Vec<Traced>,
}

/// Allocators whose probes went in before the launched program began.
#[derive(Default)]
struct Planned {
    allocators: Vec<Traced>,
    /// The one process that the probes see; `None` when they see every process that maps the files.
    only: Option<u32>,
}

/// A program that a launched process runs, as the kernel's log tells of it.
#[derive(Debug, Default)]
struct Image {
    name: Option<String>,
    mappings: Mappings,
}

/// All traced processes.
#[derive(Default)]
pub struct Processes {
    known: BTreeMap<Key, Known>,
    current: FxHashMap<u32, Key>,
    launched: Option<Launched>,
    planned: Planned,
    /// The programs that each process has run, by the log; the first entry is what it was forked with.
    images: FxHashMap<u32, Vec<Image>>,
    /// Every file that was seen mapped: another may be in its place by now.
    files: FxHashMap<File, Arc<MappedFile>>,
    /// Which of them each account is.
    image_of: FxHashMap<Key, usize>,
    perf_maps: PerfMaps,
    /// CPU time that they use.
    pub(super) cpu: CpuTimes,
    /// Their resident memory.
    residents: Residents,
}

impl Processes {
    /// Takes in the kernel's log of a launched process and its children, and where probes are already: they see the
    /// process `only`, or every process that maps the files.
    pub fn follow_log(&mut self, launched: Launched, planned: &[Found], only: Option<u32>) {
        self.launched = Some(launched);
        self.planned = Planned { allocators: planned.iter().map(|found| traced(found, None)).collect(), only };
    }

    /// A process is traced from now on.
    pub fn begin(&mut self, key: Key) {
        self.add(key, Known::default());
        self.cpu.begin(key.pid);
        self.residents.begin(key);
        self.perf_maps.begin(key);
        self.image_of.insert(key, 0);
        self.refresh_one(key);
    }

    /// A traced process has forked a child.
    pub fn forked(&mut self, parent: u32, child: Key) {
        self.read_log();
        let parent = self.current.get(&parent).copied();
        let mut inherited = parent.map(|key| self.get(key)).unwrap_or_default();
        // Not by what counts those of the parent, unless that is what counts everyone's.
        inherited.allocators.iter_mut().for_each(|traced| traced.tally = None);
        self.add(child, inherited);
        self.cpu.forked(child.pid);
        self.residents.begin(child);
        match parent {
            Some(parent) => self.perf_maps.forked(parent, child),
            None => self.perf_maps.begin(child),
        }
        self.image_of.insert(child, 0);
        self.refresh_one(child);
    }

    /// A process runs another program.
    pub fn program(&mut self, key: Key) {
        let before = self.current.get(&key.pid).copied();
        if let Some(before) = before {
            self.perf_maps.end(before);
        }
        let image = before.and_then(|before| self.image_of.get(&before)).copied();
        self.add(key, Known::default());
        self.residents.program(key);
        self.perf_maps.begin(key);
        self.image_of.insert(key, image.unwrap_or(0) + 1);
        self.refresh_one(key);
    }

    /// A process has ended; what is known of it stays.
    pub fn exited(&mut self, pid: u32) {
        self.cpu.end(pid);
        if let Some(key) = self.current.remove(&pid) {
            self.perf_maps.end(key);
        }
    }

    /// The processes that are alive, as far as the rings have told.
    pub fn alive(&self) -> impl Iterator<Item = Key> {
        self.current.values().copied()
    }

    /// The account that process `pid` has now.
    #[must_use]
    pub fn current(&self, pid: u32) -> Option<Key> {
        self.current.get(&pid).copied()
    }

    /// Probes were attached to an allocator of process `key`; this counts its calls.
    pub fn traced(&mut self, key: Key, found: &Found, tally: Option<Tally>) {
        traced(found, tally).put(&mut self.known.entry(key).or_default().allocators);
        if self.planned.only == Some(key.pid) {
            self.planned_is_counted(found, tally);
        }
    }

    /// Probes are where a launched program will have an allocator; this counts its calls.
    pub fn planned_is_counted(&mut self, found: &Found, tally: Option<Tally>) {
        let counted = traced(found, tally);
        for planned in self.planned.allocators.iter_mut().filter(|planned| planned.allocator == counted.allocator) {
            planned.tally = tally;
        }
    }

    /// Reads again what the living processes have mapped.
    pub fn refresh(&mut self) {
        self.read_log();
        for key in self.current.values().copied().collect::<Vec<_>>() {
            self.refresh_one(key);
        }
    }

    /// Whether code of process `pid` is known to be at `address`.
    #[must_use]
    pub fn is_mapped(&self, pid: u32, address: u64) -> bool {
        let known = self.current.get(&pid).and_then(|key| self.known.get(key));
        known.is_some_and(|known| known.mappings.find(address).is_some())
    }

    /// The file `file`, when a process has been seen to have it mapped, be it only for a moment.
    #[must_use]
    pub fn file(&self, file: File) -> Option<Arc<MappedFile>> {
        self.files.get(&file).cloned()
    }

    /// The files that living processes have mapped, or had.
    #[must_use]
    pub fn used_files(&self) -> FxHashSet<File> {
        let living = self.alive().map(|key| self.get(key));
        living.flat_map(|known| known.mappings.iter().map(|mapping| mapping.file.key()).collect::<Vec<_>>()).collect()
    }

    /// What is known of process `key`.
    #[must_use]
    pub fn get(&self, key: Key) -> Known {
        let mut known = self.known.get(&key).cloned().unwrap_or_default();
        let image = self.image_of.get(&key).and_then(|&image| self.images.get(&key.pid)?.get(image));
        if let Some(image) = image {
            for mapping in image.mappings.iter() {
                known.mappings.insert(mapping.clone());
            }
            if let Some(name) = &image.name {
                known.name.clone_from(name);
            }
        }
        self.add_planned(key.pid, &mut known);
        known
    }

    /// The name of process `key`, as it was last read; empty when it never was.
    #[must_use]
    pub fn name(&self, key: Key) -> String {
        let logged = || self.images.get(&key.pid)?.get(*self.image_of.get(&key)?)?.name.clone();
        logged().or_else(|| Some(self.known.get(&key)?.name.clone())).unwrap_or_default()
    }

    /// Resident memory of process `key` when it was first and last looked at.
    #[must_use]
    pub fn resident(&self, key: Key) -> (Option<Resident>, Option<Resident>) {
        self.residents.get(key)
    }

    /// The names that process `key` gives to code that it has made, best first.
    #[must_use]
    pub fn perf_maps(&mut self, key: Key) -> Vec<Arc<PerfMap>> {
        self.perf_maps.of(key)
    }

    /// A launched program, or a child of it, can be over before anybody looks for its allocator: what it has mapped tells
    /// which of the probes saw it.
    fn add_planned(&self, pid: u32, known: &mut Known) {
        if self.planned.only.is_some_and(|only| only != pid) {
            return;
        }
        for planned in &self.planned.allocators {
            let is_its = |mapping: &Mapping| printable(&mapping.file.path.to_string_lossy()) == planned.allocator.file;
            if known.mappings.iter().any(is_its) {
                planned.clone().put(&mut known.allocators);
            }
        }
    }

    fn add(&mut self, key: Key, known: Known) {
        self.current.insert(key.pid, key);
        self.known.insert(key, known);
    }

    fn refresh_one(&mut self, key: Key) {
        self.perf_maps.look(key);
        self.cpu.look(key.pid);
        self.residents.look(key);
        if self.launched.is_some() {
            return; // the log tells everything, and in order
        }
        // A process that has just ended, or is another one by now, tells nothing or is told of by the rings next.
        let Ok(mappings) = Mappings::read(key.pid) else { return };
        let Some(known) = self.known.get_mut(&key) else { return };
        for mapping in mappings.iter().filter(|mapping| mapping.executable) {
            self.files.entry(mapping.file.key()).or_insert_with(|| Arc::clone(&mapping.file));
        }
        known.mappings.update(mappings);
        if let Ok(stat) = ProcProcess::new(key.pid.cast_signed()).and_then(|process| process.stat()) {
            known.name = printable(&stat.comm);
        }
    }

    fn read_log(&mut self) {
        let Some(launched) = &mut self.launched else { return };
        for mapped in launched.drain() {
            match mapped {
                Mapped::Program { pid, name } => {
                    let images = self.images.entry(pid).or_insert_with(|| vec![Image::default()]);
                    let name = Some(printable(&String::from_utf8_lossy(&name)));
                    images.push(Image { name, mappings: Mappings::default() });
                }
                // Memory without a file has names as well in there.
                Mapped::File { path, .. } if !is_code_with_name(&path) => {}
                Mapped::File { pid, start, end, offset, device, inode, path } => {
                    let identity = Identity { device, inode, path: path.into() };
                    let file: Arc<MappedFile> = MappedFile::shared(identity, pid, start..end);
                    self.files.entry(file.key()).or_insert_with(|| Arc::clone(&file));
                    let images = self.images.entry(pid).or_insert_with(|| vec![Image::default()]);
                    if let Some(image) = images.last_mut() {
                        image.mappings.insert(Mapping { start, end, offset, executable: true, file });
                    }
                }
                Mapped::Lost(count) => {
                    log::warn!("{count} mappings of launched programs were lost; some names will be unknown");
                }
            }
        }
    }
}

/// Whether a path of the kernel's log is that of a file, or of the vDSO.
fn is_code_with_name(path: &[u8]) -> bool {
    path == b"[vdso]" || path.starts_with(b"/") && path != b"//anon"
}

fn traced(found: &Found, tally: Option<Tally>) -> Traced {
    let allocator = Allocator {
        file: found.display.clone(),
        family: found.name().to_owned(),
        functions: found.functions.iter().map(|function| function.name.to_string()).collect(),
        calls: None,
    };
    Traced { allocator, tally }
}
