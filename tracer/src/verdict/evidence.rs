//! What a verdict is made from.

use crate::numbers::float;
use crate::profile::Ages;
use crate::timeline::{Curve, Metric, Timeline};

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
    /// Of the blocks by which the heap has grown in the second half, the share in the place of which a block was released
    /// that is older than the trace.
    pub replaced: f64,
    /// Whether `heap` is the resident set, since it is not known what is outstanding.
    pub by_resident_set: bool,
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
        let used = last(Metric::LimitUse).or_else(|| last(Metric::Rss));
        Self {
            heap,
            mappings: read(Metric::Mapped),
            files: read(Metric::MappedFiles),
            thread_stacks: read(Metric::ThreadStacks),
            resident,
            limit: used.zip(last(Metric::Limit)),
            ages: None,
            lost: timeline.lost_share(),
            replaced: replaced(timeline),
            by_resident_set: false,
        }
    }

    /// Of a process of which it is not known what is outstanding: by its resident anonymous memory.
    #[must_use]
    pub fn by_resident_set(timeline: &Timeline) -> Self {
        let heap = timeline.curve(Metric::Anonymous);
        Self { heap, resident: None, mappings: None, replaced: 0.0, by_resident_set: true, ..Self::of(timeline) }
    }

    /// Of a stack.
    #[must_use]
    pub fn of_stack(curve: Curve, ages: Option<Ages>, lost: f64) -> Self {
        Self { heap: curve, ages, lost, ..Self::default() }
    }
}

/// A trace that begins in the middle knows nothing of older blocks: a program that replaces them holds more and more that is
/// known, and no more than before.
fn replaced(timeline: &Timeline) -> f64 {
    let risen = |metric| {
        let curve = timeline.curve(metric);
        let (Some(first), Some(last)) = (curve.points.first(), curve.points.last()) else { return 0.0 };
        let middle = f64::midpoint(first.seconds, last.seconds);
        let half = curve.points.iter().find(|point| point.seconds >= middle).map_or(first.mean, |point| point.mean);
        last.mean - half
    };
    let (grown, released) = (risen(Metric::OutstandingBlocks), risen(Metric::OlderReleases));
    if grown > 0.0 { (released / grown).clamp(0.0, 1.0) } else { 0.0 }
}
