//! Processes: who is alive, and what is mapped where.

mod mappings;

pub(crate) use mappings::open_regular;
pub use mappings::{Identity, MappedFile, Mapping, Mappings, MappingsError};
