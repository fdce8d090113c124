//! Programs that tests compile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiler options of the kinds of static programs.
pub(super) const STATIC: [&str; 2] = ["-static", "-static-pie"];

/// Uses all that the C library offers for memory, so that a static program holds it.
const SOURCE: &str = r"
#define _GNU_SOURCE
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
void *volatile sink[] = {
    malloc, calloc, realloc, reallocarray, memalign, aligned_alloc, posix_memalign, valloc, pvalloc, free,
    mmap, munmap, mremap, brk, sbrk,
};
int main(void) { return sink[0] == 0; }
";

/// Compiles a program that uses every function of the C library's interface.
pub(super) fn compile(directory: &Path, name: &str, options: &[&str]) -> PathBuf {
    let source = directory.join("source.c");
    fs::write(&source, SOURCE).unwrap();
    let program = directory.join(name);
    let status = Command::new("gcc").arg("-o").arg(&program).arg(&source).args(options).status().unwrap();
    assert!(status.success(), "gcc is needed for this test");
    program
}
