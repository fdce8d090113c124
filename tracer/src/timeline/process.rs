//! All that is sampled of one process.

use super::{Curve, Metric, Series, Tick};
use crate::numbers::float;

/// What was read of a process at one moment; what could not be read is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    values: [Option<u64>; Metric::ALL.len()],
}

impl Sample {
    /// Adds a value.
    #[must_use]
    pub const fn with(mut self, metric: Metric, value: u64) -> Self {
        self.values[metric.index()] = Some(value);
        self
    }

    /// A value, where it could be read.
    #[must_use]
    pub const fn get(&self, metric: Metric) -> Option<u64> {
        self.values[metric.index()]
    }

    /// What the allocators took from the kernel for the heap, in bytes.
    #[must_use]
    pub fn allocator(&self) -> Option<u64> {
        let (mapped, moved) = (self.get(Metric::AllocatorMapped)?, self.get(Metric::AllocatorBrk)?);
        Some(mapped.saturating_add(moved))
    }

    /// The sample of a family, such as a server and the workers that it forked: sums, but for what its members share. The
    /// resident set is the sum of proportional ones, since plain ones count pages that are still shared once for each
    /// member; the use and the limit of their control group are the largest. A value that any member lacks is not known.
    #[must_use]
    pub fn family(members: &[Self]) -> Self {
        let mut family = Self::default();
        for metric in Metric::ALL {
            let source = if metric == Metric::Rss { Metric::Pss } else { metric };
            let values: Option<Vec<u64>> = members.iter().map(|member| member.get(source)).collect();
            let together = |values: Vec<u64>| match metric {
                Metric::LimitUse | Metric::Limit => values.into_iter().max(),
                _ => values.into_iter().reduce(u64::saturating_add),
            };
            family.values[metric.index()] = values.and_then(together);
        }
        family
    }

    /// What the members of a family share among them or with others: their proportional set without what is private.
    #[must_use]
    pub fn shared(&self) -> Option<u64> {
        Some(self.get(Metric::Pss)?.saturating_sub(self.get(Metric::Uss)?))
    }
}

/// A series for each metric of a process.
#[derive(Clone, Debug)]
pub struct Timeline {
    series: Vec<Series>,
}

impl Timeline {
    /// Bins of each series, unless asked for otherwise: 700 KiB a process.
    pub const BINS: usize = 512;

    /// An empty one for samples every `interval` nanoseconds.
    #[must_use]
    pub fn new(bins: usize, interval: u64) -> Self {
        Self { series: vec![Series::new(bins, interval); Metric::ALL.len()] }
    }

    /// Adds a sample. A metric that could not be read has a gap there.
    pub fn push(&mut self, tick: Tick, sample: &Sample) {
        for (series, value) in self.series.iter_mut().zip(&sample.values) {
            if tick.gap.is_some() {
                series.mark_gap();
            }
            match value {
                Some(value) => series.push(tick.at, *value),
                None => series.mark_gap(),
            }
        }
    }

    /// The series of a metric: empty where it could never be read.
    #[must_use]
    pub fn series(&self, metric: Metric) -> &Series {
        &self.series[metric.index()]
    }

    /// The same for statistics.
    #[must_use]
    pub fn curve(&self, metric: Metric) -> Curve {
        self.series(metric).curve()
    }

    /// The share of the events so far that were lost.
    #[must_use]
    pub fn lost_share(&self) -> f64 {
        let read = |metric| self.series(metric).last().map_or(0.0, float);
        let (received, lost) = (read(Metric::Events), read(Metric::Lost));
        if lost > 0.0 { lost / (received + lost) } else { 0.0 }
    }

    /// Bytes of memory that it can take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.series.iter().map(Series::memory_bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Gap;

    #[test]
    fn a_family_shares_pages_and_has_one_limit() {
        let worker = |pss, uss| {
            let worker = Sample::default().with(Metric::Rss, 100).with(Metric::Limit, 512);
            worker.with(Metric::Pss, pss).with(Metric::Uss, uss)
        };
        let family = Sample::family(&[worker(60, 20), worker(50, 30)]);
        let read = [Metric::Rss, Metric::Uss, Metric::Limit, Metric::Swap].map(|metric| family.get(metric));
        assert_eq!(read, [Some(110), Some(50), Some(512), None]);
        assert_eq!(family.shared(), Some(60));
        assert_eq!(Sample::family(&[worker(1, 1), Sample::default()]).get(Metric::Uss), None);
    }

    #[test]
    fn what_cannot_be_read_for_a_while_leaves_a_gap_in_its_own_series() {
        let mut timeline = Timeline::new(8, 1);
        let both = Sample::default().with(Metric::Rss, 5).with(Metric::Uss, 4);
        timeline.push(Tick { at: 0, gap: None }, &both);
        timeline.push(Tick { at: 1, gap: None }, &Sample::default().with(Metric::Rss, 6));
        timeline.push(Tick { at: 2, gap: None }, &both);
        assert_eq!([Metric::Rss, Metric::Uss].map(|metric| timeline.curve(metric).gaps), [0, 1]);
        timeline.push(Tick { at: 30, gap: Some(Gap::Late(27)) }, &both);
        assert_eq!([Metric::Rss, Metric::Uss].map(|metric| timeline.curve(metric).gaps), [1, 2]);
    }
}
