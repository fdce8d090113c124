//! What a shard tells of its accounts: numbers that can be added to those of other shards.

use heaptide_common::sampling::Counts;
use rustc_hash::FxHashMap;

use super::{
    Moment, Spread,
    touched::{FaultCounts, TouchedRange},
};
use crate::profile::{Ages, ByMemory, End, Memory, Refused, Totals, Unmatched, Usage};

/// A process, from its start (or exec, or the begin of the trace) to its exec or exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The process.
    pub pid: u32,
    /// How many accounts of this process came before.
    pub generation: u32,
}

/// One account.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountSummary {
    /// Whose it is.
    pub key: Key,
    /// The parent, when the process was forked by a traced one.
    pub forked_from: Option<u32>,
    /// How it ended.
    pub end: Option<End>,
    /// The sums.
    pub sums: ByMemory,
    /// The highest moment that is known; `None` when nothing was ever held.
    pub peak: Option<AtPeak>,
    /// What it has done, recorded or not; told with sampling alone.
    pub counts: Counts,
    /// Blocks that were recorded.
    pub recorded: u64,
    /// What is known of the blocks that are outstanding.
    pub spread: Spread,
    /// How often memory had a stack for which there was no room: it is among that without a stack.
    pub refused_stacks: u64,
    /// Its page faults, when only the growth of memory is recorded.
    pub faults: FaultCounts,
    /// Of a process that has not ended, the pages that it has touched and not given back, as far as is known. The ring of
    /// mappings alone tells of them, and its summary is the first.
    pub touched: Vec<TouchedRange>,
    /// The stacks.
    pub stacks: Vec<StackSummary>,
}

/// When an account held most, to a fiftieth. With several rings, the latest of their highest moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtPeak {
    /// Outstanding bytes then.
    pub bytes: u64,
    /// When.
    pub at: Moment,
}

/// One stack of an account.
#[derive(Clone, Debug, PartialEq)]
pub struct StackSummary {
    /// The kind of memory.
    pub memory: Memory,
    /// The stack's id; 0 when it could not be taken.
    pub stack: u64,
    /// What became of its memory.
    pub totals: Totals,
    /// What is outstanding and old enough.
    pub shown: Usage,
    /// What it held when the account held most.
    pub at_peak: Usage,
    /// How old what it holds is, when that was asked for.
    pub ages: Option<Ages>,
    /// What it holds of each generation: before the first mark, after it, and so on; empty without marks.
    pub generations: Vec<Usage>,
    /// What is known of the blocks that are shown.
    pub spread: Spread,
    /// Whether the blocks were recorded in pulses: their sums can be made larger when it is known for how much more than
    /// time those stand.
    pub in_pulses: bool,
}

/// All that a shard knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// The accounts, in the order of their begin.
    pub accounts: Vec<AccountSummary>,
    /// Events without their partner.
    pub unmatched: Unmatched,
    /// Events refused.
    pub refused: Refused,
    /// Records read.
    pub events: u64,
}

impl Summary {
    /// What was recorded in pulses counts `factor` times as much, and is no longer told apart.
    pub fn scale_pulses(&mut self, factor: f64) {
        self.accounts.iter_mut().for_each(|account| account.scale_pulses(factor));
    }

    /// Adds another shard's knowledge.
    pub fn merge(&mut self, other: Self) {
        for account in other.accounts {
            match self.accounts.iter_mut().find(|mine| mine.key == account.key) {
                Some(mine) => mine.merge(account),
                None => self.accounts.push(account),
            }
        }
        self.unmatched += other.unmatched;
        self.refused += other.refused;
        self.events += other.events;
    }
}

impl AccountSummary {
    fn merge(&mut self, other: Self) {
        self.forked_from = self.forked_from.or(other.forked_from);
        self.end = self.end.or(other.end);
        self.sums += other.sums;
        self.peak = match (self.peak, other.peak) {
            (Some(mine), Some(other)) => {
                let later = if mine.at.since(other.at) < 1 << 51 { mine.at } else { other.at };
                Some(AtPeak { bytes: mine.bytes.saturating_add(other.bytes), at: later })
            }
            (mine, other) => mine.or(other),
        };
        self.counts += other.counts;
        self.recorded += other.recorded;
        self.spread += other.spread;
        self.refused_stacks += other.refused_stacks;
        self.add_stacks(other.stacks);
    }

    /// Gives stacks other ids: those that then have the same are one.
    pub fn rename_stacks(&mut self, name: impl Fn(u64) -> u64) {
        let stacks = std::mem::take(&mut self.stacks);
        self.add_stacks(stacks.into_iter().map(|stack| StackSummary { stack: name(stack.stack), ..stack }).collect());
    }

    /// Makes one of the stacks that are the same and differ by the choice of their blocks alone.
    pub fn join_choices(&mut self) {
        self.rename_stacks(|id| id);
    }

