//! What a run of the probes' programs takes: as it was measured last, or assumed until it is.

use super::{Mode, Tick};

/// A run, on average.
#[derive(Clone, Copy, Debug)]
struct Run {
    nanoseconds: f64,
    /// Records that it sent.
    records: f64,
}

/// A run until one is measured: one that records, and one that does not.
const RECORDING: Run = Run { nanoseconds: 1_000.0, records: 1.0 };
const DISMISSING: Run = Run { nanoseconds: 200.0, records: 0.0 };

/// The most that a run takes which nobody has measured, in nanoseconds: three times what one with a stack of 200 frames does
/// (docs/benchmark.md). A number too high only has a run measured where that is not needed.
const DEAREST: f64 = 10_000.0;

/// A run sends at least so many records when all is recorded: of the three hits of a call's entry and return and its block's
/// release, two send one, and of a call that fails none. Less would make a record dearer than it can be.
const LEAST_RECORDS: f64 = 0.3;

/// What a run of the probes' programs takes.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    /// When all is recorded.
    full: Run,
    /// As it is sampled now; in pauses, of mappings alone.
    sampled: Run,
    /// Whether one was measured since it is recorded as it is now.
    is_measured: bool,
}

impl Programs {
    /// Not yet measured.
    pub(super) const fn new() -> Self {
        Self { full: RECORDING, sampled: DISMISSING, is_measured: false }
    }

    /// Takes in what was measured while blocks were recorded in this mode.
    pub(super) fn take(&mut self, mode: Mode, tick: &Tick) {
        if let Some(nanoseconds) = tick.program {
            let run = Run { nanoseconds, records: tick.records_a_hit() };
            *if records_all(mode) { &mut self.full } else { &mut self.sampled } = run;
            self.is_measured = true;
        }
    }

    /// Blocks are recorded otherwise from now on.
    pub(super) fn change(&mut self, before: Mode, after: Mode) {
        self.is_measured = false;
        self.sampled = match (before, after) {
            // By a coarser interval less is recorded than so far: it takes no longer.
            (Mode::Sampled(before), Mode::Sampled(after)) if after > before => self.sampled,
            // By a finer one more: it takes no less.
            (Mode::Sampled(_), Mode::Sampled(_)) if self.sampled.nanoseconds > DISMISSING.nanoseconds => self.sampled,
            _ => DISMISSING,
        };
    }

    /// Nanoseconds of a run in what was seen. When sampled blocks become larger, more of them are recorded than when a run
    /// was measured: that shows in the records at once.
    pub(super) fn now(&self, mode: Mode, tick: &Tick) -> f64 {
        if records_all(mode) {
            return self.full.nanoseconds;
        }
        let further = (tick.records_a_hit() - self.sampled.records).max(0.0);
        self.sampled.nanoseconds + further * self.full.nanoseconds / self.full.records.max(LEAST_RECORDS)
    }

    /// Nanoseconds of a run if all were recorded.
    pub(super) fn in_full(&self, mode: Mode, tick: &Tick) -> f64 {
        self.full.nanoseconds.max(self.now(mode, tick))
    }

    /// Nanoseconds that a run might take in the worst case, while none has been measured.
    pub(super) fn at_worst(&self) -> Option<f64> {
        (!self.is_measured).then_some(DEAREST)
    }
}

fn records_all(mode: Mode) -> bool {
    matches!(mode, Mode::Full | Mode::Pulse(_))
}
