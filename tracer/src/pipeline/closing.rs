//! What can be told of a recording only while the kernel part is loaded.

use std::time::{Duration, SystemTime};

use heaptide_common::Counter;

use super::{
    knowledge::Knowledge,
    tables::{TableCounts, TableMaker},
};
use crate::{
    kernel::{Counters, Outcomes, Tallied},
    profile::Budget,
};

/// How long a report waits for the tables that were asked for, and the stacks that need them.
const PATIENCE: Duration = Duration::from_secs(2);

/// What can be told only while the kernel part is loaded.
pub(super) struct Closing {
    pub(super) counters: Counters,
    pub(super) tallied: Tallied,
    pub(super) outcomes: Outcomes,
    pub(super) tables: TableCounts,
    /// What the traps of all hits cost.
    pub(super) trap_seconds: f64,
    /// Stacks that the session did not take in time.
    pub(super) refused_stacks: u64,
    pub(super) elapsed: Duration,
    pub(super) began: SystemTime,
    pub(super) bpf: Option<(f64, f64)>,
    pub(super) from_start: bool,
    pub(super) late: u64,
    pub(super) late_libraries: u64,
    /// The interval by which blocks are chosen, or the coarsest of several; `None` when all were recorded.
    pub(super) sampled: Option<u32>,
    /// What was done to keep a budget.
    pub(super) budget: Option<Budget>,
    pub(super) sees_guests: bool,
}

impl Closing {
    /// Runs of all programs at functions and page faults.
    pub(super) fn hits(&self) -> u64 {
        self.counters[Counter::Hits] + self.tallied.hits + self.counters[Counter::Faults]
    }

    /// Waits for the tables that were asked for, and for the stacks that need them.
    pub(super) fn settle(&mut self, tables: &TableMaker, known: &mut Knowledge) {
        known.finish_stacks(tables);
        self.tables = tables.settled(PATIENCE).unwrap_or_default();
        known.finish_stacks(tables);
        for (&(before, after), &walks) in &known.finished {
            self.outcomes.turn(before, after, walks);
        }
    }
}
