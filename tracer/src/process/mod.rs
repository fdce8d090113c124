//! Processes: who is alive, and what is mapped where.

mod launch;
mod mappings;
pub mod target;

pub use launch::{Launch, LaunchError, launcher};
pub(crate) use mappings::open_regular;
pub use mappings::{Identity, MappedFile, Mapping, Mappings, MappingsError};
pub use target::{Target, TargetError, printable};
