//! What is found in this machine's C library, in static programs, and in damaged files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;
use crate::allocator::elf::Elf;
use crate::allocator::functions::meaning;
use crate::allocator::test_programs::{STATIC, compile};

/// The C library that this test has mapped.
fn own_library() -> Found {
    let found = discover(std::process::id()).unwrap();
    found.into_iter().find(|found| found.display.ends_with("/libc.so.6")).unwrap()
}

/// The allocator of a file that has one.
fn only(found: Vec<Found>) -> Found {
    let [found] = <[Found; 1]>::try_from(found).unwrap_or_else(|found| panic!("{} allocators", found.len()));
    found
}

/// Offset of every function, by each of its names.
fn offsets(found: &Found) -> BTreeMap<String, u64> {
    let names =
        |f: &FoundFunction| [&f.name].into_iter().chain(&f.aliases).map(ToString::to_string).collect::<Vec<_>>();
    found.functions.iter().flat_map(|f| names(f).into_iter().map(|name| (name, f.file_offset))).collect()
}

/// What binutils says of the functions that heaptide looks for: address by name.
fn nm(options: &[&str], path: &Path) -> BTreeMap<String, u64> {
    let output = Command::new("nm").args(options).arg(path).output().unwrap();
    let lines = str::from_utf8(&output.stdout).unwrap().lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
    let defined = lines.filter(|l| l.len() == 3 && matches!(l[1], "T" | "W" | "t"));
    let named = defined.map(|l| (l[2].split('@').next().unwrap(), u64::from_str_radix(l[0], 16).unwrap()));
    named.filter(|(name, _)| meaning(name).is_some()).map(|(name, address)| (name.to_owned(), address)).collect()
}

/// Distance from an address to its place in the file, as binutils gives it for the executable segment.
fn code_bias(path: &Path) -> u64 {
    let output = Command::new("readelf").args(["-lW"]).arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.contains("LOAD") && line.contains("R E")).unwrap();
    let numbers: Vec<_> = line.split_whitespace().skip(1).take(2).collect();
    let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    hex(numbers[1]) - hex(numbers[0])
}

fn assert_as_nm(found: &Found, options: &[&str], path: &Path) {
    let bias = code_bias(path);
    let expected: BTreeMap<_, _> =
        nm(options, path).into_iter().map(|(name, address)| (name, address - bias)).collect();
    let actual = offsets(found);
    assert_eq!(actual, expected);
    for name in ["malloc", "calloc", "realloc", "free", "mmap", "munmap", "mremap", "brk", "sbrk"] {
        assert!(actual.contains_key(name), "{name} in {}", path.display());
    }
}

#[test]
fn offsets_in_the_c_library_are_those_of_nm() {
    let found = own_library();
    assert_eq!(found.family, Family::Glibc);
    assert_as_nm(&found, &["-D"], Path::new(&found.display));
    let identity = |path: &Path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).unwrap();
    assert_eq!(identity(&found.path_to_attach), identity(Path::new(&found.display)));
}

#[test]
fn offsets_in_a_static_program_are_those_of_nm() {
    let directory = tempfile::tempdir().unwrap();
    for kind in STATIC {
        let program = compile(directory.path(), kind, &[kind]);
        let found = only(discover_file(&program).unwrap());
        assert_eq!(found.family, Family::Glibc, "{kind}");
        assert_as_nm(&found, &[], &program);
    }
}

#[test]
fn functions_at_one_offset_are_one() {
    let found = own_library();
    let mut seen: Vec<_> = found.functions.iter().map(|function| function.file_offset).collect();
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count);
    let map = found.functions.iter().find(|function| &*function.name == "mmap").unwrap();
    assert_eq!((map.role, map.aliases.as_slice()), (Role::Map, ["mmap64".into()].as_slice()));
}

/// Every function of a file as binutils lists them: name, offset in the file, and size.
fn all_functions(options: &[&str], path: &Path) -> Vec<(String, u64, u64)> {
    let bias = code_bias(path);
    let output = Command::new("nm").args(options).arg("-S").arg(path).output().unwrap();
    let lines = str::from_utf8(&output.stdout).unwrap().lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
    let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let sized = lines.filter(|l| l.len() == 4 && matches!(l[2], "T" | "W" | "t" | "i"));
    sized.map(|l| (l[3].split('@').next().unwrap().to_owned(), hex(l[0]) - bias, hex(l[1]))).collect()
}

#[test]
fn a_function_is_as_long_as_its_symbol_says_and_its_room_ends_at_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile(directory.path(), "program", &["-static"]);
    let library = own_library();
    let library_path = Path::new(&library.display).to_owned();
    for (found, path, options) in
        [(library, library_path, ["-D"].as_slice()), (only(discover_file(&program).unwrap()), program, &[])]
    {
        let all = all_functions(options, &path);
        for function in &found.functions {
            let (_, _, size) =
                all.iter().find(|(name, at, _)| *name == *function.name && *at == function.file_offset).unwrap();
            assert_eq!(function.size, *size, "{} in {}", function.name, path.display());
            let end = function.file_offset + function.room;
            assert!(function.room >= function.size, "{} in {}", function.name, path.display());
            assert!(!all.iter().any(|(_, at, _)| (function.file_offset + 1..end).contains(at)), "{}", function.name);
            assert!(function.room < 0x10000, "{} has {:#x} bytes", function.name, function.room);
        }
    }
}

