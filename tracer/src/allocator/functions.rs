//! Names of allocators' functions, and what a call of each means.

use std::sync::LazyLock;

use heaptide_common::Signature;
use heaptide_common::signature::Argument;
use rustc_hash::FxHashMap;

use super::family::{Family, Role};

/// Whose a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The C library's interface, which any allocator may take over.
    C,
    /// C++'s `operator new` and `operator delete`, likewise.
    Cpp,
    /// What only one allocator calls so.
    Own(Family),
}

/// What a function's name tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    /// The name to show.
    pub(super) name: &'static str,
    /// Whose it is.
    pub(super) origin: Origin,
    /// What a call of it means.
    pub(super) role: Role,
    /// Whether most functions of this name only call one of another name.
    pub(super) is_wrapper: bool,
    /// Its place in the order in which functions are listed.
    pub(super) rank: usize,
}

impl Meaning {
    /// Whether a function of this name that is visible in its file alone is what its name says. Programs that need
    /// libraries have functions of their own that are called `malloc`, and nobody means those.
    pub(super) fn holds_for_local(self) -> bool {
        self.origin != Origin::C
    }
}

/// What a function called `name` does; `None` when it is no allocator's.
pub(super) fn meaning(name: &str) -> Option<Meaning> {
    // Asked for millions of names: most can be told from their first letters.
    let name = rust_name(name).unwrap_or(name);
    if let Some(meaning) = BY_NAME.get(name) {
        return Some(*meaning);
    }
    let prefixed = |(prefix, family): &(&str, Family)| Some((name.strip_prefix(prefix)?, *family));
    PREFIXES.iter().filter_map(prefixed).find_map(|(rest, family)| {
        let found = BY_NAME.get(rest)?;
        let is_its = found.origin == Origin::C && found.role.kind().is_some() || found.origin == Origin::Own(family);
        is_its.then_some(Meaning { origin: Origin::Own(family), ..*found })
    })
}

/// Functions that throw an exception when they fail, or may do so as they were built.
const THROWING: [&str; 13] = [
    "_Znwm",
    "_Znam",
    "_ZnwmSt11align_val_t",
    "_ZnamSt11align_val_t",
    "tc_new",
    "tc_newarray",
    "tc_new_aligned",
    "tc_newarray_aligned",
    "mi_new",
    "mi_new_aligned",
    "mi_new_n",
    "mi_heap_alloc_new",
    "mi_heap_alloc_new_n",
];

/// Whether an exception may leave a function called `name`.
pub(super) fn may_throw(name: &str) -> bool {
    THROWING.contains(&name)
}

/// What allocators put before the names of the C library's interface and of their own, longest first.
const PREFIXES: [(&str, Family); 4] = [
    ("_rjem_je_", Family::Jemalloc),
    ("_rjem_", Family::Jemalloc),
    ("je_", Family::Jemalloc),
    ("sn_", Family::Snmalloc),
];

/// The plain name of a function of Rust's allocator interface: newer compilers make it `_RNvCs<hash>_7___rustc` with a
/// length and the name.
fn rust_name(name: &str) -> Option<&str> {
    let (_, rest) = name.strip_prefix("_RNvCs")?.split_once("_7___rustc")?;
    // Names that begin with an underscore or a digit have one more between them and their length.
    let (length, plain) = rest.split_at_checked(rest.find('_')?)?;
    let plain = plain.strip_prefix('_')?;
    (length.parse() == Ok(plain.len())).then_some(plain)
}

/// The argument number `index`. Evaluated by the compiler alone, which refuses a number that does not exist.
const fn argument(index: u8) -> Argument {
    match Argument::new(index) {
        Some(argument) => argument,
        None => unreachable!(),
    }
}

/// Hands out a block of so many bytes.
const fn gives(size: u8) -> Role {
    Role::Allocate(Signature { size: argument(size), count: None, old: None, out: None })
}

/// Hands out a block for so many things of a size.
const fn gives_many(count: u8, size: u8) -> Role {
    Role::Allocate(Signature { size: argument(size), count: Some(argument(count)), old: None, out: None })
}

/// Stores where the block is that it hands out.
const fn stores(out: u8, size: u8) -> Role {
    Role::Allocate(Signature { size: argument(size), count: None, old: None, out: Some(argument(out)) })
}

