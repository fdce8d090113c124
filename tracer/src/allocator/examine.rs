//! The allocators in one file.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::calls::{Calls, Target};
use super::elf::{Elf, ElfError};
use super::family::{Family, Kind, LOADER_MARKER, Role, is_marker};
use super::functions::{Meaning, Origin, may_throw, meaning};
use super::symbol_table::{Symbol, SymbolTable, next_begins};
use super::{Found, FoundFunction};
use crate::process::target::printable;
use crate::symbols::other_tables;

/// Most symbols of allocators' names that are looked at; the largest allocator has some two hundred.
const MOST_SYMBOLS: usize = 2048;

/// Longest function that is looked into when its symbol does not tell where it ends, in bytes.
const LONGEST_FUNCTION: u64 = 64 << 10;

/// What a file has.
#[derive(Clone, Debug, Default)]
pub(super) struct Examined {
    /// Its allocators.
    pub(super) found: Vec<Found>,
    /// Whether it is a program in Go: stacks of such programs are moved while functions run, so that no return can be
    /// probed. Nothing is looked for in it.
    pub(super) is_go: bool,
}

/// A function that may be an allocator's.
struct Candidate {
    symbol: Symbol,
    meaning: Meaning,
    function: FoundFunction,
}

/// Looks for allocators in `file`, which is at `path` as its process sees it.
pub(super) fn examine(file: File, path: &Path) -> Result<Examined, ElfError> {
    let elf = Elf::read(&file)?;
    if elf.has_section(b".go.buildinfo") {
        return Ok(Examined { found: Vec::new(), is_go: true });
    }
    let tables = all_tables(&elf, &file, path)?;
    let symbols = tables.iter().flat_map(|table| table.symbols(|name| meaning(name).is_some() || is_marker(name)));
    let symbols = meant(symbols.take(MOST_SYMBOLS).collect(), elf.dynamic()?.needed.is_empty());
    let defines = |name: &str| symbols.iter().any(|symbol| *symbol.name == *name);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let c_family = if defines(LOADER_MARKER) { None } else { Some(Family::of(defines, &name)) };
    let mut candidates = candidates(&elf, &symbols);
    if candidates.is_empty() {
        return Ok(Examined::default());
    }
    limit_room(&tables, &mut candidates);
    let calls = Calls::read(&elf, &tables);
    leave_out_detours(&calls, &mut candidates);
    let throwing = leave_by_exceptions(&elf, &calls, path, &mut candidates);
    candidates.sort_by_key(|candidate| candidate.meaning.rank);
    let groups = by_family(candidates, c_family);
    let file = Arc::new(file);
    let found = groups.into_iter().map(|(family, functions)| {
        let mut found = Found::new(&file, path, family, functions);
        let is_its = |(begin, _): &&(u64, Vec<u64>)| found.functions.iter().any(|f| f.file_offset == *begin);
        found.throwing = throwing.iter().filter(is_its).cloned().collect();
        found
    });
    Ok(Examined { found: found.collect(), is_go: false })
}

/// The function `name` of a file, with that role; `None` when it defines none.
pub(super) fn function(file: &File, name: &str, role: Role) -> Result<Option<FoundFunction>, ElfError> {
    let elf = Elf::read(file)?;
    let tables = elf.symbol_tables()?;
    let symbol = tables.iter().flat_map(|table| table.symbols(|other| other == name)).find(|s| s.is_function);
    let Some(symbol) = symbol else { return Ok(None) };
    let function = elf.code_at(symbol.address).map(|place| FoundFunction::new(&symbol, &symbol.name, role, place));
    Ok(function.map(|mut function| {
        let next = next_begins(&[symbol.address], tables.iter().flat_map(SymbolTable::begins));
        function.room = next.iter().fold(function.room, |room, next| room.min(next - symbol.address));
        function
    }))
}

/// Its own symbol tables and, where those tell only what the loader needs, those that are kept elsewhere.
pub(super) fn all_tables(elf: &Elf<'_>, file: &File, path: &Path) -> Result<Vec<SymbolTable>, ElfError> {
    let mut tables = elf.symbol_tables()?;
    if !elf.has_all_symbols() {
        for other in other_tables(file, path) {
            match Elf::read(&other).and_then(|elf| elf.symbol_tables()) {
                Ok(more) => tables.extend(more),
                Err(error) => log::info!("the symbols kept for {} are of no use: {error}", display(path)),
            }
        }
    }
    Ok(tables)
}

/// Those symbols that are what their names say.
fn meant(mut symbols: Vec<Symbol>, is_static: bool) -> Vec<Symbol> {
    // The linker makes a static program's hidden functions local, malloc among them. In a file that needs a library,
    // a local function of that name is some other one.
    let public: Vec<_> = symbols.iter().filter(|symbol| !symbol.local).map(|s| Arc::clone(&s.name)).collect();
    symbols.retain(|symbol| {
        !symbol.local
            || meaning(&symbol.name).is_some_and(Meaning::holds_for_local)
            || is_static && !public.contains(&symbol.name)
    });
    symbols
}

