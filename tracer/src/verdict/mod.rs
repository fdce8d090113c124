//! Is it a leak? From what a process or a stack held over time to a verdict that says how sure it is, and why.
//!
//! ```text
//! curve ─> cycles ─> levels ─> steps, phases, bend ─> shape ─┐
//! facts beside it (resident set, mappings, ages, losses) ────┴─> verdict
//! ```
//!
//! A true leak never levels off; bloat does. So a verdict looks at the tail of the curve: whether it still rises
//! ([`statistics::mann_kendall`], [`statistics::theil_sen`]), after start-up ([`statistics::phases`]), on the lower envelope
//! where memory comes and goes (`cycles`), and whether the rise slows down ([`statistics::bend`]). Where two answers fit,
//! the verdict is that it is too early to say. Nothing here reads a clock: the same curve has the same verdict for ever.

mod cycles;
mod evidence;
mod judge;
mod levels;
mod phases;
mod retention;
mod shape;
mod steps;
mod suppressions;
mod suspects;

pub mod statistics;

use serde::Serialize;

pub use evidence::{Evidence, ResidentSet};
pub use judge::judge;
pub use shape::{Shape, shape};
pub use suppressions::{Problem, Suppression, Suppressions, SuppressionsError};
pub use suspects::{Ranking, Suspect, suspects};

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Kind {
    /// It grows and nothing shows that it would ever stop: a leak suspect.
    Growing,
    /// It grew, and approaches or has reached a plateau: bloat, a cache that warms up.
    LevelingOff {
        /// Bytes at which it ends.
        plateau: f64,
    },
    /// It does not grow.
    Steady,
    /// It comes and goes, and its low points do not grow.
    Sawtooth,
    /// It gets less.
    Shrinking,
    /// The program does not grow; its allocator keeps memory that the program has freed.
    Retention {
        /// Bytes kept.
        bytes: u64,
    },
    /// The heap does not grow; something else does.
    NotTheHeap {
        /// What grows.
        what: Elsewhere,
    },
    /// What was seen fits more than one answer.
    TooEarly {
        /// Seconds after which it is worth to ask again.
        watch_longer: f64,
    },
}

impl Kind {
    /// In one word, as in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Growing => "growing",
            Self::LevelingOff { .. } => "leveling_off",
            Self::Steady => "steady",
            Self::Sawtooth => "sawtooth",
            Self::Shrinking => "shrinking",
            Self::Retention { .. } => "retention",
            Self::NotTheHeap { .. } => "not_the_heap",
            Self::TooEarly { .. } => "too_early",
        }
    }
}

/// Memory that is not the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Elsewhere {
    /// Anonymous mappings that the program makes itself.
    AnonymousMappings,
    /// Files that it maps.
    MappedFiles,
    /// Stacks of its threads.
    ThreadStacks,
}

/// Growth in bytes a second, with an interval of 95 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Growth {
    /// The estimate.
    pub bytes_per_second: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// What speaks for a verdict, or limits it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// There are too few samples for any statistics.
    FewSamples {
        /// How many there are.
        samples: usize,
    },
    /// There is a trend: how likely this rise or fall would be by chance (Mann and Kendall, corrected by Hamed and Rao).
    Trend {
        /// That likelihood.
        p: f64,
    },
    /// No trend was found, and it could be no more than this in the whole time.
    NoTrend {
        /// Bytes.
        at_most: f64,
    },
    /// A trend that could be there would be too small to be seen yet.
    Uncertain {
        /// Bytes that it may have grown by in all.
        at_most: f64,
    },
    /// Growth goes on undiminished: time constants of a saturating curve that can have passed, at most.
    NotLevelingOff {
        /// The upper end of the bend's interval.
        bend: f64,
    },
    /// Growth slows down: time constants that have passed, at least.
    SlowsDown {
        /// The lower end of the bend's interval.
        bend: f64,
    },
    /// Growth may slow down or may not.
    BendUnknown {
        /// The interval of the bend.
        low: f64,
        /// Its upper end.
        high: f64,
    },
    /// An earlier phase ended after so many seconds, and was left out.
    PhaseEnded {
        /// Seconds on the axis.
        seconds: f64,
    },
    /// It comes and goes: growth was judged by the low points.
    Cycles {
        /// How many were seen.
        count: usize,
        /// Seconds of one.
        period: f64,
    },
    /// It grows in steps, and none is overdue.
    StepsGoOn {
        /// How many were seen.
        count: usize,
    },
    /// The last values are higher than those before, and it is not known yet whether they stay so.
    JustRose,
    /// It rose, but hardly beyond where it was before.
    CameBack,
    /// Growth has become less, and it is not known yet whether it ends.
    JustSlowed,
    /// The resident set is larger than what is in use needs.
    Kept {
        /// By so many bytes more than at its best.
        bytes: f64,
    },
    /// Something beside the heap grows.
    Beside {
        /// What.
        what: Elsewhere,
    },
    /// Hardly anything of it is old.
    Young,
    /// Blocks that are older than the trace, and so not known, were released meanwhile.
    Replaces {
        /// In the place of what share of the blocks that came, from 0 to 1.
        share: f64,
    },
    /// What is outstanding is not known: the resident set was judged.
    ByResidentSet,
    /// It was watched for so short a time that bloat that grows steadily at first would look the same.
    ShortWatch {
        /// Seconds.
        seconds: f64,
    },
    /// Events were lost: a share of all.
    Lost {
        /// From 0 to 1.
        share: f64,
    },
    /// There are stretches of which nothing is known.
    Gaps {
        /// How many.
        count: usize,
    },
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// What it is.
    #[serde(flatten)]
    pub kind: Kind,
    /// How sure that is, from 0 to 1.
    pub confidence: f64,
    /// How fast what the verdict is about grows, where a trend was looked for.
    pub growth: Option<Growth>,
    /// Seconds until the limit is reached at that rate, where it grows and there is a limit.
    pub seconds_to_limit: Option<f64>,
    /// Why, the weightiest first.
    pub reasons: Vec<Reason>,
}

impl Verdict {
    /// How fast it grows, in bytes a second.
    #[must_use]
    pub fn bytes_per_second(&self) -> Option<f64> {
        self.growth.map(|growth| growth.bytes_per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_json() {
        let kinds = [
            Kind::Growing,
            Kind::LevelingOff { plateau: 1.0 },
            Kind::Steady,
            Kind::Sawtooth,
            Kind::Shrinking,
            Kind::Retention { bytes: 1 },
            Kind::NotTheHeap { what: Elsewhere::MappedFiles },
            Kind::TooEarly { watch_longer: 1.0 },
        ];
        for kind in kinds {
            assert_eq!(serde_json::to_value(kind).unwrap()["verdict"], kind.word());
        }
    }
}
