//! Finds the functions of named allocators in files.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::{NamedAllocator, NamedAllocators};
use crate::allocator::discover::{self, DiscoverError, Discovery, Found, FoundFunction};
use crate::allocator::elf::{Elf, ElfError};
use crate::allocator::examine::all_tables;
use crate::allocator::family::{Family, Role};
use crate::allocator::mapped;
use crate::allocator::symbol_table::{SymbolTable, next_begins};
use crate::process::target::printable;

impl NamedAllocators {
    /// What was found in process `pid`, and what it has mapped of these. A function that is one of these is not traced
    /// as one of another allocator.
    pub fn join(&self, pid: u32, found: Result<Discovery, DiscoverError>) -> Result<Discovery, DiscoverError> {
        if self.is_empty() || matches!(found, Err(DiscoverError::Mappings { .. })) {
            return found;
        }
        let files = mapped::mapped_files(pid).map_err(|reason| DiscoverError::Mappings { pid, reason })?;
        let mut named = Vec::new();
        for mapped in files {
            let meant: Vec<_> = self.iter().filter(|allocator| allocator.is_in(&mapped.path)).collect();
            if !meant.is_empty() {
                named.extend(in_file(mapped.open(pid), &mapped.path, &meant));
            }
        }
        match found {
            Ok(Discovery { found, go }) => Ok(Discovery { found: joined(found, named), go }),
            Err(DiscoverError::NoAllocator { go, .. }) if !named.is_empty() => Ok(Discovery { found: named, go }),
            Err(error) => Err(error),
        }
    }

    /// The allocators in the file at `path`, which stands for the one at `original`: those that heaptide knows, and these.
    pub fn discover_file(&self, path: &Path, original: &Path) -> Result<Vec<Found>, DiscoverError> {
        let found = discover::discover_file(path)?;
        let meant: Vec<_> = self.iter().filter(|allocator| allocator.is_in(original)).collect();
        if meant.is_empty() {
            return Ok(found);
        }
        Ok(joined(found, in_file(mapped::open_regular(path), path, &meant)))
    }
}

/// What those that are `meant` have in a file. One that cannot be read has nothing of any.
fn in_file(file: io::Result<File>, path: &Path, meant: &[&NamedAllocator]) -> Vec<Found> {
    let file = file.map(Arc::new).map_err(ElfError::from);
    let found = file.and_then(|file| meant.iter().map(|allocator| examine(&file, path, allocator)).collect());
    let found: Vec<Option<Found>> = found.unwrap_or_else(|error| {
        log::warn!("{}: {error}", printable(&path.to_string_lossy()));
        Vec::new()
    });
    found.into_iter().flatten().collect()
}

fn examine(file: &Arc<File>, path: &Path, allocator: &NamedAllocator) -> Result<Option<Found>, ElfError> {
    let elf = Elf::read(file)?;
    if elf.has_section(b".go.buildinfo") {
        // Its stacks move: no return can be probed.
        log::warn!("{} is a program in Go: nothing is traced in it", printable(&path.to_string_lossy()));
        return Ok(None);
    }
    let functions = functions(&elf, &all_tables(&elf, file, path)?, allocator);
    if functions.is_empty() {
        log::info!("{} has no function of {}", printable(&path.to_string_lossy()), allocator.name);
        return Ok(None);
    }
    Ok(Some(Found { named: Some(allocator.name.clone()), ..Found::new(file, path, Family::Other, functions) }))
}

fn functions(elf: &Elf<'_>, tables: &[SymbolTable], allocator: &NamedAllocator) -> Vec<FoundFunction> {
    let wanted: FxHashSet<&str> = allocator.functions.iter().map(|function| &*function.name).collect();
    let mut symbols: Vec<_> = tables.iter().flat_map(|table| table.symbols(|name| wanted.contains(name))).collect();
    // A function that is visible in the file alone is meant only when no other has the name.
    let public: FxHashSet<_> =
        symbols.iter().filter(|symbol| !symbol.local).map(|symbol| symbol.name.clone()).collect();
    symbols.retain(|symbol| symbol.is_function && (!symbol.local || !public.contains(&symbol.name)));
    symbols.sort_by_key(|symbol| symbol.address);
    let addresses: Vec<u64> = symbols.iter().map(|symbol| symbol.address).collect();
    let next = next_begins(&addresses, tables.iter().flat_map(SymbolTable::begins));
    let mut functions: Vec<FoundFunction> = Vec::new();
    for function in &allocator.functions {
        for (symbol, next) in symbols.iter().zip(&next).filter(|(symbol, _)| symbol.name == function.name) {
            let Some((file_offset, rest)) = elf.code_at(symbol.address) else { continue };
            let room = rest.min(next - symbol.address);
            if let Some(known) = functions.iter_mut().find(|known| known.file_offset == file_offset) {
                known.add_name(symbol, &symbol.name, rest);
                continue;
            }
            let role = Role::Named(function.call);
            let found = FoundFunction::new(symbol, &symbol.name, role, (file_offset, rest));
            functions.push(FoundFunction { room, ..found });
        }
    }
    functions
}

/// Both, but for functions of the known ones that a user has named.
fn joined(mut known: Vec<Found>, named: Vec<Found>) -> Vec<Found> {
    let file =
        |found: &Found| fs::metadata(&found.path_to_attach).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    for known in &mut known {
        let same_file = named.iter().filter(|named| file(named).is_some_and(|id| file(known) == Some(id)));
        let offsets: FxHashSet<u64> = same_file.flat_map(|named| &named.functions).map(|f| f.file_offset).collect();
        known.functions.retain(|function| !offsets.contains(&function.file_offset));
    }
    known.retain(|known| !known.functions.is_empty());
    known.extend(named);
    known
}