/// Resizes a block.
const fn resizes(old: u8, size: u8) -> Role {
    Role::Allocate(Signature { size: argument(size), count: None, old: Some(argument(old)), out: None })
}

/// Resizes a block to hold so many things of a size.
const fn resizes_many(old: u8, count: u8, size: u8) -> Role {
    Role::Allocate(Signature {
        size: argument(size),
        count: Some(argument(count)),
        old: Some(argument(old)),
        out: None,
    })
}

use Role::{Break, BreakBy, Map, Release, Remap, Unmap};

/// A table of functions of one origin, and whether they are wrappers.
type Table = (Origin, bool, &'static [(&'static str, Role)]);

static BY_NAME: LazyLock<FxHashMap<&'static str, Meaning>> = LazyLock::new(|| {
    let rows =
        TABLES.iter().flat_map(|&(origin, is_wrapper, rows)| rows.iter().map(move |row| (origin, is_wrapper, row)));
    let meanings = rows
        .enumerate()
        .map(|(rank, (origin, is_wrapper, &(name, role)))| (name, Meaning { name, origin, role, is_wrapper, rank }));
    meanings.collect()
});

const TABLES: [Table; 10] = [
    (Origin::C, false, C),
    (Origin::C, true, C_WRAPPERS),
    (Origin::Own(Family::Jemalloc), false, JEMALLOC),
    (Origin::Own(Family::Tcmalloc), false, TCMALLOC),
    (Origin::Own(Family::Mimalloc), false, MIMALLOC),
    (Origin::Own(Family::Mimalloc), true, MIMALLOC_WRAPPERS),
    (Origin::Own(Family::Snmalloc), false, SNMALLOC),
    (Origin::Own(Family::Rpmalloc), false, RPMALLOC),
    (Origin::Cpp, true, CPP),
    (Origin::Own(Family::Rust), true, RUST),
];

/// What the C standards, POSIX and the C libraries define: blocks, and the memory beneath them. The names with
/// underscores are what C libraries themselves call.
const C: &[(&str, Role)] = &[
    ("malloc", gives(0)),
    ("calloc", gives_many(0, 1)),
    ("realloc", resizes(0, 1)),
    ("reallocarray", resizes_many(0, 1, 2)),
    ("memalign", gives(1)),
    ("aligned_alloc", gives(1)),
    ("posix_memalign", stores(0, 2)),
    ("valloc", gives(0)),
    ("pvalloc", gives(0)),
    ("free", Release),
    ("cfree", Release),
    ("vfree", Release),
    ("free_sized", Release),
    ("free_aligned_sized", Release),
    ("__libc_malloc", gives(0)),
    ("__libc_calloc", gives_many(0, 1)),
    ("__libc_realloc", resizes(0, 1)),
    ("__libc_reallocarray", resizes_many(0, 1, 2)),
    ("__libc_memalign", gives(1)),
    ("__posix_memalign", stores(0, 2)),
    ("__libc_valloc", gives(0)),
    ("__libc_pvalloc", gives(0)),
    ("__libc_free", Release),
    ("__libc_cfree", Release),
    ("mmap", Map),
    ("mmap64", Map),
    ("munmap", Unmap),
    ("mremap", Remap),
    ("brk", Break),
    ("sbrk", BreakBy),
];

/// A failed call frees the block. Seen as a call of `realloc` and one of `free` it is told rightly; by itself it would
/// look as if the block were still there.
const C_WRAPPERS: &[(&str, Role)] = &[("reallocf", resizes(0, 1))];

/// `xallocx` is left out: it resizes a block in place and returns its size, whether that has changed or not. The block
/// keeps the size that was asked for first.
const JEMALLOC: &[(&str, Role)] =
    &[("mallocx", gives(0)), ("rallocx", resizes(0, 1)), ("dallocx", Release), ("sdallocx", Release)];

