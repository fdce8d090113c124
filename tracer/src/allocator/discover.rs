//! Finds allocators in the files that a process has mapped.

use std::error::Error;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::elf::{Elf, ElfError};
use super::family::{Family, LOADER_MARKER, Role};
use super::mapped::{self, MappedFile};
use super::symbol_table::{Symbol, SymbolTable, next_begins};
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
    /// The functions, each offset once, in the order of the family's table.
    pub functions: Vec<FoundFunction>,
    /// Keeps [`Found::path_to_attach`] valid.
    _file: Arc<File>,
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

impl FoundFunction {
    /// The function of a symbol, at a place in the file from where its section goes on for some bytes.
    fn new(symbol: &Symbol, role: Role, (file_offset, rest): (u64, u64)) -> Self {
        let size = if symbol.size <= rest { symbol.size } else { 0 };
        Self { name: Arc::clone(&symbol.name), aliases: Vec::new(), file_offset, size, room: rest, role }
    }

    /// Another name of it. Where names disagree about its size, the smaller one is believed.
    fn add_name(&mut self, symbol: &Symbol, rest: u64) {
        if symbol.size != 0 && symbol.size <= rest && (self.size == 0 || symbol.size < self.size) {
            self.size = symbol.size;
        }
        if self.name != symbol.name && !self.aliases.contains(&symbol.name) {
            self.aliases.push(Arc::clone(&symbol.name));
        }
    }
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
    /// No file defines both `malloc` and `free`.
    #[error("no allocator found: {}", searched_text(searched, failed))]
    NoAllocator {
        /// Files that were searched, as they are shown.
        searched: Vec<String>,
        /// Files that could not be searched, as they are shown, with the reason.
        failed: Vec<String>,
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

fn searched_text(searched: &[String], failed: &[String]) -> String {
    let list = |files: &[String]| {
        let more = files.len().saturating_sub(SHOWN_FILES);
        let shown = files[..files.len() - more].join(", ");
        if more == 0 { shown } else { format!("{shown} and {more} more") }
    };
    let searched = match searched {
        [] => "no file could be searched".to_owned(),
        _ => format!("none of these files defines malloc and free: {}", list(searched)),
    };
    let failed = if failed.is_empty() { String::new() } else { format!("; could not be read: {}", list(failed)) };
    format!(
        "{searched}{failed} (a program with its allocator linked in needs its symbols: use one that is not stripped)"
    )
}

/// The allocators that `pid` has mapped, in the order of their addresses.
///
/// A file that cannot be read is passed over (and logged) as long as another one has an allocator.
pub fn discover(pid: u32) -> Result<Vec<Found>, DiscoverError> {
    let files = mapped::mapped_files(pid).map_err(|reason| DiscoverError::Mappings { pid, reason })?;
    let mut found = Vec::new();
    let (mut searched, mut failed) = (Vec::new(), Vec::new());
    for mapped in files {
        let display = printable(&mapped.path.to_string_lossy());
        match examine_mapped(pid, &mapped) {
            Ok(Some(allocator)) => found.push(allocator),
            Ok(None) => searched.push(display),
            Err(error) => {
                let reason = reason(&error);
                log::info!("{display}: {reason}");
                failed.push(format!("{display} ({reason})"));
            }
        }
    }
    if found.is_empty() { Err(DiscoverError::NoAllocator { searched, failed }) } else { Ok(found) }
}

/// The function that the loader calls whenever libraries come or go: debuggers wait there (System V ABI, `r_debug`).
const LIBRARIES: &str = "_dl_debug_state";

/// The loader that `pid` has mapped, with that function; `None` when there is none or it cannot be read.
#[must_use]
pub fn discover_loader(pid: u32) -> Option<Found> {
    let is_loader =
        |mapped: &MappedFile| mapped.path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"ld-"));
    let mapped = mapped::mapped_files(pid).ok()?.into_iter().find(is_loader)?;
    let file = mapped.open(pid).ok()?;
    let elf = Elf::read(&file).ok()?;
    let tables = elf.symbol_tables().ok()?;
    let symbol = tables.iter().flat_map(|table| table.symbols(|name| name == LIBRARIES)).find(|s| s.is_function)?;
    let mut functions = vec![FoundFunction::new(&symbol, Role::Libraries, elf.code_at(symbol.address)?)];
    limit_room(&tables, std::slice::from_ref(&symbol), &mut functions, &elf);
    Some(Found {
        path_to_attach: PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())),
        display: printable(&mapped.path.to_string_lossy()),
        family: Family::Other,
        functions,
        _file: Arc::new(file),
    })
}

