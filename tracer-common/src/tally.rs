//! Calls of the functions that allocate or release, counted apart for each allocator of each process.
//!
//! A tally is a place in a per-CPU array, by the index in the probe's [`crate::signature::Cookie`]. A call that is counted
//! there is not counted as a [`crate::Counter::Hits`]: that would be another atomic addition at every hit.

/// How many tallies there are.
pub const TALLIES: usize = 256;

/// The one that allocators share when every other is taken.
pub const OTHERS: u8 = (TALLIES - 1) as u8;