const TCMALLOC: &[(&str, Role)] = &[
    ("tc_malloc", gives(0)),
    ("tc_malloc_skip_new_handler", gives(0)),
    ("tc_calloc", gives_many(0, 1)),
    ("tc_realloc", resizes(0, 1)),
    ("tc_memalign", gives(1)),
    ("tc_posix_memalign", stores(0, 2)),
    ("tc_valloc", gives(0)),
    ("tc_pvalloc", gives(0)),
    ("tc_new", gives(0)),
    ("tc_new_nothrow", gives(0)),
    ("tc_new_aligned", gives(0)),
    ("tc_new_aligned_nothrow", gives(0)),
    ("tc_newarray", gives(0)),
    ("tc_newarray_nothrow", gives(0)),
    ("tc_newarray_aligned", gives(0)),
    ("tc_newarray_aligned_nothrow", gives(0)),
    ("tc_free", Release),
    ("tc_cfree", Release),
    ("tc_free_sized", Release),
    ("tc_delete", Release),
    ("tc_delete_sized", Release),
    ("tc_delete_nothrow", Release),
    ("tc_delete_aligned", Release),
    ("tc_delete_sized_aligned", Release),
    ("tc_delete_aligned_nothrow", Release),
    ("tc_deletearray", Release),
    ("tc_deletearray_sized", Release),
    ("tc_deletearray_nothrow", Release),
    ("tc_deletearray_aligned", Release),
    ("tc_deletearray_sized_aligned", Release),
    ("tc_deletearray_aligned_nothrow", Release),
];

/// `mi_new_realloc` and `mi_new_reallocn` are left out: they call `mi_realloc`. `mi_cfree` is left out: it calls `mi_free`, or does nothing. So are those that copy texts: the size of what they hand
/// out is none of their arguments.
const MIMALLOC: &[(&str, Role)] = &[
    ("mi_malloc", gives(0)),
    ("mi_malloc_small", gives(0)),
    ("mi_zalloc", gives(0)),
    ("mi_zalloc_small", gives(0)),
    ("mi_calloc", gives_many(0, 1)),
    ("mi_mallocn", gives_many(0, 1)),
    ("mi_realloc", resizes(0, 1)),
    ("mi_reallocn", resizes_many(0, 1, 2)),
    ("mi_reallocarray", resizes_many(0, 1, 2)),
    ("mi_rezalloc", resizes(0, 1)),
    ("mi_recalloc", resizes_many(0, 1, 2)),
    ("mi_expand", resizes(0, 1)),
    ("mi_malloc_aligned", gives(0)),
    ("mi_malloc_aligned_at", gives(0)),
    ("mi_zalloc_aligned", gives(0)),
    ("mi_zalloc_aligned_at", gives(0)),
    ("mi_calloc_aligned", gives_many(0, 1)),
    ("mi_calloc_aligned_at", gives_many(0, 1)),
    ("mi_realloc_aligned", resizes(0, 1)),
    ("mi_realloc_aligned_at", resizes(0, 1)),
    ("mi_rezalloc_aligned", resizes(0, 1)),
    ("mi_rezalloc_aligned_at", resizes(0, 1)),
    ("mi_recalloc_aligned", resizes_many(0, 1, 2)),
    ("mi_recalloc_aligned_at", resizes_many(0, 1, 2)),
    ("mi_aligned_recalloc", resizes_many(0, 1, 2)),
    ("mi_memalign", gives(1)),
    ("mi_aligned_alloc", gives(1)),
    ("mi_posix_memalign", stores(0, 2)),
    ("mi_valloc", gives(0)),
    ("mi_pvalloc", gives(0)),
    ("mi_heap_malloc", gives(1)),
    ("mi_heap_malloc_small", gives(1)),
    ("mi_heap_zalloc", gives(1)),
    ("mi_heap_calloc", gives_many(1, 2)),
    ("mi_heap_mallocn", gives_many(1, 2)),
    ("mi_heap_realloc", resizes(1, 2)),
    ("mi_heap_reallocn", resizes_many(1, 2, 3)),
    ("mi_heap_rezalloc", resizes(1, 2)),
    ("mi_heap_recalloc", resizes_many(1, 2, 3)),
    ("mi_heap_malloc_aligned", gives(1)),
    ("mi_heap_malloc_aligned_at", gives(1)),
    ("mi_heap_zalloc_aligned", gives(1)),
    ("mi_heap_zalloc_aligned_at", gives(1)),
    ("mi_heap_calloc_aligned", gives_many(1, 2)),
    ("mi_heap_calloc_aligned_at", gives_many(1, 2)),
    ("mi_heap_realloc_aligned", resizes(1, 2)),
    ("mi_heap_realloc_aligned_at", resizes(1, 2)),
    ("mi_heap_rezalloc_aligned", resizes(1, 2)),
    ("mi_heap_rezalloc_aligned_at", resizes(1, 2)),
    ("mi_heap_recalloc_aligned", resizes_many(1, 2, 3)),
    ("mi_heap_recalloc_aligned_at", resizes_many(1, 2, 3)),
    ("mi_new", gives(0)),
    ("mi_new_nothrow", gives(0)),
    ("mi_new_aligned", gives(0)),
    ("mi_new_aligned_nothrow", gives(0)),
    ("mi_new_n", gives_many(0, 1)),
    ("mi_heap_alloc_new", gives(1)),
    ("mi_heap_alloc_new_n", gives_many(1, 2)),
    ("mi_free", Release),
    ("mi_free_size", Release),
    ("mi_free_aligned", Release),
    ("mi_free_size_aligned", Release),
];

