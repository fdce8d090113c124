//! What a shard tells of its accounts: numbers that can be added to those of other shards.

use heaptide_common::sampling::Counts;
use rustc_hash::FxHashMap;

use super::Spread;
use crate::profile::{ByMemory, End, Memory, Refused, Totals, Unmatched, Usage};

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
    /// What it has done, recorded or not; told with sampling alone.
    pub counts: Counts,
    /// Blocks that were recorded.
    pub recorded: u64,
    /// What is known of the blocks that are outstanding.
    pub spread: Spread,
    /// The stacks.
    pub stacks: Vec<StackSummary>,
}

/// One stack of an account.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StackSummary {
    /// The kind of memory.
    pub memory: Memory,
    /// The stack's id; 0 when it could not be taken.
    pub stack: u64,
    /// What became of its memory.
    pub totals: Totals,
    /// What is outstanding and old enough.
    pub shown: Usage,
    /// What is known of the blocks that are shown.
    pub spread: Spread,
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
        self.counts += other.counts;
        self.recorded += other.recorded;
        self.spread += other.spread;
        self.add_stacks(other.stacks);
    }

    /// Gives stacks other ids: those that then have the same are one.
    pub fn rename_stacks(&mut self, name: impl Fn(u64) -> u64) {
        let stacks = std::mem::take(&mut self.stacks);
        self.add_stacks(stacks.into_iter().map(|stack| StackSummary { stack: name(stack.stack), ..stack }).collect());
    }

    /// Makes one of the stacks that are the same and differ by the interval alone.
    pub fn join_intervals(&mut self) {
        self.rename_stacks(|id| id);
    }

    fn add_stacks(&mut self, stacks: Vec<StackSummary>) {
        let mut places: FxHashMap<_, _> =
            self.stacks.iter().enumerate().map(|(place, stack)| ((stack.memory, stack.stack), place)).collect();
        for stack in stacks {
            if let Some(&place) = places.get(&(stack.memory, stack.stack)) {
                let mine = &mut self.stacks[place];
                mine.totals += stack.totals;
                mine.shown += stack.shown;
                mine.spread += stack.spread;
            } else {
                places.insert((stack.memory, stack.stack), self.stacks.len());
                self.stacks.push(stack);
            }
        }
    }
}
