//! One number over time, in a fixed number of bins.

use super::SECOND;
use super::curve::{Curve, Point};
use crate::numbers::float;

/// What was sampled in a stretch of time. Times are nanoseconds on the axis of [`super::Clock`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Time of the first sample.
    pub begin: u64,
    /// Time of the last sample.
    pub end: u64,
    /// The smallest value.
    pub min: u64,
    /// The largest value.
    pub max: u64,
    /// The last value.
    pub last: u64,
    /// How many samples there were.
    pub samples: u32,
    /// Whether there is a gap in it, or before its first sample.
    pub gap: bool,
    sum: f64,
}

impl Bin {
    const fn of(at: u64, value: u64, gap: bool) -> Self {
        let sum = float(value);
        Self { begin: at, end: at, min: value, max: value, last: value, samples: 1, gap, sum }
    }

    /// The mean of the samples.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sum / f64::from(self.samples)
    }

    /// This one and the one after it as one.
    fn with(&self, next: &Self) -> Self {
        Self {
            begin: self.begin,
            end: next.end,
            min: self.min.min(next.min),
            max: self.max.max(next.max),
            last: next.last,
            samples: self.samples.saturating_add(next.samples),
            gap: self.gap || next.gap,
            sum: self.sum + next.sum,
        }
    }

    fn point(&self) -> Point {
        let middle = self.begin + (self.end - self.begin) / 2;
        Point { seconds: float(middle) / SECOND, low: float(self.min), mean: self.mean(), high: float(self.max) }
    }
}

/// A number over time. Its memory is fixed: when all bins are used, each two become one of twice the width.
#[derive(Clone, Debug)]
pub struct Series {
    bins: Vec<Bin>,
    capacity: usize,
    width: u64,
    /// Half of the first width: samples come at whole ones, a little earlier or later, and lie in the middle of their bins.
    early: u64,
    gap: bool,
    refused: u64,
}

impl Series {
    /// An empty one of `capacity` bins (at least two), each `width` nanoseconds wide at first (at least one).
    #[must_use]
    pub fn new(capacity: usize, width: u64) -> Self {
        let (capacity, width) = (capacity.max(2), width.max(1));
        Self { bins: Vec::new(), capacity, width, early: width / 2, gap: false, refused: 0 }
    }

    /// Adds a sample. One that is older than the last has no place any more, and is counted.
    pub fn push(&mut self, at: u64, value: u64) {
        let bin = Bin::of(at, value, std::mem::take(&mut self.gap));
        if let Some(last) = self.bins.last_mut() {
            if at < last.end {
                self.refused += 1;
                return;
            }
            if place(at, self.early, self.width) == place(last.begin, self.early, self.width) {
                *last = last.with(&bin);
                return;
            }
        }
        self.bins.push(bin);
        while self.bins.len() > self.capacity {
            self.halve();
        }
    }

    /// The samples before and after this moment are not neighbours.
    pub const fn mark_gap(&mut self) {
        self.gap = true;
    }

    /// The bins, oldest first. Those without a sample are left out.
    #[must_use]
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// Width of a bin in nanoseconds, by now.
    #[must_use]
    pub const fn width(&self) -> u64 {
        self.width
    }

    /// Samples that came with a time before the last one.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// The last value.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.bins.last().map(|bin| bin.last)
    }

    /// For a counter: what came between the last samples of each two neighbours, with the seconds between them.
    pub fn intervals(&self) -> impl Iterator<Item = (u64, f64)> {
        self.bins.windows(2).filter_map(|pair| {
            let [before, after] = pair else { return None };
            Some((after.last.saturating_sub(before.last), float(after.end - before.end) / SECOND))
        })
    }

    /// For statistics. A last bin that is less than half full would have a minimum that is too high and a mean that is too
    /// noisy: it is counted with the one before.
    #[must_use]
    pub fn curve(&self) -> Curve {
        let gaps = self.bins.iter().skip(1).filter(|bin| bin.gap).count();
        let mut points: Vec<Point> = self.bins.iter().map(Bin::point).collect();
        if let [.., before, last] = self.bins.as_slice()
            && last.samples * 2 < before.samples
        {
            points.truncate(self.bins.len() - 2);
            points.push(before.with(last).point());
        }
        Curve { points, gaps }
    }

    /// Bytes of memory that it takes, or will take when it is full.
    #[must_use]
    pub const fn memory_bytes(&self) -> usize {
        size_of::<Self>() + (self.capacity + 1) * size_of::<Bin>()
    }

    fn halve(&mut self) {
        self.width = self.width.saturating_mul(2);
        let mut kept: usize = 0;
        for index in 1..self.bins.len() {
            let bin = self.bins[index];
            if place(bin.begin, self.early, self.width) == place(self.bins[kept].begin, self.early, self.width) {
                self.bins[kept] = self.bins[kept].with(&bin);
            } else {
                kept += 1;
                self.bins[kept] = bin;
            }
        }
        self.bins.truncate(kept + 1);
    }
}

