//! What is mapped where in one process, kept so that exited processes and unloaded libraries still get names.

mod file;
mod maps;

use std::fs::File;
use std::io::{self, BufReader};
use std::sync::Arc;

use rustc_hash::FxHashSet;

pub(crate) use file::open_regular;
pub use file::{Identity, MappedFile};

/// Most mappings kept for one process. A kernel allows about 65,530 at one time; the rest is room for libraries that
/// were unloaded.
const LIMIT: usize = 1 << 17;

/// Why the mappings of a process are not known.
#[derive(Debug, thiserror::Error)]
pub enum MappingsError {
    /// The kernel does not show them: the process is gone, or belongs to somebody else.
    #[error("cannot read the mappings of process {pid}")]
    Unreadable {
        /// The process.
        pid: u32,
        /// What the system says.
        source: io::Error,
    },
    /// The kernel writes them in another form than proc(5) says.
    #[error("cannot understand line {line} of the mappings of process {pid}")]
    Malformed {
        /// The process.
        pid: u32,
        /// The line's number, from 1.
        line: usize,
    },
}

/// A range of a file, mapped at a range of addresses.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The first address (avma).
    pub start: u64,
    /// The first address behind it.
    pub end: u64,
    /// Where in the file the first byte lies.
    pub offset: u64,
    /// Whether code can run there.
    pub executable: bool,
    /// The file.
    pub file: Arc<MappedFile>,
}

impl Mapping {
    /// Where in the file the byte at `address` lies; `address` must be within.
    #[must_use]
    pub const fn file_offset(&self, address: u64) -> u64 {
        self.offset.wrapping_add(address.wrapping_sub(self.start))
    }

    /// The part from `start` to `end`, which must be within.
    fn part(&self, start: u64, end: u64) -> Self {
        Self { start, end, offset: self.file_offset(start), ..self.clone() }
    }
}

/// The mapped files of one process that hold code, with all their mappings, and the vDSO.
#[derive(Clone, Debug, Default)]
pub struct Mappings {
    /// Sorted by address, none overlaps another.
    sorted: Vec<Mapping>,
    refused: u64,
}

impl Mappings {
    /// What the process `pid` has mapped now. Empty when the process has ended but was not yet waited for.
    pub fn read(pid: u32) -> Result<Self, MappingsError> {
        let unreadable = |source| MappingsError::Unreadable { pid, source };
        let maps = File::open(format!("/proc/{pid}/maps")).map_err(unreadable)?;
        let mut entries = Vec::new();
        for (number, entry) in maps::entries(BufReader::new(maps)).enumerate() {
            let entry = entry.map_err(unreadable)?;
            let entry = entry.ok_or(MappingsError::Malformed { pid, line: number + 1 })?;
            if entry.is_file() || entry.is_vdso() {
                entries.push(entry);
            }
        }
        // Files that hold only data (fonts, locales, databases) never have a frame.
        let with_code: FxHashSet<_> = entries.iter().filter(|entry| entry.executable).map(maps::Entry::key).collect();
        let mut mappings = Self::default();
        for entry in entries.iter().filter(|entry| with_code.contains(&entry.key())) {
            mappings.insert(entry.mapping(pid));
        }
        Ok(mappings)
    }

    /// The mapping that holds `address`.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<&Mapping> {
        let index = self.sorted.partition_point(|mapping| mapping.end <= address);
        self.sorted.get(index).filter(|mapping| mapping.start <= address)
    }

    /// Takes in what is known later. It wins where ranges overlap. A range that it does not mention is kept: stacks of
    /// outstanding blocks may lie in a library that was unloaded since.
    pub fn update(&mut self, newer: Self) {
        self.refused += newer.refused;
        for mapping in newer.sorted {
            self.insert(mapping);
        }
    }

    /// Takes in one mapping, which wins over what was at its addresses before.
    pub fn insert(&mut self, mapping: Mapping) {
        if mapping.start >= mapping.end {
            return;
        }
        let first = self.sorted.partition_point(|other| other.end <= mapping.start);
        let behind = self.sorted.partition_point(|other| other.start < mapping.end);
        let overlapped = self.sorted.get(first..behind).unwrap_or_default();
        let before = overlapped.first().filter(|other| other.start < mapping.start);
        let before = before.map(|other| other.part(other.start, mapping.start));
        let after = overlapped.last().filter(|other| mapping.end < other.end);
        let after = after.map(|other| other.part(mapping.end, other.end));
        if self.sorted.len() >= LIMIT && overlapped.is_empty() {
            self.refused += 1;
            return;
        }
        self.sorted.splice(first..behind, before.into_iter().chain([mapping]).chain(after));
    }

    /// All mappings, sorted by address.
    pub fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.sorted.iter()
    }

    /// How many mappings were refused because the process had too many.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }
}

