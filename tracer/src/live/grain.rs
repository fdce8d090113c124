//! How finely a ledger counts, and what a recorded block stands for.

use crate::numbers::float;
use crate::profile::{Totals, Usage};

/// How finely a ledger counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grain {
    /// Bytes and blocks.
    #[default]
    Whole,
    /// Fractions of both, where blocks stand for others.
    Fine,
}

/// By what blocks are chosen to be recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Choice {
    /// Bytes for which one block is recorded, on average; 1 or 0: every block.
    pub interval: u32,
    /// For how many times its length a pulse of recording stands; 1 or 0: there are no pulses.
    pub pulse: u32,
}

impl Choice {
    /// Every block is recorded, all the time.
    pub const ALL: Self = Self { interval: 0, pulse: 0 };

    /// Whether blocks stand for themselves.
    #[must_use]
    pub const fn is_all(self) -> bool {
        self.interval <= 1 && self.pulse <= 1
    }
}

/// Fractions of a byte: 64 bits then count 72 million gigabytes.
const BYTE_BITS: u32 = 8;

/// Fractions of a block. A block stands for little more than itself when it is large, so the rounding must be small.
const BLOCK_BITS: u32 = 16;

impl Grain {
    const fn bits(self) -> (u32, u32) {
        match self {
            Self::Whole => (0, 0),
            Self::Fine => (BYTE_BITS, BLOCK_BITS),
        }
    }

    /// What is known exactly, in the ledger's units.
    #[must_use]
    pub const fn exact(self, usage: Usage) -> Usage {
        let (bytes, blocks) = self.bits();
        Usage { bytes: usage.bytes.saturating_mul(1 << bytes), blocks: usage.blocks.saturating_mul(1 << blocks) }
    }

    /// What a block stands for that was recorded by a `choice`, in the ledger's units.
    #[must_use]
    pub fn weigh(self, size: u64, choice: Choice) -> Usage {
        if choice.is_all() {
            return self.exact(Usage::block(size));
        }
        let (bytes, blocks) = self.bits();
        let weight = weight(size, choice);
        Usage { bytes: scaled(float(size) * weight, bytes), blocks: scaled(weight, blocks) }
    }

    /// Bytes and blocks, from the ledger's units.
    #[must_use]
    pub const fn round(self, usage: Usage) -> Usage {
        let (bytes, blocks) = self.bits();
        Usage { bytes: rounded(usage.bytes, bytes), blocks: rounded(usage.blocks, blocks) }
    }

    /// The same of totals, so that what came in still is what went out and what is left.
    #[must_use]
    pub fn round_totals(self, totals: &Totals) -> Totals {
        let inherited = self.round(totals.inherited);
        let outstanding = self.round(totals.outstanding);
        let peak = self.round(totals.peak).max(outstanding);
        if totals.inherited + totals.allocated != totals.freed + totals.outstanding {
            // Mappings that were cut, which are whole.
            let (allocated, freed) = (self.round(totals.allocated), self.round(totals.freed));
            return Totals { inherited, allocated, freed, outstanding, peak };
        }
        let came = self.round(totals.inherited + totals.allocated);
        Totals { inherited, allocated: came - inherited, freed: came - outstanding, outstanding, peak }
    }
}

/// Bytes and blocks for each of a recorded block: the inverse of the chance that it had to be recorded.
#[must_use]
pub fn weight(size: u64, choice: Choice) -> f64 {
    1.0 / chance(size, choice)
}

/// The chance of a block to be recorded: see [`heaptide_common::sampling`].
#[must_use]
pub fn chance(size: u64, choice: Choice) -> f64 {
    let Choice { interval, pulse } = choice;
    let within = if interval <= 1 {
        1.0
    } else {
        // A block of no bytes counts as one of one byte.
        -(-float(size.max(1)) / f64::from(interval)).exp_m1()
    };
    within / f64::from(pulse.max(1))
}

const fn rounded(value: u64, bits: u32) -> u64 {
    if bits == 0 { value } else { value.saturating_add(1 << (bits - 1)) >> bits }
}

