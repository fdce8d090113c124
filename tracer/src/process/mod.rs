//! Processes: who is alive, and what is mapped where.

mod mappings;
pub mod target;

pub use mappings::{Identity, MappedFile, Mapping, Mappings, MappingsError};
pub use target::{Target, TargetError, printable};
pub(crate) use mappings::open_regular;
