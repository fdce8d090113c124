//! Allocators: families of functions, and their discovery in mapped files.
//!
//! A file belongs to an allocator when it defines both `malloc` and `free`. The functions are found by name and given
//! as offsets in the file, which is what a probe needs. Files come from the target and are hostile until parsed: they
//! are read in bounded pieces, never mapped (a mapped file that shrinks kills its reader), and never run.

mod discover;
mod elf;
mod family;
mod libraries;
mod loader;
mod mapped;
mod program;
mod symbol_table;
#[cfg(test)]
mod test_programs;

pub use discover::{DiscoverError, Found, FoundFunction, discover, discover_file, discover_loader};
pub use elf::ElfError;
pub use family::{Family, Function, Role};
pub use libraries::{LibrariesError, program_libraries};
pub use program::find_program;
