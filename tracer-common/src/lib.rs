//! What crosses the boundary between heaptide's kernel part and its user side, and nothing else.
//!
//! Both sides compile this crate, so a layout can only change on both at once. Every type here is `repr(C)`, has no
//! padding that is not named, and is checked by the assertions at its end.

#![no_std]

pub mod counter;
pub mod offsets;
pub mod record;
pub mod sampling;
pub mod settings;
pub mod signature;
pub mod stack;
pub mod tally;
pub mod unwind;

pub use counter::Counter;
pub use settings::{Settings, StackMethod};
pub use signature::{Named, Signature};

const _: () = assert!(size_of::<usize>() == size_of::<u64>(), "heaptide reads 64-bit processes from 64-bit hosts only");
