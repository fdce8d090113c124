//! Sampling by bytes: which blocks are recorded, and what the kernel part knows of those that are not.
//!
//! Bytes are marked at random, one in every interval on average and each by itself (a Poisson process). A block is
//! recorded when one of its bytes is marked. So a block of `s` bytes is recorded with the probability
//! `1 - exp(-s / interval)`, whatever came before, and stands for the inverse of it.

/// The unit of [`exponential`]: this stands for 1.
const ONE: u32 = 32;

/// The natural logarithm of 2, in 2^-32.
const LN_2: u64 = 0xb172_17f8;

/// The largest interval. The product of it and any value of [`exponential`] below 2^32 has no more than 63 bits.
pub const MAX_INTERVAL: u32 = 1 << 30;

/// A value of the exponential distribution with mean 1, in 2^-32, made of 32 random bits. No floating point, no table:
/// the kernel part has neither.
///
/// It is `-ln(u)` for `u = (random + 1) / 2^32`. With `u = x / 2^z` and `x` over 1/2, `-ln(x)` is twice the area
/// tangent of `(1 - x) / (1 + x)`, which is a third at most: the first six terms of its series are 10^-7 off at the
/// most there, and less and less where values are small.
#[inline(always)]
#[must_use]
pub const fn exponential(random: u32) -> u64 {
    let mut x = random as u64 + 1;
    let mut halvings = 0;
    // Until x is over 2^31: there is no instruction that counts leading zeros.
    let mut step = 16;
    while step > 0 {
        if x <= 1 << (ONE - step) {
            x <<= step;
            halvings += step as u64;
        }
        step /= 2;
    }
    let t = (((1 << ONE) - x) << ONE) / ((1 << ONE) + x);
    let square = (t * t) >> ONE;
    // Horner's scheme of t + t^3/3 + t^5/5 + ... + t^11/11.
    let series = (1 << ONE) / 11;
    let series = (1 << ONE) / 9 + ((series * square) >> ONE);
    let series = (1 << ONE) / 7 + ((series * square) >> ONE);
    let series = (1 << ONE) / 5 + ((series * square) >> ONE);
    let series = (1 << ONE) / 3 + ((series * square) >> ONE);
    let tangent = t + ((((series * square) >> ONE) * t) >> ONE);
    halvings * LN_2 + 2 * tangent
}

/// Bytes until the next one that is marked, itself included, when one in every `interval` is on average.
///
/// Rounded up: sizes are whole, and a block is recorded when it is at least as large as what is left. So rounding
/// changes nothing about which blocks are.
#[inline(always)]
#[must_use]
pub const fn countdown(random: u32, interval: u32) -> u64 {
    let value = exponential(random);
    let interval = interval as u64;
    let (whole, fraction) = (value >> ONE, value & ((1 << ONE) - 1));
    whole * interval + ((fraction * interval + ((1 << ONE) - 1)) >> ONE)
}

/// What the kernel part counts of every call, recorded or not.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Counts {
    /// Allocations within the size limits; a resize is one, too.
    pub allocations: u64,
    /// Bytes asked for by those.
    pub bytes: u64,
    /// Releases, of whatever blocks; a resize that succeeds is one, too.
    pub releases: u64,
}

impl Counts {
    /// Nothing.
    pub const NONE: Self = Self { allocations: 0, bytes: 0, releases: 0 };
}

impl core::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.allocations = self.allocations.saturating_add(other.allocations);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.releases = self.releases.saturating_add(other.releases);
    }
}

/// Words of what the kernel part keeps of a thread besides its counts.
pub const THREAD_WORDS: usize = 28;

/// An entry of the kernel part's tables of threads, as far as the user side reads it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ThreadCounts {
    /// What the thread has done.
    pub counts: Counts,
    /// Its process (upper half) and number; 0 when there is no thread.
    pub task: u64,
    /// The kernel part's own.
    pub others: [u64; THREAD_WORDS],
}

// SAFETY: `ThreadCounts` is repr(C), made of integers only, without padding: any bytes are a valid value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for ThreadCounts {}

/// Recorded blocks that share a bucket of the kernel part's table of them.
pub const TAGS: usize = 7;

/// A bucket of the table of recorded blocks, a cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Not 0 once a block found no room here: from then on no release that belongs here is dismissed.
    pub overflowed: u64,
    /// What tells blocks apart: see [`tag`]. 0 is none.
    pub tags: [u64; TAGS],
}

/// Families that can be told apart.
pub const FAMILIES: usize = 1 << FAMILY_BITS;

/// Bits of a family's number.
pub const FAMILY_BITS: u32 = 16;

/// Bits of an address of a program that asks for no more.
const ADDRESS_BITS: u32 = u64::BITS - FAMILY_BITS;

/// What tells the block at `address` of a process of `family` from all others: both, exactly, as long as the program
/// does not ask the kernel for addresses of more than 47 bits.
#[inline(always)]
#[must_use]
pub const fn tag(family: u64, address: u64) -> u64 {
    family << ADDRESS_BITS ^ address
}

/// The family of a tag.
#[inline(always)]
#[must_use]
pub const fn family_of(tag: u64) -> u64 {
    tag >> ADDRESS_BITS
}

/// The bucket of a tag, when there are `mask + 1` of them, a power of two up to 2^20. Neighbours share a bucket, down to
/// the last `shift` bits: what a program frees often lies near to what it has just freed, and there is a cache line at
/// hand then.
#[inline(always)]
#[must_use]
pub const fn bucket_of(tag: u64, shift: u32, mask: u32) -> u32 {
    // The upper bits of a product depend on all bits of its factor, and those in the middle on the address.
    let mixed = (tag >> (shift & 63)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 48 ^ mixed >> 32) as u32 & mask
}