#[test]
fn the_path_to_attach_outlives_the_file_s_name() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile(directory.path(), "program", &["-static"]);
    let before = fs::read(&program).unwrap();
    let found = only(discover_file(&program).unwrap());
    fs::remove_file(&program).unwrap();
    assert_eq!(fs::read(&found.path_to_attach).unwrap(), before);
}

#[test]
fn a_program_without_an_allocator_of_its_own_has_none() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile(directory.path(), "dynamic", &[]);
    assert!(discover_file(&program).unwrap().is_empty());
    assert!(discover_file(Path::new("/lib64/ld-linux-x86-64.so.2")).unwrap().is_empty());
}

/// What is said of a static program without symbols while it runs, with `more` in its source.
fn said_of_a_stripped_program(more: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("wait.c");
    // It says when it runs: right after exec a process has nothing mapped yet.
    let main = "#include <unistd.h>\nint main(void) { char c; return write(1, \"r\", 1) + read(0, &c, 1); }\n";
    fs::write(&source, format!("{main}{more}")).unwrap();
    let program = directory.path().join("stripped");
    let compiled = Command::new("gcc").args(["-static", "-s", "-o"]).args([&program, &source]).status().unwrap();
    assert!(compiled.success());
    let mut child = Command::new(&program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let error = discover(child.id()).unwrap_err();
    drop(child.stdin.take());
    child.wait().unwrap();
    error.to_string()
}

#[test]
fn a_static_program_in_go_is_told_what_is_not_seen_of_it() {
    let info = "__attribute__((section(\".go.buildinfo\"), used)) static const char info[] = \"Go\";";
    let text = said_of_a_stripped_program(info);
    assert!(text.contains("/stripped is a program in Go: Go's own heap is not seen"), "{text}");
}

#[test]
fn a_stripped_static_program_is_named_with_what_to_do() {
    let text = said_of_a_stripped_program("");
    assert!(text.starts_with("no allocator found: none of these files defines an allocator's functions: "), "{text}");
    assert!(text.contains("/stripped") && text.contains("not stripped"), "{text}");
}

#[test]
fn a_process_that_is_gone_is_an_error() {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    assert!(matches!(discover(child.id()), Err(DiscoverError::Mappings { .. })));
}

fn examine_bytes(bytes: &[u8]) -> Result<Vec<Found>, ElfError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Elf::read(&file)?.dynamic()?;
    Elf::read(&file)?.interpreter()?;
    examine(file, Path::new("bytes")).map(|examined| examined.found)
}

#[test]
fn a_truncated_file_is_an_error_at_every_length() {
    let library = fs::read(own_library().path_to_attach).unwrap();
    for length in (0..600).chain((600..library.len()).step_by(50_021)) {
        // The section headers come last, so every cut loses some of them.
        assert!(examine_bytes(&library[..length]).is_err(), "{length} bytes");
    }
    assert!(!examine_bytes(&library).unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_examined_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        prop_assert!(examine_bytes(&bytes).is_err());
    }

    /// Offsets that come out of a damaged file are still offsets in that file.
    #[test]
    fn a_damaged_file_gives_an_error_or_offsets_within_it(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 1..8),
    ) {
        let mut bytes = fs::read(own_library().path_to_attach).unwrap();
        // The headers decide most: the file's and the segments' at the begin, the sections' at the end.
        let tail = bytes.len() - 64 * 64;
        let places: Vec<_> = (0..0x340).chain(tail..bytes.len() - 8).collect();
        for (place, value) in damage {
            let at = *place.get(&places);
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        if let Ok(found) = examine_bytes(&bytes) {
            for function in found.iter().flat_map(|found| &found.functions) {
                let rest = (bytes.len() as u64).checked_sub(function.file_offset);
                prop_assert!(rest.is_some_and(|rest| (1..=rest).contains(&function.room) && function.size <= rest));
            }
        }
    }
}

#[test]
fn a_local_function_of_a_dynamic_program_is_no_allocator() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("local.c");
    let text = "static void *malloc_(int n) { return (void *)(long)n; }\n\
                int main(int n, char **v) { return malloc_(n) == (void *)v; }\n";
    fs::write(&source, text.replace("malloc_", "malloc") + "__attribute__((used)) static void free(void *p) { }\n")
        .unwrap();
    let program = directory.path().join("local");
    let options = ["-w", "-fno-builtin", "-O0", "-o"];
    assert!(Command::new("gcc").args(options).args([&program, &source]).status().unwrap().success());
    assert!(nm(&[], &program).contains_key("free"));
    assert!(discover_file(&program).unwrap().is_empty());
}