    fn scale_pulses(&mut self, factor: f64) {
        let mut is_in_sums = [false; Memory::ALL.len()];
        for stack in self.stacks.iter_mut().filter(|stack| stack.in_pulses) {
            let scaled = stack.totals.scaled(factor);
            let replace = |sum: &mut Totals| sum.replace(&stack.totals, &scaled);
            replace(self.sums.of_mut(stack.memory));
            if stack.memory.is_outstanding() {
                replace(&mut self.sums.outstanding);
            }
            is_in_sums[stack.memory as usize] = true;
            (stack.totals, stack.shown, stack.in_pulses) = (scaled, stack.shown.scaled(factor), false);
            let at_peak = stack.at_peak.scaled(factor);
            if let Some(peak) = &mut self.peak {
                peak.bytes = peak.bytes.saturating_sub(stack.at_peak.bytes).saturating_add(at_peak.bytes);
            }
            stack.at_peak = at_peak;
            stack.generations.iter_mut().for_each(|usage| *usage = usage.scaled(factor));
        }
        let scale = |sum: &mut Totals| sum.peak = sum.peak.scaled(factor).max(sum.outstanding);
        for memory in Memory::ALL.into_iter().filter(|&memory| is_in_sums[memory as usize]) {
            scale(self.sums.of_mut(memory));
        }
        if is_in_sums.contains(&true) {
            scale(&mut self.sums.outstanding);
            self.join_choices();
        }
    }

    fn add_stacks(&mut self, stacks: Vec<StackSummary>) {
        let mut places: FxHashMap<_, _> =
            self.stacks.iter().enumerate().map(|(place, stack)| (stack.name(), place)).collect();
        for stack in stacks {
            if let Some(&place) = places.get(&stack.name()) {
                self.stacks[place].add(stack);
            } else {
                places.insert(stack.name(), self.stacks.len());
                self.stacks.push(stack);
            }
        }
    }
}

impl StackSummary {
    fn add(&mut self, other: Self) {
        self.totals += other.totals;
        self.shown += other.shown;
        self.at_peak += other.at_peak;
        self.spread += other.spread;
        match (&mut self.ages, other.ages) {
            (Some(mine), Some(other)) => *mine += other,
            (mine, other) => *mine = mine.or(other),
        }
        if self.generations.is_empty() {
            self.generations = other.generations;
        } else {
            self.generations.iter_mut().zip(other.generations).for_each(|(mine, other)| *mine += other);
        }
    }

    /// What those that are one have in common.
    const fn name(&self) -> (Memory, u64, bool) {
        (self.memory, self.stack, self.in_pulses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(bytes: u64, blocks: u64) -> Usage {
        Usage { bytes, blocks }
    }

    fn stack(bytes: u64, in_pulses: bool) -> StackSummary {
        let (allocated, freed) = (usage(bytes, 4), usage(bytes / 4, 1));
        let outstanding = allocated - freed;
        let totals = Totals { allocated, freed, outstanding, peak: allocated, inherited: Usage::default() };
        let spread = Spread::default();
        StackSummary {
            memory: Memory::Heap,
            stack: 7,
            totals,
            shown: outstanding,
            at_peak: allocated,
            ages: None,
            generations: Vec::new(),
            spread,
            in_pulses,
        }
    }

    #[test]
    fn what_pulses_stand_for_is_added_to_what_is_whole() {
        let stacks = vec![stack(400, false), stack(40, true)];
        let mut sums = ByMemory::default();
        for stack in &stacks {
            sums.heap += stack.totals;
            sums.outstanding += stack.totals;
        }
        let account = AccountSummary {
            key: Key { pid: 1, generation: 0 },
            forked_from: None,
            end: None,
            sums,
            peak: Some(AtPeak { bytes: 440, at: Moment::from_nanoseconds(0) }),
            counts: Counts::NONE,
            recorded: 8,
            spread: Spread::default(),
            refused_stacks: 0,
            faults: FaultCounts::default(),
            touched: Vec::new(),
            stacks,
        };
        let mut summary = Summary { accounts: vec![account], ..Summary::default() };
        summary.scale_pulses(10.0);
        let account = &summary.accounts[0];
        assert_eq!(account.stacks.len(), 1);
        let totals = account.stacks[0].totals;
        assert_eq!((totals.allocated, totals.freed), (usage(800, 44), usage(200, 11)));
        assert_eq!((totals.outstanding, account.stacks[0].shown), (usage(600, 33), usage(600, 33)));
        assert_eq!(account.sums.heap.outstanding, usage(600, 33));
        assert_eq!(account.sums.outstanding.allocated, usage(800, 44));
        assert!(account.sums.heap.peak.bytes >= 800);
        assert_eq!(account.peak.map(|peak| peak.bytes), Some(800));
        assert_eq!(account.stacks[0].at_peak, usage(800, 44));
    }
}
