//! What `heaptide watch` writes: a line an interval, for people, spreadsheets or programs, and the conclusion.

pub mod conclusion;
pub mod csv;
pub mod json;
pub mod line;
mod words;

use crate::{
    profile::MemoryLimit,
    timeline::Sample,
    verdict::{Kind, Verdict},
};

pub(super) use words::grouped;

/// What was held at one moment.
#[derive(Clone, Debug)]
pub struct Row {
    /// When, in seconds since 1970-01-01 00:00 UTC.
    pub unix_seconds: f64,
    /// Seconds since the watch began.
    pub seconds: f64,
    /// All processes together, when there are several.
    pub all: Option<Held>,
    /// Each process that runs.
    pub processes: Vec<Held>,
}

impl Row {
    /// All processes together, or the only one.
    #[must_use]
    pub fn sum(&self) -> Option<&Held> {
        self.all.as_ref().or_else(|| self.processes.first())
    }
}

/// What a process, or all of them, held at one moment.
#[derive(Clone, Debug)]
pub struct Held {
    /// The process; `None` for all.
    pub pid: Option<u32>,
    /// Its name.
    pub name: String,
    /// What was sampled.
    pub sample: Sample,
    /// Bytes allocated since the sample before.
    pub allocated: u64,
    /// Bytes freed since then.
    pub freed: u64,
    /// What it would reach.
    pub limit: Option<MemoryLimit>,
    /// The verdict on it.
    pub verdict: Option<Verdict>,
}

impl Held {
    /// How fast it grows, in bytes a second.
    fn growth(&self) -> Option<f64> {
        self.verdict.as_ref()?.bytes_per_second()
    }

    /// Whether the verdict on it is this word, and at least so sure.
    #[must_use]
    pub fn is_judged(&self, word: &str, sure: f64) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| verdict.kind.word() == word && verdict.confidence >= sure)
    }

    /// Whether it is said to grow.
    #[must_use]
    pub fn grows(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| matches!(verdict.kind, Kind::Growing | Kind::NotTheHeap { .. }))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{profile::Whose, timeline::Metric, verdict::Growth};

    pub(crate) fn held(pid: u32) -> Held {
        let sample = Sample::default()
            .with(Metric::Rss, 50_541_363)
            .with(Metric::OutstandingBytes, 13_002_342)
            .with(Metric::OutstandingBlocks, 61_203);
        let growth = Growth { bytes_per_second: 19_000.0, low: 18_000.0, high: 20_000.0 };
        let verdict = Verdict {
            kind: Kind::Growing,
            confidence: 0.97,
            growth: Some(growth),
            seconds_to_limit: None,
            reasons: Vec::new(),
        };
        let limit = MemoryLimit { used: 100 << 20, bytes: 512 << 20, whose: Whose::ControlGroup };
        Held {
            pid: Some(pid),
            name: "worker".to_owned(),
            sample,
            allocated: 4096,
            freed: 1024,
            limit: Some(limit),
            verdict: Some(verdict),
        }
    }

    pub(crate) fn row(all: Option<Held>, processes: Vec<Held>) -> Row {
        Row { unix_seconds: 1000.0, seconds: 10.0, all, processes }
    }
}
