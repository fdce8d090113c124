//! Processes: who is alive, whose children they are, what is mapped where, and how much memory they take and may take.

mod cgroup;
mod launch;
mod mappings;
mod memory;
mod perf_map;
mod relatives;
pub mod target;
pub mod text;

pub use cgroup::{Cgroup, GroupMemory, machine_memory, memory_limit};
pub use launch::{Launch, LaunchError, launcher};
pub(crate) use mappings::open_regular;
pub use mappings::{Identity, MappedFile, Mapping, Mappings, MappingsError, code_bytes};
pub use memory::{MemoryError, MemoryReader, ProcessMemory};
pub use perf_map::{PerfMap, Place as PerfMapPlace, Roots};
pub use relatives::{descendants, named};
pub use target::{Target, TargetError, printable};
