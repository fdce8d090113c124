//! Finds allocators in the files that a process has mapped.

use std::error::Error;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::elf::ElfError;
use super::examine::{Examined, examine, function};
use super::family::{Family, Role};
use super::mapped::{self, MappedFile};
use crate::process::target::printable;

/// A file with the functions of an allocator.
#[derive(Clone, Debug)]
pub struct Found {
    /// Leads to the file itself for as long as this value or a clone of it lives, whatever becomes of its name: a path
    /// to attach probes by, not one to show.
    pub path_to_attach: PathBuf,
    /// The file's path as the process sees it, without control characters: one to show, not to open.
    pub display: String,
    /// Who wrote the functions.
    pub family: Family,
    /// What its user calls it, when the functions are those that a user has named.
    pub named: Option<Arc<str>>,
    /// The functions, each offset once, in the order of the family's table.
    pub functions: Vec<FoundFunction>,
    /// Functions that an exception may leave: where they begin, and the instructions by which they return, in bytes from
    /// the begin of the file. No return probe may be on them.
    pub throwing: Vec<(u64, Vec<u64>)>,
    /// Keeps [`Found::path_to_attach`] valid.
    pub(super) _file: Arc<File>,
}

impl Found {
    /// What the allocator is called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.named.as_deref().unwrap_or_else(|| self.family.name())
    }
}

/// A function of an allocator in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFunction {
    /// Its usual name.
    pub name: Arc<str>,
    /// Its other names: functions at the same offset are one.
    pub aliases: Vec<Arc<str>>,
    /// Where it begins, in bytes from the begin of the file.
    pub file_offset: u64,
    /// How long it is, in bytes, as its symbol tells; 0 when that is not known.
    pub size: u64,
    /// How far its code can reach without meeting another function, in bytes: to the next one in its section, or to the
    /// section's end. At least 1, and all of it is in the file.
    pub room: u64,
    /// What a call of it means.
    pub role: Role,
}

/// Why no allocator was found.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// The list of mappings could not be read.
    #[error("cannot read what process {pid} has mapped: {reason} (needs its owner's rights or CAP_SYS_PTRACE)")]
    Mappings {
        /// The process.
        pid: u32,
        /// What the kernel said.
        reason: io::Error,
    },
    /// No file defines the functions of an allocator.
    #[error("no allocator found: {}", searched_text(searched, failed, go))]
    NoAllocator {
        /// Files that were searched, as they are shown.
        searched: Vec<String>,
        /// Files that could not be searched, as they are shown, with the reason.
        failed: Vec<String>,
        /// Files that are programs in Go.
        go: Vec<String>,
    },
    /// A file could not be opened.
    #[error("cannot open {}", printable(&path.to_string_lossy()))]
    Open {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file could not be read as an ELF file.
    #[error("cannot read {}", printable(&path.to_string_lossy()))]
    Elf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ElfError,
    },
}

/// Shows the first of many files; the whole list stands in the error's fields.
const SHOWN_FILES: usize = 8;

/// What is to be known of a program in Go.
pub const GO: &str = "a program in Go: Go's own heap is not seen, only what C code in it allocates with a C library";

fn searched_text(searched: &[String], failed: &[String], go: &[String]) -> String {
    if let [first, ..] = go {
        return format!("{first} is {GO}, and it has none");
    }
    let list = |files: &[String]| {
        let more = files.len().saturating_sub(SHOWN_FILES);
        let shown = files[..files.len() - more].join(", ");
        if more == 0 { shown } else { format!("{shown} and {more} more") }
    };
    let searched = match searched {
        [] => "no file could be searched".to_owned(),
        _ => format!("none of these files defines an allocator's functions: {}", list(searched)),
    };
    let failed = if failed.is_empty() { String::new() } else { format!("; could not be read: {}", list(failed)) };
    format!(
        "{searched}{failed} (a program with its allocator linked in needs its symbols: use one that is not stripped)"
    )
}

/// Most files of which it is remembered what is in them.
const MOST_REMEMBERED: usize = 4096;

/// Looks for allocators in processes, and in each file only once.
#[derive(Default)]
pub struct Finder {
    known: FxHashMap<FileState, Examined>,
}

