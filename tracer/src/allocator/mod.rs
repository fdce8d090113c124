//! Allocators: families of functions, and their discovery in mapped files.
//!
//! The functions are found by name ([`functions`]) in all symbol tables of a file, and given as offsets in it, which is
//! what a probe needs. One file can hold several allocators' functions. Functions that only lead to others are left out
//! ([`calls`]). Files come from the target and are hostile until parsed: they are read in bounded pieces, never mapped (a
//! mapped file that shrinks kills its reader), and never run.

mod calls;
mod discover;
mod elf;
mod examine;
mod family;
mod functions;
mod libraries;
mod loader;
mod mapped;
mod named;
mod program;
mod symbol_table;
#[cfg(test)]
mod test_programs;

pub use discover::{
    DiscoverError, Discovery, Finder, Found, FoundFunction, GO, discover, discover_file, discover_loader,
};
pub use elf::ElfError;
pub use family::{Family, Role};
pub use libraries::{LibrariesError, program_libraries};
pub use named::{FileError, NamedAllocator, NamedAllocators, NamedError, TypedError, preset_names};
pub use program::find_program;