/// The number of the bin that a time belongs to.
const fn place(at: u64, early: u64, width: u64) -> u64 {
    at.saturating_add(early) / width
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn samples_that_come_a_little_early_or_late_have_bins_of_their_own() {
        let mut series = Series::new(100, 1000);
        for sample in 1..50_u64 {
            series.push(1000 * sample + 4 - [0, 7, 3, 8][sample as usize % 4], sample);
        }
        assert_eq!(series.bins().len(), 49);
        assert!(series.bins().iter().all(|bin| bin.samples == 1));
    }

    #[test]
    fn a_full_series_halves_its_resolution_and_forgets_no_extreme() {
        let mut series = Series::new(8, 10);
        for at in 0..1000 {
            series.push(at, if at == 333 { 7_000 } else { 1_000 - at });
        }
        assert!(series.bins().len() > 4 && series.bins().len() <= 8, "{}", series.bins().len());
        assert_eq!(series.width(), 160);
        assert_eq!(series.bins().iter().map(|bin| bin.samples).sum::<u32>(), 1000);
        assert_eq!(series.bins().iter().map(|bin| bin.max).max(), Some(7_000));
        assert_eq!(series.bins().iter().map(|bin| bin.min).min(), Some(1));
        // Half of the first width earlier than a whole 160.
        assert_eq!((series.bins()[0].begin, series.bins()[0].end, series.last()), (0, 154, Some(1)));
    }

    #[test]
    fn samples_far_apart_fit_as_well() {
        let mut series = Series::new(4, 1);
        for power in 0..60 {
            series.push(1 << power, power);
        }
        assert!(series.bins().len() <= 4);
        assert_eq!(series.last(), Some(59));
    }

    #[test]
    fn an_older_sample_is_refused_and_counted() {
        let mut series = Series::new(4, 1);
        series.push(10, 1);
        series.push(9, 2);
        series.push(10, 3);
        assert_eq!((series.last(), series.refused()), (Some(3), 1));
    }

    #[test]
    fn a_gap_stays_marked_when_bins_are_joined() {
        let mut series = Series::new(4, 1);
        for at in 0..40 {
            if at == 20 {
                series.mark_gap();
            }
            series.push(at, 1);
        }
        assert_eq!(series.bins().iter().filter(|bin| bin.gap).count(), 1);
        assert_eq!(series.curve().gaps, 1);
    }

    #[test]
    fn a_counter_is_told_by_what_came_in_each_interval() {
        let mut series = Series::new(4, 1_000_000_000);
        for (second, value) in [(0, 5), (1, 9), (3, 10)] {
            series.push(second * 1_000_000_000, value);
        }
        assert_eq!(series.intervals().collect::<Vec<_>>(), [(4, 1.0), (1, 2.0)]);
    }

    #[test]
    fn a_last_bin_that_has_hardly_begun_is_no_point_of_its_own() {
        let mut series = Series::new(8, 10);
        // A new bin begins at 25.
        (0..26).for_each(|at| series.push(at, 100 + at));
        let curve = series.curve();
        assert_eq!(curve.points.len(), 3);
        assert!((curve.points[2].low - 115.0).abs() < 1e-9 && (curve.points[2].high - 125.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn any_samples_fit_and_are_all_counted(
            samples in prop::collection::vec((0..1_u64 << 40, any::<u64>()), 1..300), capacity in 2..20_usize
        ) {
            let mut series = Series::new(capacity, 1);
            let mut at = 0;
            for &(step, value) in &samples {
                at += step;
                series.push(at, value);
            }
            prop_assert!(series.bins().len() <= capacity);
            prop_assert!(series.bins().windows(2).all(|pair| pair[0].end < pair[1].begin));
            prop_assert_eq!(series.bins().iter().map(|bin| bin.samples as usize).sum::<usize>(), samples.len());
            prop_assert_eq!(series.bins().iter().map(|bin| bin.max).max(), samples.iter().map(|sample| sample.1).max());
        }
    }
}
