//! Functions that lead to others on every way, and some that do not.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use super::*;

/// Compiles `text` as a library; gives its file.
fn library(directory: &std::path::Path, text: &str) -> PathBuf {
    let (source, library) = (directory.join("source.c"), directory.join("library.so"));
    std::fs::write(&source, format!("#include <stdlib.h>\n{text}")).unwrap();
    let options = ["-O1", "-w", "-fno-builtin", "-shared", "-fPIC", "-o"];
    let compiled = Command::new("gcc").args(options).args([&library, &source]).status().unwrap();
    assert!(compiled.success(), "gcc is needed for this test");
    library
}

/// Whether the function `tested` of such a library always leads to `free`.
fn always_frees(text: &str) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let file = File::open(library(directory.path(), text)).unwrap();
    let elf = Elf::read(&file).unwrap();
    let tables = elf.symbol_tables().unwrap();
    let symbol = tables.iter().find_map(|table| table.symbols(|name| name == "tested").next()).unwrap();
    let calls = Calls::read(&elf, &tables);
    let is_known = |target: &Target| match target {
        Target::Named(name) => meaning(name).and_then(|meaning| meaning.role.kind()) == Some(Kind::Releases),
        Target::Here(_) => false,
    };
    calls.always_calls(symbol.address, symbol.address + symbol.size, &is_known)
}

#[test]
fn what_frees_on_every_way_always_frees() {
    assert!(always_frees("void tested(void *p) { free(p); }"));
    assert!(always_frees("void tested(void *p) { if (p) free(p); }"));
    assert!(always_frees("int n; void tested(void *p) { if (n++) { free(p); } else { n *= 3; free(p); } }"));
    assert!(always_frees(
        "__attribute__((noinline)) static void f(void *p) { free(p); } void tested(void *p) { f(p); }"
    ));
    assert!(always_frees("void tested(void *p) { if ((long)p & 1) abort(); free(p); }"));
    assert!(always_frees("int n; void tested(void *p) { for (int i = 0; i < n; i++) n *= i; free(p); }"));
}

#[test]
fn what_has_a_way_past_free_does_not_always_free() {
    assert!(!always_frees("void tested(void *p) { }"));
    assert!(!always_frees("int n; void tested(void *p) { if (n++) free(p); }"));
    assert!(!always_frees("void *last; void tested(void *p) { if (p == last) { last = 0; return; } free(p); }"));
    assert!(!always_frees("void (*f)(void *); void tested(void *p) { f(p); }"));
    assert!(!always_frees("void tested(void *p) { malloc(1); abort(); }"));
    assert!(!always_frees("void tested(void *p) { for (;;) ; }"));
    assert!(!always_frees("void tested(void *p) { tested(p); malloc(1); }"));
}

/// How many instructions the function `tested` of such a library returns by; `None` when that is not known.
fn returns(text: &str) -> Option<usize> {
    let directory = tempfile::tempdir().unwrap();
    let file = File::open(library(directory.path(), text)).unwrap();
    let elf = Elf::read(&file).unwrap();
    let tables = elf.symbol_tables().unwrap();
    let symbol = tables.iter().find_map(|table| table.symbols(|name| name == "tested").next()).unwrap();
    let calls = Calls::read(&elf, &tables);
    calls.returns(symbol.address, symbol.address + symbol.size).map(|returns| returns.len())
}

#[test]
fn where_a_function_returns_is_known_or_said_not_to_be() {
    assert_eq!(returns("int tested(int n) { return n + 1; }"), Some(1));
    assert_eq!(returns("void tested(int n) { abort(); }"), Some(0));
    // Not by this one's own code: a jump to a function whose return is seen, and one to somebody unknown.
    let jump = "__attribute__((optimize(\"O2\")))";
    assert_eq!(returns(&format!("{jump} void *tested(size_t n) {{ return malloc(n); }}")), Some(0));
    assert_eq!(returns(&format!("{jump} char *tested(char *n) {{ return getenv(n); }}")), None);
    assert_eq!(returns(&format!("int (*f)(int); {jump} int tested(int n) {{ return f(n); }}")), None);
    let helper = "__attribute__((noinline)) int helper(int n) { return n > 9 ? n * n : n / 3; }";
    assert_eq!(
        returns(&format!("{helper} {jump} int tested(int n) {{ return helper(n); }}")).map(|n| n > 0),
        Some(true)
    );
}

#[test]
fn any_bytes_of_code_are_followed_to_an_end() {
    // Not a library's own code: every place of the text of one, as if a function began there.
    let file = File::open("/proc/self/exe").unwrap();
    let elf = Elf::read(&file).unwrap();
    let calls = Calls::read(&elf, &[]);
    let begin = any_bytes_of_code_are_followed_to_an_end as fn() as usize as u64;
    for address in (begin & 0xf_ffff)..(begin & 0xf_ffff) + 200 {
        calls.always_calls(address, u64::MAX, &|_| false);
        calls.jump(address);
        calls.returns(address, u64::MAX);
    }
}
