//! Which files a program will map, told before it runs: its loader is not asked, since that would run it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::elf::{Elf, ElfError};
use super::loader::{Cache, directories};
use super::mapped::open_regular;
use super::program::interpreters;
use crate::process::target::printable;

/// Most files that one program may need; the largest desktop programs need some hundreds.
const MAX_FILES: usize = 1024;

/// Why the files of a program are not known.
#[derive(Debug, thiserror::Error)]
pub enum LibrariesError {
    /// The program, or its interpreter, could not be opened.
    #[error("cannot open {}", printable(&path.to_string_lossy()))]
    Open {
        /// The program.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The program could not be read as an ELF file.
    #[error("cannot read {}", printable(&path.to_string_lossy()))]
    Elf {
        /// The program.
        path: PathBuf,
        /// What is wrong with it.
        source: ElfError,
    },
}

/// The files that `program` will map as code when it is run with heaptide's own environment: itself, its loader, and
/// the libraries that it needs, directly or not. A static program is its own only file; for a script the files are
/// those of its interpreter.
///
/// Libraries that a program opens later (`dlopen`) cannot be told from its files. A library that is not found is left
/// out and logged.
pub fn program_libraries(program: &Path) -> Result<Vec<PathBuf>, LibrariesError> {
    let search_path = env::var_os("PATH");
    let programs = interpreters(program, search_path.as_deref())
        .map_err(|source| LibrariesError::Open { path: program.to_owned(), source })?;
    let mut search = Search::from_environment();
    for program in programs {
        search.add_program(&program)?;
    }
    Ok(search.files)
}

/// The files found so far, and where to look for more.
struct Search {
    cache: Cache,
    library_path: Vec<PathBuf>,
    preloaded: Vec<OsString>,
    /// Whether the program's loader is musl's, which is its C library as well, and knows no cache.
    is_musl: bool,
    files: Vec<PathBuf>,
}

impl Search {
    fn from_environment() -> Self {
        let preloaded = env::var_os("LD_PRELOAD").unwrap_or_default();
        let names = preloaded.as_bytes().split(|byte| matches!(byte, b' ' | b':')).filter(|name| !name.is_empty());
        Self {
            cache: Cache::read(),
            library_path: env::var_os("LD_LIBRARY_PATH")
                .map_or_else(Vec::new, |list| env::split_paths(&list).collect()),
            preloaded: names.map(|name| OsString::from_vec(name.to_vec())).collect(),
            is_musl: false,
            files: Vec::new(),
        }
    }

    fn add_program(&mut self, program: &Path) -> Result<(), LibrariesError> {
        let file = open_regular(program).map_err(|source| LibrariesError::Open { path: program.to_owned(), source })?;
        let mut next = self.files.len();
        self.add(program.to_owned());
        let loader = Elf::read(&file).and_then(|elf| elf.interpreter());
        let loader = loader.map_err(|source| LibrariesError::Elf { path: program.to_owned(), source })?;
        let Some(loader) = loader else { return Ok(()) };
        self.is_musl = is_musl(&loader);
        self.add(PathBuf::from(loader));
        for name in self.preloaded.clone() {
            self.add_library(&name, &[]);
        }
        // Breadth first, as the loader does it; the list of files is the queue.
        while let Some(path) = self.files.get(next).cloned() {
            next += 1;
            if let Err(error) =
                open_regular(&path).map_err(ElfError::from).and_then(|file| self.add_needed(&path, &file))
            {
                log::info!("libraries of {}: {error}", printable(&path.to_string_lossy()));
            }
        }
        Ok(())
    }

    fn add_needed(&mut self, path: &Path, file: &File) -> Result<(), ElfError> {
        let dynamic = Elf::read(file)?.dynamic()?;
        let origin = path.parent().unwrap_or(Path::new("/"));
        let own: Vec<_> = dynamic.search.iter().flat_map(|list| directories(list, origin)).collect();
        for name in &dynamic.needed {
            self.add_library(name, &own);
        }
        Ok(())
    }

