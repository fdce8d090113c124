//! Processes: who is alive, and what is mapped where.

mod mappings;

pub use mappings::{Identity, MappedFile, Mapping, Mappings, MappingsError};
