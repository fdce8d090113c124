//! How old memory is.

use serde::Serialize;

use crate::numbers::float;

/// How old the bytes are that are outstanding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Ages {
    /// Bytes younger than 5 seconds, from 5 to 60 seconds, from 1 to 5 minutes, from 5 minutes to an hour, and older.
    pub bytes: [u64; 5],
}

impl Ages {
    /// The upper bounds of all buckets but the last, in seconds.
    pub const BOUNDS: [u64; 4] = [5, 60, 300, 3600];

    /// The bucket of what is so many nanoseconds old.
    #[must_use]
    pub fn bucket(nanoseconds: u64) -> usize {
        Self::BOUNDS.iter().filter(|&&bound| nanoseconds >= bound * 1_000_000_000).count()
    }

    /// The share of bytes at least as old as one of the bounds; `None` of none.
    #[must_use]
    pub fn older(&self, seconds: u64) -> Option<f64> {
        let first = Self::BOUNDS.iter().filter(|&&bound| bound <= seconds).count();
        let sum = |bytes: &[u64]| bytes.iter().map(|bytes| float(*bytes)).sum::<f64>();
        let all = sum(&self.bytes);
        (all > 0.0).then(|| sum(&self.bytes[first..]) / all)
    }
}

impl std::ops::AddAssign for Ages {
    fn add_assign(&mut self, other: Self) {
        for (mine, other) in self.bytes.iter_mut().zip(other.bytes) {
            *mine = mine.saturating_add(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_counted_from_their_bounds_on() {
        let mut ages = Ages::default();
        let second = 1_000_000_000;
        let blocks =
            [(0, 1), (5 * second - 1, 1), (5 * second, 2), (299 * second, 4), (300 * second, 8), (1 << 60, 16)];
        for (age, bytes) in blocks {
            ages.bytes[Ages::bucket(age)] += bytes;
        }
        assert_eq!(ages.bytes, [2, 2, 4, 8, 16]);
        assert!((ages.older(300).unwrap() - 0.75).abs() < 1e-12);
        assert_eq!(Ages::default().older(5), None);
    }
}