/// The functions, each place in the file once.
fn candidates(elf: &Elf<'_>, symbols: &[Symbol]) -> Vec<Candidate> {
    let functions = symbols.iter().filter(|symbol| symbol.is_function);
    let mut named: Vec<_> = functions.filter_map(|symbol| Some((meaning(&symbol.name)?, symbol))).collect();
    // One name can stand for several functions: older versions of an interface stay for older programs.
    named.sort_by_key(|(meaning, symbol)| (meaning.rank, symbol.address));
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut by_address: FxHashMap<u64, usize> = FxHashMap::default();
    for (meaning, symbol) in named {
        let Some(place) = elf.code_at(symbol.address) else { continue };
        let name = shown_name(meaning, symbol);
        if let Some(known) = by_address.get(&symbol.address).and_then(|&index| candidates.get_mut(index)) {
            known.function.add_name(symbol, &name, place.1);
            known.meaning.take_over(meaning);
            continue;
        }
        by_address.insert(symbol.address, candidates.len());
        let function = FoundFunction::new(symbol, &name, meaning.role, place);
        candidates.push(Candidate { symbol: symbol.clone(), meaning, function });
    }
    candidates
}

/// Rust mangles the names of its functions; all others are shown as they are.
fn shown_name(meaning: Meaning, symbol: &Symbol) -> Arc<str> {
    if meaning.origin == Origin::Own(Family::Rust) { meaning.name.into() } else { Arc::clone(&symbol.name) }
}

/// A function's room ends where the next one begins.
fn limit_room(tables: &[SymbolTable], candidates: &mut [Candidate]) {
    let mut addresses: Vec<u64> = candidates.iter().map(|candidate| candidate.symbol.address).collect();
    addresses.sort_unstable();
    let next = next_begins(&addresses, tables.iter().flat_map(SymbolTable::begins));
    let next: FxHashMap<u64, u64> = addresses.into_iter().zip(next).collect();
    for candidate in candidates {
        let address = candidate.symbol.address;
        let Some(distance) = next.get(&address).and_then(|next| next.checked_sub(address)) else { continue };
        candidate.function.room = candidate.function.room.min(distance.max(1));
    }
}

/// Takes out the functions that only lead to others.
fn leave_out_detours(calls: &Calls<'_>, candidates: &mut Vec<Candidate>) {
    join_jumps(calls, candidates);
    let kinds: FxHashMap<u64, Kind> =
        candidates.iter().filter_map(|c| Some((c.symbol.address, c.meaning.role.kind()?))).collect();
    candidates.retain(|candidate| {
        let Some(kind) = candidate.meaning.role.kind() else { return true };
        if kind == Kind::Allocates && !candidate.meaning.is_wrapper {
            return true; // of nested allocations the outermost counts
        }
        let own = candidate.symbol.address;
        let is_known = |target: &Target| match target {
            Target::Here(address) => *address != own && kinds.get(address) == Some(&kind),
            Target::Named(name) => {
                meaning(name).and_then(|other| other.role.kind()) == Some(kind) && **name != *candidate.symbol.name
            }
        };
        !calls.always_calls(own, own.saturating_add(length(&candidate.function)), &is_known)
    });
}

/// The functions that an exception may leave, and where they return. Takes out those of which that is not known.
fn leave_by_exceptions(
    elf: &Elf<'_>,
    calls: &Calls<'_>,
    path: &Path,
    candidates: &mut Vec<Candidate>,
) -> Vec<(u64, Vec<u64>)> {
    let mut throwing = Vec::new();
    candidates.retain(|candidate| {
        let function = &candidate.function;
        if !function.names().any(may_throw) {
            return true;
        }
        let address = candidate.symbol.address;
        let returns = calls.returns(address, address.saturating_add(length(function)));
        let offsets = returns.and_then(|returns| {
            returns.into_iter().map(|address| Some(elf.code_at(address)?.0)).collect::<Option<Vec<_>>>()
        });
        let Some(offsets) = offsets else {
            log::warn!(
                "{}: {} is not traced: an exception may leave it, and where it returns is not known",
                display(path),
                printable(&function.name)
            );
            return false;
        };
        throwing.push((function.file_offset, offsets));
        true
    });
    throwing
}

/// How far a function's own code goes.
fn length(function: &FoundFunction) -> u64 {
    if function.size == 0 { function.room.min(LONGEST_FUNCTION) } else { function.size }
}

