//! Live allocations: their rules, and totals for each stack.
//!
//! A [`Shard`] reads one ring. It keeps an [`account`] for each process (from its begin to its exec or exit), which holds
//! the blocks ([`table`]), the mapped ranges ([`ranges`]) and the sums ([`ledger`]). All records of one address come
//! through one ring, so no shard ever asks another.

mod account;
mod grain;
mod ledger;
mod mapping;
mod notice;
mod peak;
mod ranges;
mod sample;
mod shard;
mod spread;
mod summary;
mod survey;
mod table;
mod touched;

pub use notice::{Notice, Remains};
pub use sample::{AccountSample, Change, ShardSample};
pub use shard::{Limits, Shard, Start};
pub use spread::Spread;
pub use summary::{AccountSummary, AtPeak, Key, StackSummary, Summary};
pub use survey::{AgeScan, AgesOf, Look};
pub use table::{Block, LiveTable};
pub use touched::{FaultCounts, TouchedRange, pages};

/// A moment, in units of 2^20 nanoseconds (1.05 ms) of the monotonic clock, wrapping after 52 days: four bytes a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment(u32);

impl Moment {
    const SHIFT: u32 = 20;

    /// Of a time in nanoseconds.
    #[must_use]
    pub const fn from_nanoseconds(time: u64) -> Self {
        Self((time >> Self::SHIFT) as u32)
    }

    /// Nanoseconds since `earlier`, which is no more than 52 days before.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        (self.0.wrapping_sub(earlier.0) as u64) << Self::SHIFT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_survives_the_wrap_of_the_clock() {
        let day = 86_400_000_000_000;
        let before = Moment::from_nanoseconds(52 * day);
        let after = Moment::from_nanoseconds(53 * day);
        assert!(after.since(before).abs_diff(day) < 1 << 21);
    }
}