const MIMALLOC_WRAPPERS: &[(&str, Role)] = &[("mi_reallocf", resizes(0, 1)), ("mi_heap_reallocf", resizes(1, 2))];

/// Behind [`PREFIXES`]: what Rust programs call.
const SNMALLOC: &[(&str, Role)] = &[
    ("rust_alloc", gives(1)),
    ("rust_alloc_zeroed", gives(1)),
    ("rust_realloc", resizes(0, 3)),
    ("rust_dealloc", Release),
];

/// The functions of heaps of one's own are left out: they name the block to be freed by their second argument.
const RPMALLOC: &[(&str, Role)] = &[
    ("rpmalloc", gives(0)),
    ("rpzalloc", gives(0)),
    ("rpcalloc", gives_many(0, 1)),
    ("rprealloc", resizes(0, 1)),
    ("rpaligned_realloc", resizes(0, 2)),
    ("rpaligned_alloc", gives(1)),
    ("rpaligned_zalloc", gives(1)),
    ("rpaligned_calloc", gives_many(1, 2)),
    ("rpmemalign", gives(1)),
    ("rpposix_memalign", stores(0, 2)),
    ("rpfree", Release),
];

const CPP: &[(&str, Role)] = &[
    ("_Znwm", gives(0)),
    ("_Znam", gives(0)),
    ("_ZnwmRKSt9nothrow_t", gives(0)),
    ("_ZnamRKSt9nothrow_t", gives(0)),
    ("_ZnwmSt11align_val_t", gives(0)),
    ("_ZnamSt11align_val_t", gives(0)),
    ("_ZnwmSt11align_val_tRKSt9nothrow_t", gives(0)),
    ("_ZnamSt11align_val_tRKSt9nothrow_t", gives(0)),
    ("_ZdlPv", Release),
    ("_ZdaPv", Release),
    ("_ZdlPvm", Release),
    ("_ZdaPvm", Release),
    ("_ZdlPvRKSt9nothrow_t", Release),
    ("_ZdaPvRKSt9nothrow_t", Release),
    ("_ZdlPvSt11align_val_t", Release),
    ("_ZdaPvSt11align_val_t", Release),
    ("_ZdlPvmSt11align_val_t", Release),
    ("_ZdaPvmSt11align_val_t", Release),
    ("_ZdlPvSt11align_val_tRKSt9nothrow_t", Release),
    ("_ZdaPvSt11align_val_tRKSt9nothrow_t", Release),
];

/// `__rust_*` is what Rust code calls, and calls `__rg_*` (a program's own allocator) or `__rdl_*` (the C library).
const RUST: &[(&str, Role)] = &[
    ("__rust_alloc", gives(0)),
    ("__rust_alloc_zeroed", gives(0)),
    ("__rust_realloc", resizes(0, 3)),
    ("__rust_dealloc", Release),
    ("__rg_alloc", gives(0)),
    ("__rg_alloc_zeroed", gives(0)),
    ("__rg_realloc", resizes(0, 3)),
    ("__rg_dealloc", Release),
    ("__rdl_alloc", gives(0)),
    ("__rdl_alloc_zeroed", gives(0)),
    ("__rdl_realloc", resizes(0, 3)),
    ("__rdl_dealloc", Release),
];

#[cfg(test)]
#[path = "functions_tests.rs"]
mod tests;