/// Functions that begin with a jump to another one, with everything as it was given, are that one under another name.
fn join_jumps(calls: &Calls<'_>, candidates: &mut Vec<Candidate>) {
    let mut index = 0;
    while let Some(candidate) = candidates.get(index) {
        let target = calls.jump(candidate.symbol.address);
        let other = target.and_then(|target| {
            candidates.iter().position(|other| match &target {
                Target::Here(address) => other.symbol.address == *address,
                Target::Named(name) => other.function.names().any(|known| *known == **name),
            })
        });
        let role = candidate.meaning.role;
        match other.filter(|&other| other != index && candidates[other].meaning.role == role) {
            Some(other) => {
                let candidate = candidates.remove(index);
                let other = if other > index { other - 1 } else { other };
                if let Some(other) = candidates.get_mut(other) {
                    other.join(candidate);
                }
            }
            None => index += 1,
        }
    }
}

/// Puts functions to their families. What is found of a family counts only when it is enough to be traced by.
fn by_family(candidates: Vec<Candidate>, c_family: Option<Family>) -> Vec<(Family, Vec<FoundFunction>)> {
    // A `malloc` that is `mi_malloc` under another name is mimalloc's.
    let is_malloc = |candidate: &&Candidate| candidate.function.names().any(|name| name == "malloc");
    let own = candidates.iter().find(is_malloc).and_then(|candidate| match candidate.meaning.origin {
        Origin::Own(family) => Some(family),
        _ => None,
    });
    let c_family = own.or(c_family);
    let cpp_family = c_family.filter(|family| !family.is_common()).unwrap_or(Family::Cpp);
    let mut groups: Vec<(Family, Vec<FoundFunction>)> = Vec::new();
    for candidate in candidates {
        let family = match candidate.meaning.origin {
            Origin::C => c_family,
            Origin::Cpp => Some(cpp_family),
            Origin::Own(family) => Some(family),
        };
        let Some(family) = family else { continue };
        match groups.iter_mut().find(|(known, _)| *known == family) {
            Some((_, functions)) => functions.push(candidate.function),
            None => groups.push((family, vec![candidate.function])),
        }
    }
    groups.retain(|(family, functions)| is_enough(*family, functions));
    // The C library first: most of what a program does goes by it.
    groups.sort_by_key(|(family, _)| Some(*family) != c_family);
    groups
}

fn is_enough(family: Family, functions: &[FoundFunction]) -> bool {
    let has = |kind| functions.iter().any(|function| function.role.kind() == Some(kind));
    // A program's own `operator delete` may be left out, since it calls `free`.
    has(Kind::Allocates) && (has(Kind::Releases) || matches!(family, Family::Cpp | Family::Rust))
}

fn display(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

impl Meaning {
    /// What two names of one function tell together: the one that only one allocator has tells whose it is, and what has
    /// a name that is no wrapper's is none.
    fn take_over(&mut self, other: Self) {
        if let Origin::Own(_) = other.origin {
            self.origin = other.origin;
        }
        self.is_wrapper &= other.is_wrapper;
        self.rank = self.rank.min(other.rank);
    }
}

impl Candidate {
    /// Takes over the names of one that leads to this one; the more usual name is shown.
    fn join(&mut self, mut other: Self) {
        if other.meaning.rank < self.meaning.rank {
            std::mem::swap(&mut self.function.name, &mut other.function.name);
        }
        self.function.aliases.push(other.function.name);
        self.function.aliases.extend(other.function.aliases);
        self.meaning.take_over(other.meaning);
    }
}

impl Found {
    pub(super) fn new(file: &Arc<File>, path: &Path, family: Family, functions: Vec<FoundFunction>) -> Self {
        Self {
            path_to_attach: PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())),
            display: display(path),
            family,
            named: None,
            functions,
            throwing: Vec::new(),
            _file: Arc::clone(file),
        }
    }
}

impl FoundFunction {
    /// The function of a symbol, at a place in the file from where its section goes on for some bytes.
    pub(super) fn new(symbol: &Symbol, name: &Arc<str>, role: Role, (file_offset, rest): (u64, u64)) -> Self {
        let size = if symbol.size <= rest { symbol.size } else { 0 };
        Self { name: Arc::clone(name), aliases: Vec::new(), file_offset, size, room: rest, role }
    }

    /// Another name of it. Where names disagree about its size, the smaller one is believed.
    pub(super) fn add_name(&mut self, symbol: &Symbol, name: &Arc<str>, rest: u64) {
        if symbol.size != 0 && symbol.size <= rest && (self.size == 0 || symbol.size < self.size) {
            self.size = symbol.size;
        }
        if !self.names().any(|known| known == &**name) {
            self.aliases.push(Arc::clone(name));
        }
    }

    /// All its names, the usual one first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name).chain(&self.aliases).map(AsRef::as_ref)
    }
}

#[cfg(test)]
#[path = "examine_tests.rs"]
mod tests;
