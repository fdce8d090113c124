//! The kernel part's counters, summed over the CPUs.

use std::ops::Index;

use aya::maps::{MapData, PerCpuArray};
use heaptide_common::{Counter, unwind::Outcome};

use super::LoadError;

/// A reading of all counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters([u64; Counter::COUNT]);

impl Index<Counter> for Counters {
    type Output = u64;

    fn index(&self, counter: Counter) -> &u64 {
        &self.0[counter as usize]
    }
}

impl Counters {
    /// Events lost because a ring was full.
    #[must_use]
    pub fn lost(&self) -> u64 {
        [
            Counter::LostAllocation,
            Counter::LostRelease,
            Counter::LostResize,
            Counter::LostMapping,
            Counter::LostProcess,
            Counter::CallTableFull,
            Counter::LostFault,
        ]
        .iter()
        .map(|&counter| self[counter])
        .sum()
    }
}

pub(super) fn read(map: &PerCpuArray<MapData, u64>) -> Result<Counters, LoadError> {
    let mut counters = Counters::default();
    for counter in Counter::ALL {
        counters.0[counter as usize] = map.get(&(counter as u32), 0)?.iter().sum();
    }
    counters.0[Counter::Hits as usize] += counters[Counter::HitsAtReturns];
    Ok(counters)
}

/// How many walks of a stack ended in each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes([u64; Outcome::COUNT]);

impl Index<Outcome> for Outcomes {
    type Output = u64;

    fn index(&self, outcome: Outcome) -> &u64 {
        &self.0[outcome as usize]
    }
}

impl Outcomes {
    /// Some walks that ended in one way have ended in another one.
    pub fn turn(&mut self, before: Outcome, after: Outcome, walks: u64) {
        let turned = walks.min(self[before]);
        self.0[before as usize] -= turned;
        self.0[after as usize] += turned;
    }
}

pub(super) fn read_outcomes(map: &PerCpuArray<MapData, u64>) -> Result<Outcomes, LoadError> {
    let mut outcomes = Outcomes::default();
    for outcome in Outcome::ALL {
        outcomes.0[outcome as usize] = map.get(&u32::from(outcome as u8), 0)?.iter().sum();
    }
    Ok(outcomes)
}