    fn add_library(&mut self, name: &OsString, own_directories: &[PathBuf]) {
        if name.as_bytes().contains(&b'/') {
            self.add(PathBuf::from(name));
            return;
        }
        let first = self.library_path.iter().chain(own_directories).map(|directory| directory.join(name));
        let found: Vec<PathBuf> = match first.into_iter().find(|path| path.is_file()) {
            Some(path) => vec![path],
            None if self.is_musl && is_musl_library(name) => return,
            None if self.is_musl => musl_library(name).into_iter().collect(),
            None => self.cache.find(name),
        };
        if found.is_empty() {
            log::info!("library {} was not found", printable(&name.to_string_lossy()));
        }
        for path in found {
            self.add(path);
        }
    }

    fn add(&mut self, path: PathBuf) {
        // A file can be reached by several paths (/lib is often /usr/lib); the first one is kept.
        let known = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let canonical = known(&path);
        if self.files.len() < MAX_FILES && !self.files.iter().any(|file| known(file) == canonical) {
            self.files.push(path);
        }
    }
}

/// Where musl's loader looks, unless its own file says otherwise.
const MUSL_FOLDERS: [&str; 4] = ["/lib", "/usr/local/lib", "/usr/lib", "/usr/lib/x86_64-linux-musl"];

fn is_musl(loader: &OsStr) -> bool {
    Path::new(loader).file_name().is_some_and(|name| name.as_bytes().starts_with(b"ld-musl-"))
}

/// Whether programs mean musl's loader by a library's name: the file of that name, if there is one, is another C library's.
fn is_musl_library(name: &OsStr) -> bool {
    name == "libc.so" || name.as_bytes().starts_with(b"libc.musl-")
}

fn musl_library(name: &OsStr) -> Option<PathBuf> {
    MUSL_FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::allocator::discover_file;
    use crate::allocator::test_programs::{STATIC, compile};

    #[test]
    fn a_dynamic_program_will_map_the_c_library() {
        let directory = tempfile::tempdir().unwrap();
        let program = compile(directory.path(), "dynamic", &[]);
        let files = program_libraries(&program).unwrap();
        assert_eq!(files[0], program);
        let allocators: Vec<_> = files.iter().filter(|file| !discover_file(file).unwrap().is_empty()).collect();
        assert_eq!(allocators.len(), 1, "{files:?}");
        assert!(allocators[0].ends_with("libc.so.6"));
    }

    #[test]
    fn a_static_program_is_its_only_file() {
        let directory = tempfile::tempdir().unwrap();
        for kind in STATIC {
            let program = compile(directory.path(), kind, &[kind]);
            assert_eq!(program_libraries(&program).unwrap(), [program]);
        }
    }

    #[test]
    fn a_script_will_map_the_files_of_its_interpreter() {
        let directory = tempfile::tempdir().unwrap();
        let program = compile(directory.path(), "-static", &["-static"]);
        let script = directory.path().join("script");
        fs::write(&script, format!("#!{} -x\n", program.display())).unwrap();
        assert_eq!(program_libraries(&script).unwrap(), [program]);
    }

    #[test]
    fn a_library_next_to_the_program_is_found_by_its_runpath() {
        let directory = tempfile::tempdir().unwrap();
        let library = directory.path().join("libnear.so");
        compile(directory.path(), "libnear.so", &["-shared", "-fPIC", "-Wl,-soname,libnear.so"]);
        let library_path = library.to_str().unwrap();
        let program = compile(directory.path(), "program", &["-Wl,--no-as-needed", library_path, "-Wl,-rpath,$ORIGIN"]);
        assert!(program_libraries(&program).unwrap().contains(&library));
    }

    #[test]
    fn what_is_no_program_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("text");
        fs::write(&path, "neither ELF nor script, and longer than any ELF file's header is, to be sure\n").unwrap();
        assert!(matches!(program_libraries(&path), Err(LibrariesError::Elf { source: ElfError::NotElf, .. })));
        let missing = directory.path().join("missing");
        assert!(matches!(program_libraries(&missing), Err(LibrariesError::Open { .. })));
    }
}
