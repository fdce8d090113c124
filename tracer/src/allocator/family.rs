//! What a call of an allocator's function means, and who wrote the functions of a file.

use heaptide_common::{Named, Signature};

/// What a call of a function means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Hands out a block, and ends the one that the signature's `old` names.
    Allocate(Signature),
    /// Ends the block at its first argument.
    Release,
    /// What a user says of a function of an allocator that the user has named.
    Named(Named),
    /// `mmap`.
    Map,
    /// `munmap`.
    Unmap,
    /// `mremap`.
    Remap,
    /// `brk`: moves the program break to an address; the result does not tell where it was.
    Break,
    /// `sbrk`: moves the program break by a distance; the result is where it was.
    BreakBy,
    /// The loader's own: libraries are about to be, or have been, loaded or unloaded.
    Libraries,
}

impl Role {
    /// Whether the function's return is probed as well.
    #[must_use]
    pub const fn is_returning(self) -> bool {
        !matches!(self, Self::Release | Self::Libraries)
    }

    /// Whether the function hands out blocks or takes them back.
    #[must_use]
    pub const fn is_heap(self) -> bool {
        matches!(self, Self::Allocate(_) | Self::Release | Self::Named(_))
    }

    /// Whether the function takes memory from the kernel or gives it back, rather than a block.
    #[must_use]
    pub const fn is_mapping(self) -> bool {
        !matches!(self, Self::Allocate(_) | Self::Release | Self::Named(_) | Self::Libraries)
    }
}

/// Which of two kinds of call a function makes of another one of the same kind: see `calls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Allocates,
    Releases,
}

impl Role {
    /// `None` for what hands out no blocks and takes none back.
    pub(super) const fn kind(self) -> Option<Kind> {
        match self {
            Self::Allocate(_) => Some(Kind::Allocates),
            Self::Release => Some(Kind::Releases),
            _ => None,
        }
    }
}

/// Who wrote the functions of an allocator.
///
/// The family decides how an allocator is called in a report, not how it is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// The GNU C library.
    Glibc,
    /// The musl C library.
    Musl,
    /// jemalloc.
    Jemalloc,
    /// tcmalloc, of gperftools.
    Tcmalloc,
    /// mimalloc.
    Mimalloc,
    /// snmalloc.
    Snmalloc,
    /// rpmalloc.
    Rpmalloc,
    /// A C++ program's own `operator new`.
    Cpp,
    /// A Rust program's own global allocator.
    Rust,
    /// None of those.
    Other,
}

/// Symbols that tell who wrote a file's `malloc`, the more special ones first: an allocator linked into a static program
/// stands next to what is left of the C library's own.
const MARKERS: [(&str, Family); 9] = [
    ("mallctl", Family::Jemalloc),
    ("TCMallocInternalMalloc", Family::Tcmalloc),
    ("tc_version", Family::Tcmalloc),
    ("_dlstart", Family::Musl),
    ("__libc_malloc_impl", Family::Musl),
    ("__malloc_replaced", Family::Musl),
    ("gnu_get_libc_version", Family::Glibc),
    ("__libc_memalign", Family::Glibc),
    ("__libc_malloc", Family::Glibc),
];

/// What files of allocators without a symbol of their own are called.
const FILE_NAMES: [(&str, Family); 4] = [
    ("snmalloc", Family::Snmalloc),
    ("rpmalloc", Family::Rpmalloc),
    ("jemalloc", Family::Jemalloc),
    ("tcmalloc", Family::Tcmalloc),
];

/// The glibc loader's own data. Some releases of the loader export a `malloc` that serves until the C library is
/// there; nobody frees its few blocks.
pub(super) const LOADER_MARKER: &str = "_rtld_global";

impl Family {
    /// Its name in a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Glibc => "glibc",
            Self::Musl => "musl",
            Self::Jemalloc => "jemalloc",
            Self::Tcmalloc => "tcmalloc",
            Self::Mimalloc => "mimalloc",
            Self::Snmalloc => "snmalloc",
            Self::Rpmalloc => "rpmalloc",
            Self::Cpp => "C++",
            Self::Rust => "Rust",
            Self::Other => "other",
        }
    }

    /// Who wrote the `malloc` of a file in which `defines` finds symbols, and whose name is `file_name`.
    pub(super) fn of(defines: impl Fn(&str) -> bool, file_name: &str) -> Self {
        let by_symbol = MARKERS.iter().find(|(symbol, _)| defines(symbol));
        let by_name = || FILE_NAMES.iter().find(|(part, _)| file_name.contains(part));
        by_symbol.or_else(by_name).map_or(Self::Other, |&(_, family)| family)
    }

    /// Whether it is a C library, or nobody known: what stands beside its `malloc` may be somebody else's.
    pub(super) const fn is_common(self) -> bool {
        matches!(self, Self::Glibc | Self::Musl | Self::Other)
    }
}

/// Whether [`Family::of`] asks for a symbol.
pub(super) fn is_marker(name: &str) -> bool {
    name == LOADER_MARKER || MARKERS.iter().any(|(symbol, _)| *symbol == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocator_next_to_the_c_library_gives_the_family() {
        let symbols = ["gnu_get_libc_version", "__libc_malloc", "mallctl"];
        assert_eq!(Family::of(|name| symbols.contains(&name), "program"), Family::Jemalloc);
        assert_eq!(Family::of(|name| name == "__libc_malloc", "program"), Family::Glibc);
        assert_eq!(Family::of(|_| false, "libsnmallocshim.so"), Family::Snmalloc);
        assert_eq!(Family::of(|_| false, "program"), Family::Other);
    }
}
