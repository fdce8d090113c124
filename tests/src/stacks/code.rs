//! What code lies where in a process: read from its mappings and its files, without heaptide's help.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};
use object::{Object, ObjectSegment, ObjectSymbol, SymbolKind};

/// The code of a process.
#[derive(Debug)]
pub struct Code {
    mappings: Vec<Mapping>,
    files: RefCell<BTreeMap<PathBuf, Rc<File>>>,
}

#[derive(Debug)]
struct Mapping {
    start: u64,
    end: u64,
    /// Where it begins in the file.
    offset: u64,
    path: PathBuf,
}

/// What is known of a file; nothing of one that is none (`[vdso]`).
#[derive(Debug, Default)]
struct File {
    /// Place in the file, size, and address of each segment.
    segments: Vec<(u64, u64, u64)>,
    /// Address, size and name of each function, by address.
    functions: Vec<(u64, u64, Rc<str>)>,
}

/// Where an address belongs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file's name, without directories; empty where nothing is mapped.
    pub module: String,
    /// The address as the file numbers it.
    pub address: u64,
    /// The function that holds it, when the file has a symbol for it. A part of a function that the compiler moved
    /// elsewhere counts as the function.
    pub function: Option<Rc<str>>,
}

impl Code {
    /// Of the process `pid`, which must be alive.
    pub fn of(pid: u32) -> Result<Self> {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).context("cannot read the process's mappings")?;
        let mappings = maps.lines().filter_map(mapping).collect();
        Ok(Self { mappings, files: RefCell::default() })
    }

    /// Where `address` belongs. For a return address, ask for the byte before it: it is in the call.
    #[must_use]
    pub fn place(&self, address: u64) -> Place {
        let found = self.mappings.iter().find(|mapping| (mapping.start..mapping.end).contains(&address));
        let Some(mapping) = found else { return Place { module: String::new(), address, function: None } };
        let module = mapping.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let file = self.file(&mapping.path);
        let in_file = address - mapping.start + mapping.offset;
        let address = file.address(in_file).unwrap_or(in_file);
        Place { module, address, function: file.function(address) }
    }

    /// A return address in words: its place, with the function that the call is in.
    #[must_use]
    pub fn describe(&self, address: u64) -> String {
        let function = self.place(address.saturating_sub(1)).function;
        Place { function, ..self.place(address) }.to_string()
    }

    fn file(&self, path: &Path) -> Rc<File> {
        let mut files = self.files.borrow_mut();
        // A file that cannot be read has no names: what is compared are addresses.
        let file = files.entry(path.to_owned()).or_insert_with(|| Rc::new(File::read(path).unwrap_or_default()));
        Rc::clone(file)
    }
}

/// `start-end rwxp offset device inode path`
fn mapping(line: &str) -> Option<Mapping> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let number = |word| u64::from_str_radix(word, 16).ok();
    let executable = words.next()?.contains('x');
    let offset = number(words.next()?)?;
    let path = PathBuf::from(words.nth(2)?);
    executable.then_some(Mapping { start: number(start)?, end: number(end)?, offset, path })
}

impl File {
    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path)?;
        let file = object::File::parse(&*bytes)?;
        let segment = |segment: object::Segment<'_, '_>| {
            let (offset, size) = segment.file_range();
            (offset, size, segment.address())
        };
        let symbols = file.symbols().chain(file.dynamic_symbols());
        let functions = symbols.filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition());
        let function = |symbol: object::Symbol<'_, '_>| {
            let name = symbol.name().ok()?;
            // A function's unlikely part, and copies for known arguments.
            let whole = name.split(".cold").next()?;
            Some((symbol.address(), symbol.size(), Rc::from(whole)))
        };
        let mut functions: Vec<_> = functions.filter_map(function).collect();
        functions.sort();
        Ok(Self { segments: file.segments().map(segment).collect(), functions })
    }

    fn address(&self, in_file: u64) -> Option<u64> {
        let (offset, _, address) =
            self.segments.iter().find(|(offset, size, _)| (*offset..offset + size).contains(&in_file))?;
        Some(in_file - offset + address)
    }

    fn function(&self, address: u64) -> Option<Rc<str>> {
        let behind = self.functions.partition_point(|function| function.0 <= address);
        let (start, size, name) = self.functions[..behind].last()?;
        (address < start + size).then(|| Rc::clone(name))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}+{:#x} {}", self.module, self.address, self.function.as_deref().unwrap_or("?"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn a_function_of_this_program() -> u64 {
        a_function_of_this_program as *const () as u64
    }

    #[test]
    fn an_address_of_this_program_is_in_the_function_that_it_was_taken_of() {
        let code = Code::of(std::process::id()).unwrap();
        let place = code.place(a_function_of_this_program());
        let function = place.function.clone().unwrap();
        assert!(function.contains("a_function_of_this_program"), "{place}");
    }

    #[test]
    fn an_address_where_nothing_is_mapped_has_no_module() {
        let code = Code::of(std::process::id()).unwrap();
        assert_eq!(code.place(16), Place { module: String::new(), address: 16, function: None });
    }
}
