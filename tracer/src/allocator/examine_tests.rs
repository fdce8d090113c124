//! What is found in real allocators' libraries, and in programs that hold one.

use std::fs;
use std::io::Write;
use std::process::Command;

use super::*;
use crate::allocator::discover_file;

const LIBRARIES: &str =
    if cfg!(target_arch = "aarch64") { "/usr/lib/aarch64-linux-gnu" } else { "/usr/lib/x86_64-linux-gnu" };

/// The only allocator in a file.
fn only(path: &Path) -> Found {
    let found = discover_file(path).unwrap();
    let [found] = <[Found; 1]>::try_from(found)
        .unwrap_or_else(|found| panic!("{} has {} allocators (is it installed?)", path.display(), found.len()));
    found
}

fn in_library(name: &str) -> Found {
    only(&Path::new(LIBRARIES).join(name))
}

/// The function that has a name.
fn named<'a>(found: &'a Found, name: &str) -> &'a FoundFunction {
    let mut functions = found.functions.iter().filter(|function| function.names().any(|known| known == name));
    let function = functions.next().unwrap_or_else(|| panic!("no {name} in {}", found.display));
    assert!(functions.next().is_none(), "two functions are {name}");
    function
}

fn has(found: &Found, name: &str) -> bool {
    found.functions.iter().any(|function| function.names().any(|known| known == name))
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

fn compile(directory: &Path, name: &str, compiler: &str, options: &[&str], text: &str) -> PathBuf {
    let extension = match compiler {
        "rustc" => "rs",
        "g++" => "cpp",
        _ => "c",
    };
    let (source, program) = (directory.join("source").with_extension(extension), directory.join(name));
    fs::write(&source, text).unwrap();
    run(Command::new(compiler).args(options).arg("-o").arg(&program).arg(&source));
    program
}

#[test]
fn jemalloc_is_found_with_its_own_functions_and_operators() {
    let found = in_library("libjemalloc.so.2");
    assert_eq!(found.family, Family::Jemalloc);
    for name in ["malloc", "calloc", "realloc", "posix_memalign", "mallocx", "rallocx", "dallocx", "sdallocx", "_Znwm"]
    {
        named(&found, name);
    }
    // They jump to `free`; the one with a size does not.
    assert_eq!(named(&found, "_ZdlPv").file_offset, named(&found, "free").file_offset);
    assert_ne!(named(&found, "_ZdlPvm").file_offset, named(&found, "free").file_offset);
    // It calls `aligned_alloc`, which is seen.
    assert!(!has(&found, "_ZnwmSt11align_val_t") && !has(&found, "xallocx"));
}

#[test]
fn tcmalloc_s_functions_are_found_under_all_their_names() {
    let found = in_library("libtcmalloc_minimal.so.4");
    assert_eq!(found.family, Family::Tcmalloc);
    let free = named(&found, "free");
    for name in ["tc_free", "tc_delete", "_ZdlPv", "_ZdaPv", "cfree"] {
        assert_eq!(named(&found, name), free, "{name}");
    }
    for (name, alias) in [("malloc", "tc_malloc"), ("tc_new", "_Znwm"), ("tc_free_sized", "_ZdlPvm")] {
        assert_eq!(named(&found, name), named(&found, alias));
    }
    assert_eq!(&*free.name, "free");
}

#[test]
fn mimalloc_s_detours_are_one_function_with_what_they_lead_to() {
    let found = in_library("libmimalloc.so.2.0");
    assert_eq!(found.family, Family::Mimalloc);
    let releases: Vec<_> = found.functions.iter().filter(|function| function.role == Role::Release).collect();
    assert_eq!(releases.len(), 1, "a block that is freed is told of once: {releases:?}");
    for name in ["free", "mi_free", "mi_free_size", "mi_free_size_aligned", "_ZdlPvmSt11align_val_t", "vfree"] {
        named(&found, name);
    }
    for name in ["mi_zalloc", "mi_heap_malloc", "mi_realloc_aligned_at", "mi_new", "mi_expand"] {
        named(&found, name);
    }
    // Seen as `realloc` and, when that fails, `free`.
    assert!(!has(&found, "mi_reallocf") && !has(&found, "reallocf"));
}

#[test]
fn functions_that_may_throw_are_told_with_all_the_places_where_they_return() {
    for (library, operator) in [
        ("libjemalloc.so.2", "_Znwm"),
        ("libtcmalloc_minimal.so.4", "_Znwm"),
        ("libtcmalloc_minimal.so.4", "_ZnwmSt11align_val_t"),
        ("libmimalloc.so.2.0", "_Znwm"),
    ] {
        let found = in_library(library);
        let begin = named(&found, operator).file_offset;
        let bytes = fs::read(&found.path_to_attach).unwrap();
        let (_, returns) = found.throwing.iter().find(|(at, _)| *at == begin).unwrap();
        assert!(!returns.is_empty(), "{operator} in {library}");
        assert!(returns.iter().all(|&at| bytes[at as usize] == 0xc3), "{operator} in {library}: {returns:x?}");
        let malloc = named(&found, "malloc").file_offset;
        assert!(!found.throwing.iter().any(|(at, _)| *at == malloc), "malloc does not throw");
    }
}

#[test]
fn operators_that_call_malloc_are_no_allocator() {
    let output = Command::new("g++").arg("-print-file-name=libstdc++.so.6").output().unwrap();
    let path = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    assert!(discover_file(&path).unwrap().is_empty());
}

#[test]
fn operators_with_a_pool_of_their_own_are_one() {
    let directory = tempfile::tempdir().unwrap();
    let text = r"
        #include <cstddef>
        #include <new>
        using std::size_t;
        static char pool[1 << 20];
        static size_t used;
        void *operator new(size_t size) {
            if (size > sizeof pool - used) throw std::bad_alloc();
            char *block = pool + used;
            used += (size + 15) & ~size_t(15);
            return block;
        }
        void operator delete(void *) noexcept {}
        void operator delete(void *block, size_t) noexcept { operator delete(block); }
        int main() { delete new int(1); }";
    for level in ["-O0", "-O2"] {
        let found = only(&compile(directory.path(), "pool", "g++", &[level, "-w"], text));
        assert_eq!(found.family, Family::Cpp, "{level}");
        named(&found, "_Znwm");
        named(&found, "_ZdlPv");
    }
}

#[test]
fn rust_s_allocator_is_one_only_when_it_is_not_the_c_library_s() {
    let directory = tempfile::tempdir().unwrap();
    let main = "fn main() { drop(vec![0_u8; std::env::args().count()]); }";
    let allocator = |alloc: &str, dealloc: &str| {
        format!(
            "use std::alloc::*; struct Own;
            unsafe impl GlobalAlloc for Own {{
                unsafe fn alloc(&self, layout: Layout) -> *mut u8 {{ unsafe {{ {alloc} }} }}
                unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {{ unsafe {{ {dealloc} }} }}
            }}
            #[global_allocator] static OWN: Own = Own; {main}"
        )
    };
    let wraps = allocator("System.alloc(layout)", "System.dealloc(block, layout)");
    let pool = "static mut POOL: [u128; 65536] = [0; 65536]; static mut USED: usize = 0;
        let at = USED; USED += layout.size().div_ceil(16); (&raw mut POOL[at]).cast()";
    let own = allocator(pool, "std::hint::black_box((block, layout));");
    for level in ["0", "2"] {
        let options = ["--edition=2024", "-Awarnings", &format!("-Copt-level={level}")];
        let compile = |name, text: &str| compile(directory.path(), name, "rustc", &options, text);
        for (name, text) in [("plain", main), ("wraps", &wraps)] {
            let found = discover_file(&compile(name, text)).unwrap();
            assert!(found.is_empty(), "{name}, level {level}: {found:?}");
        }
        let found = only(&compile("own", &own));
        assert_eq!(found.family, Family::Rust);
        for name in ["__rust_alloc", "__rust_realloc", "__rust_dealloc", "__rust_alloc_zeroed"] {
            named(&found, name);
        }
    }
}

/// A program with glibc linked in, and functions of jemalloc's names, which stand in for it.
const TWO_FAMILIES: &str = r#"
    #include <stdlib.h>
    static char pool[4096];
    __attribute__((noinline, visibility("hidden"))) void *_rjem_malloc(size_t size) { return pool + size; }
    __attribute__((noinline, visibility("hidden"))) void _rjem_free(void *block) { *(volatile char *)block = 1; }
    int main(int argc, char **argv) { _rjem_free(_rjem_malloc(argc)); free(malloc(argc)); return 0; }"#;

#[test]
fn one_file_can_hold_two_families() {
    let directory = tempfile::tempdir().unwrap();
    let compile = |options: &[&str]| compile(directory.path(), "two", "gcc", options, TWO_FAMILIES);
    let families = |path: &Path| discover_file(path).unwrap().iter().map(|found| found.family).collect::<Vec<_>>();
    assert_eq!(families(&compile(&["-O1", "-static"])), [Family::Glibc, Family::Jemalloc]);
    // Next to a C library of its own it is the only one, though its functions are hidden.
    assert_eq!(families(&compile(&["-O1"])), [Family::Jemalloc]);
}

#[test]
fn musl_is_found_in_static_programs_and_as_a_library() {
    let directory = tempfile::tempdir().unwrap();
    let text = "#include <stdlib.h>\n#include <sys/mman.h>\nvoid *volatile sink[] = {malloc, calloc, realloc, free, mmap};\n\
                int main(void) { return sink[0] == 0; }\n";
    let found = only(&compile(directory.path(), "musl", "musl-gcc", &["-static"], text));
    assert_eq!(found.family, Family::Musl);
    for name in ["malloc", "calloc", "realloc", "free", "mmap"] {
        named(&found, name);
    }
    // `free` is a jump to it.
    assert_eq!(&*named(&found, "__libc_free").name, "free");
    let loader = Path::new("/lib/ld-musl-x86_64.so.1");
    assert_eq!(only(loader).family, Family::Musl);
    assert!(function(&File::open(loader).unwrap(), "_dl_debug_state", Role::Libraries).unwrap().is_some());
}

/// A static program, and a file with its debug information.
fn stripped(directory: &Path) -> (PathBuf, PathBuf) {
    let program = compile(
        directory,
        "program",
        "gcc",
        &["-static"],
        "#include <stdlib.h>\nint main(int c, char **v) { free(malloc(c)); return 0; }",
    );
    let debug = directory.join("program.debug");
    run(Command::new("objcopy").arg("--only-keep-debug").args([&program, &debug]));
    run(Command::new("strip").arg(&program));
    assert!(discover_file(&program).unwrap().is_empty());
    (program, debug)
}

#[test]
fn a_stripped_program_s_functions_are_found_by_its_debug_file() {
    let directory = tempfile::tempdir().unwrap();
    let (program, debug) = stripped(directory.path());
    run(Command::new("objcopy").arg(format!("--add-gnu-debuglink={}", debug.display())).arg(&program));
    let found = only(&program);
    assert_eq!(found.family, Family::Glibc);
    named(&found, "malloc");
}

#[test]
fn a_stripped_program_s_functions_are_found_by_its_small_table() {
    let directory = tempfile::tempdir().unwrap();
    let (program, debug) = stripped(directory.path());
    run(Command::new("strip").args(["--strip-debug", "--remove-section=.comment"]).arg(&debug));
    let packed = directory.path().join("packed");
    let mut packing = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    packing.write_all(&fs::read(&debug).unwrap()).unwrap();
    fs::write(&packed, packing.finish().unwrap()).unwrap();
    run(Command::new("objcopy").arg(format!("--add-section=.gnu_debugdata={}", packed.display())).arg(&program));
    fs::remove_file(&debug).unwrap();
    named(&only(&program), "malloc");
}

#[test]
fn nothing_is_looked_for_in_a_program_in_go() {
    let directory = tempfile::tempdir().unwrap();
    let text = "#include <stdlib.h>\n__attribute__((section(\".go.buildinfo\"), used)) static const char info[] = \"Go\";\n\
                int main(int c, char **v) { free(malloc(c)); return 0; }";
    let program = compile(directory.path(), "go", "gcc", &["-static"], text);
    let examined = examine(File::open(&program).unwrap(), &program).unwrap();
    assert!(examined.is_go && examined.found.is_empty());
}