/// Bytes of code in the files that processes have mapped, each file once.
#[must_use]
pub fn code_bytes(mappings: &[Mappings]) -> u64 {
    let mut seen = FxHashSet::default();
    let code = mappings.iter().flat_map(Mappings::iter).filter(|mapping| mapping.executable);
    let new = code.filter(|mapping| seen.insert((mapping.file.key(), mapping.offset)));
    new.map(|mapping| mapping.end - mapping.start).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Arc<MappedFile> {
        let identity = Identity { device: (0, 0), inode: 0, path: name.as_bytes().into() };
        MappedFile::shared(identity, 0, 0..0)
    }

    fn mapping(start: u64, end: u64, offset: u64, file: &Arc<MappedFile>) -> Mapping {
        Mapping { start, end, offset, executable: true, file: Arc::clone(file) }
    }

    fn shape(mappings: &Mappings) -> Vec<(u64, u64, u64, &str)> {
        mappings.iter().map(|each| (each.start, each.end, each.offset, &*each.file.name)).collect()
    }

    #[test]
    fn a_later_mapping_cuts_the_earlier_one_in_two() {
        let (old, new) = (file("/tests/old.so"), file("/tests/new.so"));
        let mut mappings = Mappings::default();
        mappings.insert(mapping(0x1000, 0x9000, 0x100, &old));
        mappings.insert(mapping(0x3000, 0x4000, 0, &new));
        assert_eq!(
            shape(&mappings),
            [(0x1000, 0x3000, 0x100, "old.so"), (0x3000, 0x4000, 0, "new.so"), (0x4000, 0x9000, 0x3100, "old.so")]
        );
    }

    #[test]
    fn a_later_mapping_swallows_what_it_covers_and_trims_its_neighbours() {
        let (old, new) = (file("/tests/old.so"), file("/tests/new.so"));
        let mut mappings = Mappings::default();
        for start in [0x1000, 0x3000, 0x5000] {
            mappings.insert(mapping(start, start + 0x2000, start, &old));
        }
        mappings.insert(mapping(0x2000, 0x6000, 0, &new));
        assert_eq!(
            shape(&mappings),
            [(0x1000, 0x2000, 0x1000, "old.so"), (0x2000, 0x6000, 0, "new.so"), (0x6000, 0x7000, 0x6000, "old.so")]
        );
    }

    #[test]
    fn an_update_keeps_unloaded_libraries() {
        let (unloaded, kept, loaded) = (file("/tests/unloaded.so"), file("/tests/kept.so"), file("/tests/loaded.so"));
        let mut mappings = Mappings::default();
        mappings.insert(mapping(0x1000, 0x2000, 0, &unloaded));
        mappings.insert(mapping(0x5000, 0x6000, 0, &kept));
        let mut newer = Mappings::default();
        newer.insert(mapping(0x5000, 0x6000, 0, &kept));
        newer.insert(mapping(0x8000, 0x9000, 0, &loaded));
        mappings.update(newer);
        let names: Vec<_> = shape(&mappings).into_iter().map(|(.., name)| name).collect();
        assert_eq!(names, ["unloaded.so", "kept.so", "loaded.so"]);
    }

    #[test]
    fn addresses_at_the_edges_belong_to_the_right_mapping() {
        let some = file("/tests/some.so");
        let mut mappings = Mappings::default();
        mappings.insert(mapping(0x1000, 0x2000, 0, &some));
        mappings.insert(mapping(0x2000, 0x3000, 0x1000, &some));
        let start = |address| mappings.find(address).map(|found| found.start);
        assert_eq!(
            [start(0xfff), start(0x1000), start(0x1fff), start(0x2000), start(0x2fff), start(0x3000)],
            [None, Some(0x1000), Some(0x1000), Some(0x2000), Some(0x2000), None]
        );
    }

    #[test]
    fn an_empty_or_reversed_range_is_ignored() {
        let mut mappings = Mappings::default();
        mappings.insert(mapping(0x1000, 0x1000, 0, &file("/tests/some.so")));
        mappings.insert(mapping(0x2000, 0x1000, 0, &file("/tests/some.so")));
        assert_eq!(mappings.iter().count(), 0);
    }

    #[test]
    fn this_process_has_its_program_the_c_library_and_the_vdso_mapped() {
        let mappings = Mappings::read(std::process::id()).unwrap();
        let here = this_process_has_its_program_the_c_library_and_the_vdso_mapped as *const () as u64;
        let program = mappings.find(here).unwrap();
        assert_eq!(program.file.path, std::env::current_exe().unwrap());
        assert!(program.executable);
        let names: Vec<_> = mappings.iter().map(|mapping| &*mapping.file.name).collect();
        assert!(names.contains(&"libc.so.6"), "{names:?}");
        assert!(names.contains(&"[vdso]"), "{names:?}");
    }

    #[test]
    fn a_file_is_shared_by_the_processes_that_map_it() {
        let mine = Mappings::read(std::process::id()).unwrap();
        let again = Mappings::read(std::process::id()).unwrap();
        let libc = |mappings: &Mappings| {
            Arc::clone(&mappings.iter().find(|mapping| &*mapping.file.name == "libc.so.6").unwrap().file)
        };
        assert!(Arc::ptr_eq(&libc(&mine), &libc(&again)));
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(matches!(Mappings::read(u32::MAX), Err(MappingsError::Unreadable { pid: u32::MAX, .. })));
    }
}
