//! The records of the rings. Each begins with the same [`Head`]; its kind gives the layout of the rest.
//!
//! All integers are in the byte order of the host. Times are nanoseconds of `CLOCK_MONOTONIC`.

mod head;
mod heap;
mod mapping;
mod process;
mod stack;

pub use head::{Head, Kind, flag};
pub use heap::{Allocation, Counted, Release, Resize, Sampled};
pub use mapping::{Break, Fault, Map, Remap, Unmap, UnmapEnd, touched};
pub use process::Fork;
pub use stack::{FullRemainder, FullStack, HELD, REMAINDER_BYTES, Remainder, Stack, Wanted};
