//! Estimates: what a recording by sampling says, and how far it can be off.

use heaptide_common::sampling::Counts;
use serde::Serialize;

use crate::numbers::{float, whole};

/// How blocks were chosen, where not all were recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sampling {
    /// Bytes for which one block was recorded, on average; the most, where that was changed to keep a budget.
    pub interval_bytes: u64,
    /// Recorded blocks for which the kernel part's table of them had no room. Harmless: releases that were not needed
    /// were told instead.
    pub table_full: u64,
    /// Whether blocks were recorded in pulses for some of the time.
    pub in_pulses: bool,
}

/// What is known exactly of a process of which not all blocks were recorded, and how far the rest can be off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sampled {
    /// Calls of allocators, counted and not estimated; `None` where blocks were recorded in pulses, since nobody counted
    /// between those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<Exact>,
    /// Blocks that were recorded.
    pub recorded: u64,
    /// Bytes outstanding, of blocks and anonymous mappings; `None` where blocks were recorded in pulses: how much differs
    /// from pulse to pulse, a few of them do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outstanding: Option<Estimate>,
}

impl Sampled {
    /// Both together. Ends of two intervals, added, are those of one that is surer.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            exact: self.exact.zip(other.exact).map(|(mine, its)| mine.and(its)),
            recorded: self.recorded.saturating_add(other.recorded),
            outstanding: self.outstanding.zip(other.outstanding).map(|(mine, its)| mine.and(its)),
        }
    }
}

/// Calls of allocators, counted one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exact {
    /// Allocations within the size limits of the command line; a resize is one, too.
    pub allocations: u64,
    /// Bytes asked for by those.
    pub allocated_bytes: u64,
    /// Releases, of whatever blocks; a resize that succeeds is one, too.
    pub releases: u64,
}

impl Exact {
    const fn and(self, other: Self) -> Self {
        Self {
            allocations: self.allocations.saturating_add(other.allocations),
            allocated_bytes: self.allocated_bytes.saturating_add(other.allocated_bytes),
            releases: self.releases.saturating_add(other.releases),
        }
    }
}

impl From<Counts> for Exact {
    fn from(counts: Counts) -> Self {
        Self { allocations: counts.allocations, allocated_bytes: counts.bytes, releases: counts.releases }
    }
}

/// How far an estimate can be off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// Recorded blocks that it was made from.
    pub recorded: u64,
    /// In 95 of 100 recordings, the truth is not below this many bytes,
    pub low_bytes: u64,
    /// and not above this many.
    pub high_bytes: u64,
}

/// What recorded blocks tell of an estimate made from them, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The estimate.
    pub bytes: u64,
    /// The recorded blocks.
    pub recorded: u64,
    /// Their own bytes.
    pub recorded_bytes: u64,
    /// The estimated variance of the estimate.
    pub variance: f64,
    /// The most that one block that was not recorded could have added.
    pub step: f64,
}

/// The 97.5th percentile of the normal distribution.
const Z: f64 = 1.959_963_985;

impl Estimate {
    /// The interval that holds the truth in 95 of 100 recordings or more: Fay and Feuer's for a weighted sum of counts,
    /// which also holds when few blocks were recorded, or none.
    #[must_use]
    pub fn of(evidence: &Evidence) -> Self {
        let Evidence { bytes, recorded, recorded_bytes, variance, step } = *evidence;
        let estimate = float(bytes);
        let low = bound(estimate, variance, -Z).max(float(recorded_bytes)).min(estimate);
        let high = bound(estimate + step, variance + step * step, Z).max(estimate);
        Self { recorded, low_bytes: whole(low), high_bytes: whole(high) }
    }

    const fn and(self, other: Self) -> Self {
        Self {
            recorded: self.recorded.saturating_add(other.recorded),
            low_bytes: self.low_bytes.saturating_add(other.low_bytes),
            high_bytes: self.high_bytes.saturating_add(other.high_bytes),
        }
    }

    /// The same where there cannot be more than `bytes`, as is known otherwise.
    #[must_use]
    pub fn at_most(self, bytes: u64) -> Self {
        Self { low_bytes: self.low_bytes.min(bytes), high_bytes: self.high_bytes.min(bytes), ..self }
    }

    /// The same with memory that is known exactly.
    #[must_use]
    pub const fn plus(self, bytes: u64) -> Self {
        Self {
            low_bytes: self.low_bytes.saturating_add(bytes),
            high_bytes: self.high_bytes.saturating_add(bytes),
            ..self
        }
    }
}

/// A percentile of the gamma distribution with this mean and variance: by that of chi-squared, after Wilson and Hilferty.
fn bound(mean: f64, variance: f64, z: f64) -> f64 {
    if mean <= 0.0 || variance <= 0.0 {
        return mean.max(0.0);
    }
    let degrees = 2.0 * mean * mean / variance;
    let ninth = 2.0 / (9.0 * degrees);
    mean * (1.0 - ninth + z * ninth.sqrt()).max(0.0).powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(bytes: u64, recorded: u64, variance: f64, step: f64) -> Evidence {
        Evidence { bytes, recorded, recorded_bytes: 0, variance, step }
    }

    #[test]
    fn what_is_known_otherwise_limits_an_estimate() {
        let estimate = Estimate { recorded: 0, low_bytes: 0, high_bytes: 240_000 };
        assert_eq!(estimate.at_most(19_000), Estimate { high_bytes: 19_000, ..estimate });
        assert_eq!(estimate.at_most(300_000), estimate);
    }

    #[test]
    fn what_is_certain_has_no_width() {
        let estimate = Estimate::of(&evidence(1000, 4, 0.0, 0.0));
        assert_eq!(estimate, Estimate { recorded: 4, low_bytes: 1000, high_bytes: 1000 });
    }

    #[test]
    fn many_blocks_give_nearly_the_interval_of_the_normal_distribution() {
        // 10,000 blocks that each stand for 100 bytes: a standard deviation of 1 %.
        let estimate = Estimate::of(&evidence(1_000_000, 10_000, 1e8, 100.0));
        assert!(estimate.low_bytes.abs_diff(980_400) < 500, "{estimate:?}");
        assert!(estimate.high_bytes.abs_diff(1_019_700) < 500, "{estimate:?}");
    }

    #[test]
    fn counts_give_the_intervals_that_tables_of_poissons_have() {
        // Garwood's exact limits of a count, as printed in tables of them.
        for (count, low, high) in [(0, 0.0, 3.689), (1, 0.0253, 5.572), (5, 1.623, 11.668), (20, 12.217, 30.889)] {
            let step = 1_000_000.0;
            let estimate = Estimate::of(&evidence(count * 1_000_000, count, float(count) * step * step, step));
            let near = |found, expected: f64| (float(found) / step - expected).abs() < 0.05 + 0.01 * expected;
            assert!(near(estimate.low_bytes, low) && near(estimate.high_bytes, high), "{count}: {estimate:?}");
        }
    }

    #[test]
    fn what_was_recorded_is_there_at_least() {
        let known = Evidence { recorded_bytes: 900, ..evidence(1000, 1, 1e6, 1000.0) };
        assert_eq!(Estimate::of(&known).low_bytes, 900);
    }
}
