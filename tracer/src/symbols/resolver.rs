//! From addresses in a file to names, by blazesym.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use blazesym::symbolize::source::{Elf, Source};
use blazesym::symbolize::{CodeInfo, Input, Sym, Symbolized, Symbolizer};
use rustc_hash::{FxHashMap, FxHashSet};

use super::demangle::demangle;
use crate::profile::{self, Inlined, Unnamed};

/// Most bytes of files that are kept parsed. Parsed, a file takes about its own size.
const MOST_PARSED: u64 = 1 << 30;

/// A file to look into.
#[derive(Debug)]
pub(super) struct Symbols {
    pub(super) file: Arc<File>,
    /// Whether to read its debug information, too, and not only its symbol tables.
    pub(super) debug_info: bool,
    /// Bytes of memory that the file itself takes.
    pub(super) memory: u64,
}

/// What is known of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The function.
    pub(super) function: Arc<str>,
    /// Where it begins (svma).
    pub(super) start: u64,
    /// The line in it.
    pub(super) source: Option<profile::Source>,
    /// What is inlined there, innermost first.
    pub(super) inlined: Vec<Inlined>,
}

/// blazesym, and what bounds its memory.
#[derive(Debug)]
pub(super) struct Resolver {
    blazesym: Symbolizer,
    /// The files that blazesym has parsed, by device and inode.
    parsed: FxHashSet<(u64, u64)>,
    parsed_bytes: u64,
    strings: Strings,
}

impl Resolver {
    pub(super) fn new() -> Self {
        Self { blazesym: blazesym(), parsed: FxHashSet::default(), parsed_bytes: 0, strings: Strings::default() }
    }

    /// The names of `addresses` (svma), in their order: from the first of the files that knows them.
    pub(super) fn resolve(&mut self, files: &[Symbols], addresses: &[u64]) -> Vec<Result<Rc<Name>, Unnamed>> {
        let mut names = vec![Err(Unnamed::FileInvalid); addresses.len()];
        let mut open: Vec<usize> = (0..addresses.len()).collect();
        for symbols in files {
            if open.is_empty() {
                break;
            }
            let batch: Vec<u64> = open.iter().filter_map(|&index| addresses.get(index).copied()).collect();
            let Some(found) = self.look_up(symbols, &batch) else { continue };
            let mut unknown = Vec::new();
            for (index, name) in open.into_iter().zip(found) {
                unknown.extend(name.is_none().then_some(index));
                if let Some(slot) = names.get_mut(index) {
                    *slot = name.map(Rc::new).ok_or(Unnamed::NoSymbol);
                }
            }
            open = unknown;
        }
        names
    }

    /// Forgets the strings that names were made of; names that are in use keep theirs.
    pub(super) fn forget_strings(&mut self) {
        self.strings = Strings::default();
    }

    /// One name, or none, for each address; `None` when the file cannot be parsed.
    fn look_up(&mut self, symbols: &Symbols, addresses: &[u64]) -> Option<Vec<Option<Name>>> {
        self.make_room(&symbols.file);
        let path = format!("/proc/self/fd/{}", symbols.file.as_raw_fd());
        let source = Source::Elf(Elf { debug_syms: symbols.debug_info, ..Elf::new(&path) });
        let (blazesym, strings) = (&self.blazesym, &mut self.strings);
        // The file is the target's choice, and a parser of so many formats has a case somewhere that it did not expect:
        // that may cost the names of this file, but not the report.
        let looked_up = catch_unwind(AssertUnwindSafe(|| {
            let found = blazesym.symbolize(&source, Input::VirtOffset(addresses)).ok()?;
            let mut names: Vec<Option<Name>> = found.into_iter().map(|each| strings.name(each)).collect();
            if symbols.debug_info {
                begin_by_symbols(blazesym, path.as_str(), addresses, &mut names);
            }
            Some(names)
        }));
        looked_up.unwrap_or_else(|_| {
            *self = Self::new();
            None
        })
    }

    /// Starts afresh when `file` is new and enough is parsed already.
    fn make_room(&mut self, file: &File) {
        use std::os::unix::fs::MetadataExt as _;
        let Ok(metadata) = file.metadata() else { return };
        let key = (metadata.dev(), metadata.ino());
        if self.parsed.contains(&key) {
            return;
        }
        if self.parsed_bytes > MOST_PARSED {
            self.blazesym = blazesym();
            self.parsed.clear();
            self.parsed_bytes = 0;
        }
        self.parsed.insert(key);
        self.parsed_bytes = self.parsed_bytes.saturating_add(metadata.size());
    }
}

