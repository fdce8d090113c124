//! What a verdict is made from.

use serde::Serialize;

use crate::timeline::{Curve, Metric, Timeline, float};

/// How old the bytes are that are outstanding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Ages {
    /// Bytes younger than 5 seconds, from 5 to 60 seconds, from 1 to 5 minutes, from 5 minutes to an hour, and older.
    pub bytes: [u64; 5],
}

impl Ages {
    /// The upper bounds of all buckets but the last, in seconds.
    pub const BOUNDS: [f64; 4] = [5.0, 60.0, 300.0, 3600.0];

    /// Counts a block.
    pub fn add(&mut self, age_seconds: f64, bytes: u64) {
        let bucket = Self::BOUNDS.iter().filter(|bound| age_seconds >= **bound).count();
        self.bytes[bucket] = self.bytes[bucket].saturating_add(bytes);
    }

    /// The share of bytes at least as old as one of the bounds; `None` of none.
    #[must_use]
    pub fn older(&self, seconds: f64) -> Option<f64> {
        let first = Self::BOUNDS.iter().filter(|bound| **bound <= seconds).count();
        let sum = |bytes: &[u64]| bytes.iter().map(|bytes| float(*bytes)).sum::<f64>();
        let all = sum(&self.bytes);
        (all > 0.0).then(|| sum(&self.bytes[first..]) / all)
    }
}

/// The resident set, and what of it is in use, as curves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResidentSet {
    /// Resident bytes.
    pub resident: Curve,
    /// What the program has in use, heap and mappings.
    pub in_use: Curve,
}

/// All that is known of a process or a stack.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Bytes outstanding in the heap: without mappings that the program made itself.
    pub heap: Curve,
    /// Bytes of anonymous mappings that it made.
    pub mappings: Option<Curve>,
    /// Bytes of files that it mapped.
    pub files: Option<Curve>,
    /// Bytes of its threads' stacks.
    pub thread_stacks: Option<Curve>,
    /// For the process as a whole.
    pub resident: Option<ResidentSet>,
    /// What counts against the limit now, and the limit: of the control group, or the machine's memory.
    pub limit: Option<(f64, f64)>,
    /// How old what is outstanding is.
    pub ages: Option<Ages>,
    /// The share of events that were lost.
    pub lost: f64,
}

impl Evidence {
    /// Of a process.
    #[must_use]
    pub fn of(timeline: &Timeline) -> Self {
        let read = |metric| Some(timeline.curve(metric)).filter(|curve| !curve.points.is_empty());
        let last = |metric| timeline.series(metric).last().map(float);
        let in_use = timeline.curve(Metric::OutstandingBytes);
        let heap = read(Metric::Heap).unwrap_or_else(|| in_use.clone());
        let resident = read(Metric::Rss).map(|resident| ResidentSet { resident, in_use });
        let used = last(Metric::CgroupUse).or_else(|| last(Metric::Rss));
        let [received, missed] = [Metric::Events, Metric::Lost].map(|metric| last(metric).unwrap_or(0.0));
        Self {
            heap,
            mappings: read(Metric::Mapped),
            files: read(Metric::MappedFiles),
            thread_stacks: read(Metric::ThreadStacks),
            resident,
            limit: used.zip(last(Metric::CgroupLimit)),
            ages: None,
            lost: if missed > 0.0 { missed / (received + missed) } else { 0.0 },
        }
    }

    /// Of a stack.
    #[must_use]
    pub fn of_stack(curve: Curve, ages: Option<Ages>, lost: f64) -> Self {
        Self { heap: curve, ages, lost, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_counted_from_their_bounds_on() {
        let mut ages = Ages::default();
        for (age, bytes) in [(0.0, 1), (4.9, 1), (5.0, 2), (299.0, 4), (300.0, 8), (1e9, 16)] {
            ages.add(age, bytes);
        }
        assert_eq!(ages.bytes, [2, 2, 4, 8, 16]);
        assert!((ages.older(300.0).unwrap() - 0.75).abs() < 1e-12);
        assert_eq!(Ages::default().older(5.0), None);
    }
}