/// A file and, as far as that can be told, its content.
#[derive(PartialEq, Eq, Hash)]
struct FileState {
    device: u64,
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

/// What was found in a process.
#[derive(Debug)]
pub struct Discovery {
    /// The allocators, in the order of their addresses.
    pub found: Vec<Found>,
    /// Files that are programs in Go, as they are shown.
    pub go: Vec<String>,
}

impl Finder {
    /// The allocators that `pid` has mapped.
    ///
    /// A file that cannot be read is passed over (and logged) as long as another one has an allocator.
    pub fn discover(&mut self, pid: u32) -> Result<Discovery, DiscoverError> {
        let files = mapped::mapped_files(pid).map_err(|reason| DiscoverError::Mappings { pid, reason })?;
        let (mut found, mut go) = (Vec::new(), Vec::new());
        let (mut searched, mut failed) = (Vec::new(), Vec::new());
        for mapped in files {
            let display = printable(&mapped.path.to_string_lossy());
            match self.examine_mapped(pid, &mapped) {
                Ok(examined) => {
                    if examined.found.is_empty() {
                        searched.push(display.clone());
                    }
                    if examined.is_go {
                        go.push(display);
                    }
                    found.extend(examined.found);
                }
                Err(error) => {
                    let reason = reason(&error);
                    log::info!("{display}: {reason}");
                    failed.push(format!("{display} ({reason})"));
                }
            }
        }
        if found.is_empty() {
            return Err(DiscoverError::NoAllocator { searched, failed, go });
        }
        Ok(Discovery { found, go })
    }

    fn examine_mapped(&mut self, pid: u32, mapped: &MappedFile) -> Result<Examined, DiscoverError> {
        let path = || mapped.path.clone();
        let file = mapped.open(pid).map_err(|source| DiscoverError::Open { path: path(), source })?;
        let state = FileState::of(&file).map_err(|source| DiscoverError::Open { path: path(), source })?;
        if let Some(known) = self.known.get(&state) {
            return Ok(known.clone());
        }
        let examined = examine(file, &mapped.path).map_err(|source| DiscoverError::Elf { path: path(), source })?;
        if self.known.len() >= MOST_REMEMBERED {
            self.known.clear();
        }
        self.known.insert(state, examined.clone());
        Ok(examined)
    }
}

impl FileState {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Ok(Self { device: metadata.dev(), inode: metadata.ino(), length: metadata.len(), changed })
    }
}

/// The allocators that `pid` has mapped, in the order of their addresses: see [`Finder::discover`].
pub fn discover(pid: u32) -> Result<Vec<Found>, DiscoverError> {
    Finder::default().discover(pid).map(|discovery| discovery.found)
}

/// The function that the loader calls whenever libraries come or go: debuggers wait there (System V ABI, `r_debug`).
const LIBRARIES: &str = "_dl_debug_state";

/// What the loaders of C libraries are called. musl's is its C library.
const LOADERS: [&str; 5] = ["ld-", "ld.so", "ld64.so", "ld-musl-", "libc.so"];

/// The loader that `pid` has mapped, with that function; `None` when there is none or it cannot be read.
#[must_use]
pub fn discover_loader(pid: u32) -> Option<Found> {
    let is_loader = |mapped: &MappedFile| {
        let name = mapped.path.file_name().unwrap_or_default().as_encoded_bytes();
        LOADERS.iter().any(|loader| name.starts_with(loader.as_bytes()))
    };
    let loaders = mapped::mapped_files(pid).ok()?.into_iter().filter(is_loader);
    loaders.into_iter().find_map(|mapped| {
        let file = mapped.open(pid).ok()?;
        let function = function(&file, LIBRARIES, Role::Libraries).ok()??;
        Some(Found::new(&Arc::new(file), &mapped.path, Family::Other, vec![function]))
    })
}

/// What is beneath an error whose own text only repeats the file's name.
fn reason(error: &DiscoverError) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The allocators in the file at `path`.
pub fn discover_file(path: &Path) -> Result<Vec<Found>, DiscoverError> {
    let file = mapped::open_regular(path).map_err(|source| DiscoverError::Open { path: path.to_owned(), source })?;
    let examined = examine(file, path).map_err(|source| DiscoverError::Elf { path: path.to_owned(), source })?;
    if examined.is_go {
        log::warn!("{}: {GO}", printable(&path.to_string_lossy()));
    }
    Ok(examined.found)
}

#[cfg(test)]
#[path = "discover_tests.rs"]
mod tests;