/// Says where functions begin that lie in several pieces, as those with a cold part do: blazesym gives 0 for them when it
/// goes by debug information. Each piece has a symbol of its own.
fn begin_by_symbols(blazesym: &Symbolizer, path: &str, addresses: &[u64], names: &mut [Option<Name>]) {
    let (open, addresses): (Vec<&mut Name>, Vec<u64>) = names
        .iter_mut()
        .zip(addresses)
        .filter_map(|(name, address)| Some((name.as_mut().filter(|name| name.start == 0)?, *address)))
        .unzip();
    if open.is_empty() {
        return;
    }
    let source = Source::Elf(Elf { debug_syms: false, ..Elf::new(path) });
    let Ok(found) = blazesym.symbolize(&source, Input::VirtOffset(&addresses)) else { return };
    for (name, symbolized) in open.into_iter().zip(found) {
        if let Some(symbol) = symbolized.into_sym() {
            name.start = symbol.addr;
        }
    }
}

fn blazesym() -> Symbolizer {
    // Names are demangled here, with a bound; directories for debug information are searched here, with distrust.
    // What a trusted debug file refers to further (dwz) lies in the default directories.
    Symbolizer::builder().enable_demangling(false).enable_code_info(true).enable_inlined_fns(true).build()
}

/// Each name and path once: thousands of addresses lie in the same function and file.
#[derive(Debug, Default)]
struct Strings {
    /// Demangled names, by their mangled ones.
    functions: FxHashMap<Box<str>, Arc<str>>,
    paths: FxHashSet<Arc<str>>,
}

impl Strings {
    fn name(&mut self, symbolized: Symbolized<'_>) -> Option<Name> {
        let Sym { name, addr, code_info, inlined, .. } = symbolized.into_sym()?;
        if name.is_empty() {
            return None;
        }
        let inlined = inlined.iter().rev().map(|each| Inlined {
            function: self.function(&each.name),
            source: each.code_info.as_ref().map(|code| self.source(code)),
        });
        let inlined = inlined.collect();
        let source = code_info.map(|code| self.source(&code));
        Some(Name { function: self.function(&name), start: addr, source, inlined })
    }

    fn function(&mut self, mangled: &str) -> Arc<str> {
        if let Some(known) = self.functions.get(mangled) {
            return Arc::clone(known);
        }
        let name: Arc<str> = demangle(mangled).into();
        self.functions.insert(mangled.into(), Arc::clone(&name));
        name
    }

    /// The path as the debug information gives it, and the line; line 0 stands for code without one.
    fn source(&mut self, code: &CodeInfo<'_>) -> profile::Source {
        let path = code.to_path();
        let path = path.to_string_lossy();
        let path = if let Some(known) = self.paths.get(&*path) {
            Arc::clone(known)
        } else {
            let path: Arc<str> = path.into();
            self.paths.insert(Arc::clone(&path));
            path
        };
        (path, code.line.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const SOURCE: &str = "void abort(void);\n\
        __attribute__((noinline)) int in_pieces(int a) { if (a > 1000) abort(); return a * 7; }\n";

    #[test]
    fn a_function_in_several_pieces_has_a_begin() {
        let folder = tempfile::tempdir().unwrap();
        let (source, library) = (folder.path().join("pieces.c"), folder.path().join("pieces.so"));
        std::fs::write(&source, SOURCE).unwrap();
        let built =
            Command::new("cc").args(["-g", "-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
        assert!(built.unwrap().success());
        let table = Command::new("nm").arg(&library).output().unwrap().stdout;
        let address = |name: &str| {
            let table = std::str::from_utf8(&table).unwrap();
            let line = table.lines().find(|line| line.split(' ').nth(2) == Some(name)).unwrap();
            u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap()
        };
        let pieces = ["in_pieces", "in_pieces.cold"].map(address);
        let symbols = Symbols { file: Arc::new(File::open(&library).unwrap()), debug_info: true, memory: 0 };
        let names = Resolver::new().resolve(&[symbols], &pieces.map(|begin| begin + 1));
        let begins: Vec<_> =
            names.iter().map(|name| name.as_ref().unwrap()).map(|name| (&*name.function, name.start)).collect();
        assert_eq!(begins, [("in_pieces", pieces[0]), ("in_pieces", pieces[1])]);
    }
}
