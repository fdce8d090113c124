//! How old what is outstanding is, and after which marks it was allocated: one look at every block.

use rustc_hash::FxHashMap;

use super::{Key, Moment};
use crate::profile::{Ages, Usage};

/// What is asked of the blocks of an account.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// When it is.
    pub now: Moment,
    /// Memory younger than so many nanoseconds is not shown.
    pub older: u64,
    /// The marks that were set, oldest first.
    pub marks: &'a [Moment],
    /// Whether ages and generations are wanted: that takes a look at every block.
    pub ages: bool,
}

/// What is known of the blocks of one stack.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    /// Old enough to be shown, in units of the ledger's grain.
    pub(super) shown: Usage,
    /// Bytes by age, in the same units.
    pub(super) ages: [u64; 5],
    /// What was allocated after each mark and before the next, in the same units: one more than there are marks, the first
    /// before any. Empty without marks.
    pub(super) generations: Vec<Usage>,
}

/// Sums by age while blocks are looked at.
pub(super) struct Survey {
    now: Moment,
    older: u64,
    /// How long ago each mark was set, oldest first.
    marks: Vec<u64>,
    pub(super) seen: Vec<Seen>,
}

impl Survey {
    pub(super) fn new(look: Look<'_>, entries: usize) -> Self {
        let marks: Vec<u64> = look.marks.iter().map(|&mark| look.now.since(mark)).collect();
        Self { now: look.now, older: look.older, marks, seen: vec![Seen::default(); entries] }
    }

    /// Adds a block of an entry, as the ledger weighs it.
    pub(super) fn add(&mut self, entry: u32, since: Moment, usage: Usage) {
        let age = self.now.since(since);
        let seen = &mut self.seen[entry as usize];
        if age >= self.older {
            seen.shown += usage;
        }
        let bucket = Ages::bucket(age);
        seen.ages[bucket] = seen.ages[bucket].saturating_add(usage.bytes);
        if !self.marks.is_empty() {
            let generation = self.marks.partition_point(|&mark| age < mark);
            if seen.generations.is_empty() {
                seen.generations = vec![Usage::default(); self.marks.len() + 1];
            }
            seen.generations[generation] += usage;
        }
    }
}

/// A look at the ages of all blocks in pieces, so that no ring is left alone for long.
#[derive(Debug)]
pub struct AgeScan {
    pub(super) now: Moment,
    /// Accounts that are still to be looked at, the next one last.
    pub(super) accounts: Vec<(usize, Key)>,
    /// The part of the next one's table.
    pub(super) part: usize,
    /// What is known so far: bytes by age for each entry, in units of the ledger's grain.
    pub(super) ages: FxHashMap<Key, Vec<[u64; 5]>>,
}

/// The ages of each stack of each open account, by the places of their totals.
pub type AgesOf = FxHashMap<Key, Vec<Ages>>;

impl AgeScan {
    /// Adds a block of an account's entry.
    pub(super) fn add(&self, ages: &mut Vec<[u64; 5]>, entry: u32, since: Moment, bytes: u64) {
        let index = entry as usize;
        if index >= ages.len() {
            ages.resize(index + 1, [0; 5]);
        }
        let place = &mut ages[index][Ages::bucket(self.now.since(since))];
        *place = place.saturating_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(seconds: u64) -> Moment {
        Moment::from_nanoseconds(seconds * SECOND)
    }

    #[test]
    fn a_block_counts_after_the_last_mark_before_it() {
        let marks = [at(10), at(20)];
        let look = Look { now: at(100), older: 85 * SECOND, marks: &marks, ages: true };
        let mut survey = Survey::new(look, 2);
        for (second, bytes) in [(5, 1), (12, 2), (19, 4), (25, 8), (98, 16)] {
            survey.add(1, at(second), Usage::block(bytes));
        }
        let seen = &survey.seen[1];
        assert_eq!(seen.generations.iter().map(|usage| usage.bytes).collect::<Vec<_>>(), [1, 6, 24]);
        assert_eq!(seen.generations.iter().map(|usage| usage.blocks).collect::<Vec<_>>(), [1, 2, 2]);
        // 2, 75, 81, 88 and 95 seconds.
        assert_eq!(seen.ages, [16, 0, 15, 0, 0]);
        assert_eq!(seen.shown.bytes, 3);
        assert_eq!(survey.seen[0], Seen::default());
    }
}
