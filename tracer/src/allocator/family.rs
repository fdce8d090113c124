//! Families of allocator functions: names, and what a call of each means.

use heaptide_common::Signature;
use heaptide_common::signature::Argument;

/// What a call of a function means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Hands out a block, and ends the one that the signature's `old` names.
    Allocate(Signature),
    /// Ends the block at its first argument.
    Release,
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

    /// Whether the function takes memory from the kernel or gives it back, rather than a block.
    #[must_use]
    pub const fn is_mapping(self) -> bool {
        !matches!(self, Self::Allocate(_) | Self::Release | Self::Libraries)
    }
}

/// A function, under all the names that mean it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its names, the usual one first.
    pub names: &'static [&'static str],
    /// What a call of it means.
    pub role: Role,
}

/// Who wrote the functions of an allocator.
///
/// All of them keep to the C library's interface, so the family decides how an allocator is called in a report, not
/// how it is traced.
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
    /// None of those.
    Other,
}

/// Symbols that tell a family, the more special ones first: an allocator linked into a static program stands next to
/// what is left of the C library's own.
const MARKERS: [(&str, Family); 9] = [
    ("mi_malloc", Family::Mimalloc),
    ("mallctl", Family::Jemalloc),
    ("je_mallctl", Family::Jemalloc),
    ("tc_malloc", Family::Tcmalloc),
    ("_dlstart", Family::Musl),
    ("__libc_malloc_impl", Family::Musl),
    ("gnu_get_libc_version", Family::Glibc),
    ("__libc_memalign", Family::Glibc),
    ("__libc_malloc", Family::Glibc),
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
            Self::Other => "other",
        }
    }

    /// The family of a file in which `defines` finds symbols.
    pub(super) fn of(defines: impl Fn(&str) -> bool) -> Self {
        MARKERS.iter().find(|(symbol, _)| defines(symbol)).map_or(Self::Other, |&(_, family)| family)
    }

    /// The symbols that [`Family::of`] asks for.
    pub(super) fn markers() -> impl Iterator<Item = &'static str> {
        MARKERS.iter().map(|&(symbol, _)| symbol)
    }

    /// The functions to look for in a file of this family.
    #[must_use]
    pub const fn functions(self) -> &'static [Function] {
        C_INTERFACE
    }
}

/// The argument number `index`. Evaluated by the compiler alone, which refuses a number that does not exist.
const fn argument(index: u8) -> Argument {
    match Argument::new(index) {
        Some(argument) => argument,
        None => unreachable!(),
    }
}

const fn allocate(names: &'static [&'static str], size: u8) -> Function {
    let signature = Signature { size: argument(size), count: None, old: None, out: None };
    Function { names, role: Role::Allocate(signature) }
}

const fn with(function: Function, count: Option<u8>, old: Option<u8>, out: Option<u8>) -> Function {
    const fn optional(index: Option<u8>) -> Option<Argument> {
        match index {
            Some(index) => Some(argument(index)),
            None => None,
        }
    }
    match function.role {
        Role::Allocate(Signature { size, .. }) => {
            let signature = Signature { size, count: optional(count), old: optional(old), out: optional(out) };
            Function { names: function.names, role: Role::Allocate(signature) }
        }
        _ => function,
    }
}

const fn other(names: &'static [&'static str], role: Role) -> Function {
    Function { names, role }
}

/// What the C standards, POSIX and the C libraries define: blocks, and the memory beneath them.
const C_INTERFACE: &[Function] = &[
    allocate(&["malloc"], 0),
    with(allocate(&["calloc"], 1), Some(0), None, None),
    with(allocate(&["realloc"], 1), None, Some(0), None),
    with(allocate(&["reallocarray"], 2), Some(1), Some(0), None),
    allocate(&["memalign"], 1),
    allocate(&["aligned_alloc"], 1),
    with(allocate(&["posix_memalign"], 2), None, None, Some(0)),
    allocate(&["valloc"], 0),
    allocate(&["pvalloc"], 0),
    other(&["free", "cfree"], Role::Release),
    other(&["free_sized"], Role::Release),
    other(&["free_aligned_sized"], Role::Release),
    other(&["mmap", "mmap64"], Role::Map),
    other(&["munmap"], Role::Unmap),
    other(&["mremap"], Role::Remap),
    other(&["brk"], Role::Break),
    other(&["sbrk"], Role::BreakBy),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(name: &str) -> Signature {
        let function = C_INTERFACE.iter().find(|function| function.names.contains(&name)).unwrap();
        match function.role {
            Role::Allocate(signature) => signature,
            role => panic!("{name} is {role:?}"),
        }
    }

    #[test]
    fn signatures_are_those_of_the_manual_pages() {
        let index = |argument: Option<Argument>| argument.map(Argument::index);
        let all = |name| {
            let Signature { size, count, old, out } = signature(name);
            (size.index(), index(count), index(old), index(out))
        };
        assert_eq!(all("malloc"), (0, None, None, None));
        assert_eq!(all("calloc"), (1, Some(0), None, None));
        assert_eq!(all("realloc"), (1, None, Some(0), None));
        assert_eq!(all("reallocarray"), (2, Some(1), Some(0), None));
        assert_eq!(all("memalign"), (1, None, None, None));
        assert_eq!(all("aligned_alloc"), (1, None, None, None));
        assert_eq!(all("posix_memalign"), (2, None, None, Some(0)));
        assert_eq!(all("valloc"), (0, None, None, None));
    }

    #[test]
    fn no_name_stands_twice() {
        let mut names: Vec<_> = C_INTERFACE.iter().flat_map(|function| function.names).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn an_allocator_next_to_the_c_library_gives_the_family() {
        let symbols = ["gnu_get_libc_version", "__libc_malloc", "mallctl"];
        assert_eq!(Family::of(|name| symbols.contains(&name)), Family::Jemalloc);
        assert_eq!(Family::of(|name| name == "__libc_malloc"), Family::Glibc);
        assert_eq!(Family::of(|_| false), Family::Other);
    }
}
