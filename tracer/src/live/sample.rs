//! What a shard tells of its accounts at each moment of a timeline: sums, and the stacks that hold more or less than before.

use std::time::Duration;

use super::Key;
use crate::profile::{ByMemory, Memory, Usage};

/// A stack that holds more or less than at the sample before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The place of its totals in the account's ledger, for as long as that is open.
    pub entry: u32,
    /// The kind of memory.
    pub memory: Memory,
    /// The stack's id; 0 when it could not be taken.
    pub stack: u64,
    /// What it holds.
    pub outstanding: Usage,
}

/// What one account held at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountSample {
    /// Whose it is.
    pub key: Key,
    /// Whether changes are told for the first time of a new ledger: entries that were told before are of another.
    pub is_first: bool,
    /// The sums.
    pub sums: ByMemory,
    /// By how many bytes its allocator has moved the program break up.
    pub break_bytes: u64,
    /// How many blocks it has released that are older than the trace.
    pub older_releases: u64,
    /// The stacks that changed, in the order of their entries; none when they were not asked for, and told of later then.
    pub changes: Vec<Change>,
}

/// What a shard's open accounts held at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShardSample {
    /// The accounts.
    pub accounts: Vec<AccountSample>,
    /// Records read.
    pub events: u64,
    /// What it took to find out.
    pub cost: Duration,
}