/// What is beneath an error whose own text only repeats the file's name.
fn reason(error: &DiscoverError) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn examine_mapped(pid: u32, mapped: &MappedFile) -> Result<Option<Found>, DiscoverError> {
    let path = || mapped.path.clone();
    let file = mapped.open(pid).map_err(|source| DiscoverError::Open { path: path(), source })?;
    examine(file, &mapped.path).map_err(|source| DiscoverError::Elf { path: path(), source })
}

/// The allocator in the file at `path`; `None` when it defines none.
pub fn discover_file(path: &Path) -> Result<Option<Found>, DiscoverError> {
    let file = mapped::open_regular(path).map_err(|source| DiscoverError::Open { path: path.to_owned(), source })?;
    examine(file, path).map_err(|source| DiscoverError::Elf { path: path.to_owned(), source })
}

fn examine(file: File, path: &Path) -> Result<Option<Found>, ElfError> {
    let elf = Elf::read(&file)?;
    let tables = elf.symbol_tables()?;
    let wanted = wanted();
    let mut symbols: Vec<_> = tables.iter().flat_map(|table| table.symbols(|name| wanted.contains(name))).collect();
    // The linker makes a static program's hidden functions local, malloc among them. In a file that needs a library,
    // a local function of that name is some other one.
    let is_static = elf.dynamic()?.needed.is_empty();
    let public: Vec<_> = symbols.iter().filter(|symbol| !symbol.local).map(|s| Arc::clone(&s.name)).collect();
    symbols.retain(|symbol| !symbol.local || is_static && !public.contains(&symbol.name));
    let defines = |name: &str| symbols.iter().any(|symbol| *symbol.name == *name);
    let has = |name: &str| symbols.iter().any(|symbol| *symbol.name == *name && symbol.is_function);
    if defines(LOADER_MARKER) || !has("malloc") || !has("free") {
        return Ok(None);
    }
    let family = Family::of(defines);
    Ok(Some(Found {
        path_to_attach: PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())),
        display: printable(&path.to_string_lossy()),
        family,
        functions: functions(&elf, &tables, family, &symbols),
        _file: Arc::new(file),
    }))
}

/// Every symbol that matters, for one pass over a file.
fn wanted() -> FxHashSet<&'static str> {
    let functions = Family::Other.functions().iter().flat_map(|function| function.names).copied();
    functions.chain(Family::markers()).chain([LOADER_MARKER]).collect()
}

fn functions(elf: &Elf<'_>, tables: &[SymbolTable], family: Family, symbols: &[Symbol]) -> Vec<FoundFunction> {
    let mut found: Vec<FoundFunction> = Vec::new();
    for function in family.functions() {
        for &name in function.names {
            // One name can stand for several functions: older versions of an interface stay for older programs.
            for symbol in symbols.iter().filter(|symbol| *symbol.name == *name && symbol.is_function) {
                let Some((file_offset, rest)) = elf.code_at(symbol.address) else { continue };
                match found.iter_mut().find(|known| known.file_offset == file_offset) {
                    Some(known) => known.add_name(symbol, rest),
                    None => found.push(FoundFunction::new(symbol, function.role, (file_offset, rest))),
                }
            }
        }
    }
    limit_room(tables, symbols, &mut found, elf);
    found
}

/// A function's room ends where the next one begins.
fn limit_room(tables: &[SymbolTable], symbols: &[Symbol], found: &mut [FoundFunction], elf: &Elf<'_>) {
    let mut addresses: Vec<u64> = symbols.iter().map(|symbol| symbol.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let next = next_begins(&addresses, tables.iter().flat_map(SymbolTable::begins));
    for (address, next) in addresses.into_iter().zip(next) {
        let Some((file_offset, _)) = elf.code_at(address) else { continue };
        for function in found.iter_mut().filter(|function| function.file_offset == file_offset) {
            function.room = function.room.min(next - address);
        }
    }
}

#[cfg(test)]
#[path = "discover_tests.rs"]
mod tests;
