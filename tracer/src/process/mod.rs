//! Processes: who is alive, and what is mapped where.

mod launch;
mod mappings;
mod perf_map;
pub mod target;
pub mod text;

pub use launch::{Launch, LaunchError, launcher};
pub(crate) use mappings::open_regular;
pub use mappings::{Identity, MappedFile, Mapping, Mappings, MappingsError, code_bytes};
pub use perf_map::{PerfMap, Place as PerfMapPlace, Roots};
pub use target::{Target, TargetError, printable};