/// Most buckets.
pub const MAX_BUCKETS: u32 = 1 << 20;

/// What the kernel part keeps of a traced process, in one word.
pub mod member {
    /// The family's number.
    pub const FAMILY: u32 = 0xffff;
    /// It uses another's memory (`vfork`), so it does not count as a member.
    pub const GUEST: u32 = 1 << 16;
    /// It is not traced itself: it is only known to use the memory of one that is.
    pub const UNTRACED: u32 = 1 << 17;
}

const _: () = {
    assert!(size_of::<Counts>() == 24);
    assert!(size_of::<Bucket>() == 64);
    assert!(size_of::<ThreadCounts>() == 256);
    assert!(member::FAMILY as usize == FAMILIES - 1);
};

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "all stay below 2^53")]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    fn as_float(value: u64) -> f64 {
        value as f64 / (1_u64 << 32) as f64
    }

    fn expected(random: u32) -> f64 {
        -((f64::from(random) + 1.0) / 4_294_967_296.0).ln()
    }

    /// The same numbers at every run (xorshift64*, by Sebastiano Vigna).
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u32 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
        }
    }

    #[test]
    fn it_is_the_logarithm_at_its_ends_and_in_between() {
        let ends = (0..1000).chain((0..32).map(|bit| 1 << bit)).chain((0..32).map(|bit| (1_u64 << bit) as u32 - 1));
        let top = (0..1000).map(|below| u32::MAX - below);
        let between = (0..u32::MAX).step_by(65_537);
        for random in ends.chain(top).chain(between) {
            let (found, expected) = (as_float(exponential(random)), expected(random));
            // A rounding error or two of 2^-31 each, and what the series lacks.
            let tolerance = 2e-9 + 4e-7 * expected;
            assert!((found - expected).abs() < tolerance, "{random}: {found} instead of {expected}");
        }
        assert_eq!(exponential(u32::MAX), 0);
    }

    #[test]
    fn values_are_distributed_as_they_must() {
        // Kolmogorov and Smirnov's distance is below 1.63 / sqrt(n) in 99 of 100 cases; the seed is fixed.
        const VALUES: usize = 200_000;
        let mut random = Random(42);
        let mut values: Vec<f64> = (0..VALUES).map(|_| as_float(exponential(random.next()))).collect();
        values.sort_by(f64::total_cmp);
        let count = VALUES as f64;
        let mean = values.iter().sum::<f64>() / count;
        let square = values.iter().map(|value| value * value).sum::<f64>() / count;
        assert!((mean - 1.0).abs() < 0.01 && (square - 2.0).abs() < 0.05, "{mean} {square}");
        let distance = values.iter().enumerate().fold(0.0_f64, |most, (index, value)| {
            let cdf = 1.0 - (-value).exp();
            most.max((cdf - index as f64 / count).abs()).max((cdf - (index as f64 + 1.0) / count).abs())
        });
        assert!(distance < 1.63 / count.sqrt(), "{distance}");
    }

    #[test]
    fn a_countdown_is_rounded_up_and_never_overflows() {
        assert_eq!(countdown(u32::MAX, MAX_INTERVAL), 0);
        for interval in [2, 16, 1000, 512 << 10, MAX_INTERVAL] {
            for random in [0, 1, 77, 1 << 20, 1 << 31, u32::MAX - 1] {
                let exact = expected(random) * f64::from(interval);
                let found = countdown(random, interval) as f64;
                let tolerance = 1.0 + 1e-6 * exact;
                assert!(found >= exact - tolerance && found <= exact + tolerance, "{found} instead of {exact}");
            }
        }
    }

    #[test]
    fn blocks_are_hit_as_often_as_their_sizes_say() {
        const BLOCKS: u32 = 400_000;
        for (size, interval) in [(64, 4096), (4096, 4096), (10_000, 4096), (1, 16), (100, 100_000)] {
            let mut random = Random(7);
            let mut left = countdown(random.next(), interval);
            let mut hits = 0_u32;
            for _ in 0..BLOCKS {
                if size < left {
                    left -= size;
                } else {
                    hits += 1;
                    left = countdown(random.next(), interval);
                }
            }
            let chance = 1.0 - (-(size as f64) / f64::from(interval)).exp();
            let expected = chance * f64::from(BLOCKS);
            let deviation = (expected * (1.0 - chance)).sqrt();
            assert!((f64::from(hits) - expected).abs() < 3.0 * deviation, "{size}/{interval}: {hits}, {expected}");
        }
    }

    #[test]
    fn tags_of_different_families_and_addresses_differ() {
        let (one, other) = (tag(1, 0x7fff_ffff_fff0), tag(2, 0x7fff_ffff_fff0));
        assert_ne!(one, other);
        assert_eq!((family_of(one), family_of(other)), (1, 2));
        assert_ne!(tag(1, 0x10), tag(1, 0x20));
    }

    #[test]
    fn buckets_are_filled_evenly_by_blocks_of_one_size_and_by_families() {
        for tags in [
            (0..64_000_u64).map(|block| tag(3, 0x5555_0000_0000 + block * 4096)).collect::<Vec<_>>(),
            (0..64_000_u64).map(|family| tag(family, 0x5555_0000_0000)).collect(),
        ] {
            let mut hits = [0_u32; 64];
            for tag in tags {
                hits[bucket_of(tag, 12, 63) as usize] += 1;
            }
            assert!(hits.iter().all(|&count| (800..1_200).contains(&count)), "{hits:?}");
        }
    }
}
