//! A session over time: samples of what is held, marks, and processes that come later.

use std::time::Duration;

use super::{Session, SessionError};
use crate::{
    live::{Key, Moment},
    pipeline::{knowledge::Knowledge, reader, timelines::Timelines},
    process::printable,
    profile::{Frame, Mark, MemoryLimit},
    timeline::{Sample, Tick, Timeline},
    verdict::{Suppressions, Verdict},
};

/// Marks that are kept: beyond it every second one goes, so that they still span the whole recording.
const MOST_MARKS: usize = 32;

/// The marks that were set, oldest first.
#[derive(Default)]
pub(super) struct Marks {
    moments: Vec<Moment>,
    told: Vec<Mark>,
    set: u32,
}

impl Marks {
    pub(super) fn told(&self) -> &[Mark] {
        &self.told
    }

    fn set(&mut self, moment: Moment, elapsed: Duration) -> Mark {
        if self.told.len() >= MOST_MARKS {
            // The newest one stays.
            thin(&mut self.moments);
            thin(&mut self.told);
        }
        self.set += 1;
        let mark = Mark { number: self.set, seconds: elapsed.as_secs_f64() };
        self.moments.push(moment);
        self.told.push(mark);
        mark
    }
}

fn thin<T>(all: &mut Vec<T>) {
    let mut index = 0;
    all.retain(|_| {
        index += 1;
        index % 2 == 0
    });
}

/// A process as it was sampled last.
#[derive(Clone, Debug)]
pub struct Current {
    /// The process.
    pub key: Key,
    /// Its command's name, without control characters.
    pub name: String,
    /// The sample.
    pub sample: Sample,
    /// What it would reach.
    pub limit: Option<MemoryLimit>,
    /// The verdict on it.
    pub verdict: Option<Verdict>,
}

impl Session {
    /// Samples what is held, and judges it; what stacks hold is looked at unless there are so many that it would cost too
    /// much.
    pub async fn sample(&mut self) -> Result<(), SessionError> {
        self.sample_with(self.timelines.wants_stacks()).await
    }

    /// The same at the end of a recording, with what all stacks hold.
    pub async fn sample_last(&mut self) -> Result<(), SessionError> {
        self.sample_with(true).await
    }

    async fn sample_with(&mut self, stacks: bool) -> Result<(), SessionError> {
        let mut samples = Vec::with_capacity(self.readers.len());
        for reader in &self.readers {
            samples.push(reader.sample(stacks).await.ok_or(SessionError::ThreadDied)?);
        }
        let lost = self.kernel.counters().map_or(0, |counters| counters.lost());
        if self.config.kernel.growth || self.keeper.as_ref().is_some_and(|keeper| keeper.told().pulses.is_some()) {
            self.timelines.go_by_resident_set();
        }
        self.timelines.take_in(samples, lost);
        self.timelines.look_at_ages(&self.readers);
        self.suppress();
        Ok(())
    }

    /// What is allocated from now on is another generation.
    pub fn mark(&mut self) -> Mark {
        let mark = self.marks.set(reader::now(), self.began.0.elapsed());
        for reader in &self.readers {
            reader.set_marks(self.marks.moments.clone());
        }
        mark
    }

    /// The processes that run, as they were sampled last.
    #[must_use]
    pub fn current(&self) -> Vec<Current> {
        let current = |(key, sample, verdict): (Key, &Sample, Option<&Verdict>)| Current {
            key,
            name: printable(&self.known.processes.name(key)),
            sample: *sample,
            limit: self.timelines.limit(key),
            verdict: verdict.cloned(),
        };
        self.timelines.current().map(current).collect()
    }

    /// All processes together, once there were several: their timeline and the verdict on it.
    #[must_use]
    pub fn family(&self) -> Option<(&Timeline, Option<&Verdict>)> {
        self.timelines.family()
    }

    /// When the last sample was taken.
    #[must_use]
    pub const fn sampled_at(&self) -> Tick {
        self.timelines.now()
    }

    pub(super) fn suppress(&mut self) {
        suppress(&self.config.suppressions, &mut self.timelines, &mut self.known);
    }
}

/// Matches the names of stacks that grow with the suppressions; judges those anew whose growth turns out to be known.
pub(super) fn suppress(suppressions: &Suppressions, timelines: &mut Timelines, known: &mut Knowledge) {
    if suppressions.is_empty() {
        return;
    }
    let mut is_changed = false;
    for (key, name) in timelines.unmatched_suspects() {
        let frames = known.frames(key, name.1);
        if frames.is_empty() && name.1 != 0 {
            continue; // the stack is on its way
        }
        let names: Vec<&str> = frames.iter().flat_map(Frame::names).collect();
        let pattern = suppressions.matching(&names).map(|found| found.pattern().to_owned());
        is_changed |= pattern.is_some();
        timelines.matched(key, name, pattern);
    }
    if is_changed {
        timelines.judge_all();
    }
}