/// As many units as there are; as many as can be counted.
#[expect(clippy::cast_sign_loss, reason = "sizes and weights are not negative")]
fn scaled(value: f64, bits: u32) -> u64 {
    (value * float(1 << bits)).round() as u64
}

#[cfg(test)]
mod tests {
    use heaptide_common::sampling::countdown;
    use proptest::prelude::*;

    use super::*;

    fn by(interval: u32) -> Choice {
        Choice { interval, pulse: 0 }
    }

    #[test]
    fn every_byte_is_recorded_and_a_block_stands_for_itself() {
        assert_eq!(Grain::Whole.weigh(42, Choice::ALL), Usage::block(42));
        assert_eq!(Grain::Fine.round(Grain::Fine.weigh(42, by(1))), Usage::block(42));
        let whole = Choice { interval: 1, pulse: 1 };
        assert_eq!(Grain::Fine.round(Grain::Fine.weigh(42, whole)), Usage::block(42));
    }

    #[test]
    fn a_block_of_a_pulse_stands_for_those_of_the_time_between() {
        let pulses = Choice { interval: 0, pulse: 48 };
        assert_eq!(Grain::Fine.round(Grain::Fine.weigh(100, pulses)), Usage { bytes: 4800, blocks: 48 });
        let both = Choice { interval: 512 << 10, pulse: 2 };
        assert_eq!(Grain::Fine.round(Grain::Fine.weigh(64, both)), Usage { bytes: (1 << 20) + 64, blocks: 16_385 });
    }

    #[test]
    fn a_block_of_many_intervals_stands_for_itself_and_a_small_one_for_an_interval() {
        let round = |size, interval| Grain::Fine.round(Grain::Fine.weigh(size, by(interval)));
        assert_eq!(round(1 << 20, 1 << 12), Usage::block(1 << 20));
        // 1 / (1 - exp(-x)) is 1/x + 1/2 for a small x.
        assert_eq!(round(64, 512 << 10), Usage { bytes: (512 << 10) + 32, blocks: 8193 });
        assert_eq!(round(0, 512 << 10), Usage { bytes: 0, blocks: (512 << 10) + 1 });
    }

    #[test]
    fn estimates_are_right_on_average() {
        // The kernel part's own draw, fixed seeds; the truth is what was allocated.
        const BLOCKS: u64 = 2_000;
        const RUNS: u64 = 200;
        let interval = 4096;
        let size = |block: u64| [0, 1, 24, 64, 500, 4096, 9000, 100_000][block as usize % 8];
        let mut state = 1_u64;
        let mut random = || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
        };
        let mut sum = Usage::default();
        for _ in 0..RUNS {
            let mut left = countdown(random(), interval);
            for size in (0..BLOCKS).map(size) {
                if size.max(1) < left {
                    left -= size.max(1);
                } else {
                    sum += Grain::Fine.weigh(size, by(interval));
                    left = countdown(random(), interval);
                }
            }
        }
        let truth = (0..BLOCKS).map(size).fold(Usage::default(), |sum, size| sum + Usage::block(size));
        let mean = Grain::Fine.round(sum);
        let ratios = [float(mean.bytes) / float(truth.bytes * RUNS), float(mean.blocks) / float(truth.blocks * RUNS)];
        assert!((ratios[0] - 1.0).abs() < 0.002 && (ratios[1] - 1.0).abs() < 0.06, "{ratios:?}");
    }

    proptest! {
        #[test]
        fn totals_still_add_up_when_they_are_rounded(
            inherited in 0..1_u64 << 40, allocated in 0..1_u64 << 40, freed in any::<prop::sample::Index>()
        ) {
            let both = |value| Usage { bytes: value, blocks: value };
            let freed = freed.index((inherited + allocated + 1) as usize) as u64;
            let outstanding = both(inherited + allocated - freed);
            let totals = Totals {
                inherited: both(inherited),
                allocated: both(allocated),
                freed: both(freed),
                outstanding,
                peak: outstanding,
            };
            let Totals { inherited, allocated, freed, outstanding, .. } = Grain::Fine.round_totals(&totals);
            prop_assert_eq!(inherited + allocated, freed + outstanding);
        }
    }
}
