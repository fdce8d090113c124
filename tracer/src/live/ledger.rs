//! Totals for each kind of memory and stack of one process.

use rustc_hash::FxHashMap;

use super::{
    grain::{Choice, Grain},
    sample::Change,
};
use crate::profile::{ByMemory, Memory, Totals, Usage};

/// One stack's totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The kind of memory.
    pub memory: Memory,
    /// The stack's id; 0 when it could not be taken.
    pub stack: u64,
    /// By what its blocks were chosen.
    pub choice: Choice,
    /// What became of its memory, in units of the ledger's grain.
    totals: Totals,
    /// Whether it is among those that have changed.
    is_changed: bool,
}

/// Most entries of a ledger, some 150 bytes each: memory whose stack finds none counts as without a stack.
const MOST_ENTRIES: usize = 1 << 20;

/// All totals of one process. An entry's index is good for as long as the ledger is.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    grain: Grain,
    index: FxHashMap<(Memory, u64, Choice), u32>,
    entries: Vec<Entry>,
    sums: ByMemory,
    refused: u64,
    /// Entries that hold more or less than when they were last asked for.
    changed: Vec<u32>,
    /// Whether that was asked for before.
    was_told: bool,
}

impl Ledger {
    /// An empty one.
    #[must_use]
    pub fn new(grain: Grain) -> Self {
        Self { grain, ..Self::default() }
    }

    /// The place of a stack's totals.
    pub fn entry(&mut self, memory: Memory, stack: u64) -> u32 {
        self.chosen(memory, stack, Choice::ALL)
    }

    /// The place of a stack's totals of blocks that were chosen like this.
    pub fn chosen(&mut self, memory: Memory, stack: u64, choice: Choice) -> u32 {
        let name = (memory, stack, choice);
        if let Some(&entry) = self.index.get(&name) {
            return entry;
        }
        if self.entries.len() >= MOST_ENTRIES && stack != 0 {
            self.refused += 1;
            return self.chosen(memory, 0, choice);
        }
        let entry = self.entries.len() as u32;
        self.entries.push(Entry { memory, stack, choice, totals: Totals::default(), is_changed: false });
        self.index.insert(name, entry);
        entry
    }

    /// How often memory had a stack for which there was no room.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// The kind of memory of an entry.
    #[must_use]
    pub fn memory(&self, entry: u32) -> Memory {
        self.entries[entry as usize].memory
    }

    /// Whether the blocks of an entry were recorded in pulses.
    #[must_use]
    pub fn is_of_pulse(&self, entry: u32) -> bool {
        self.entries[entry as usize].choice.pulse > 1
    }

    /// Memory was allocated.
    pub fn allocate(&mut self, entry: u32, usage: Usage) {
        let usage = self.weigh(entry, usage);
        self.each(entry, |totals| {
            totals.allocated += usage;
            totals.outstanding += usage;
            totals.peak = totals.peak.max(totals.outstanding);
        });
    }

    /// Memory was freed.
    pub fn release(&mut self, entry: u32, usage: Usage) {
        let usage = self.weigh(entry, usage);
        self.each(entry, |totals| {
            totals.freed += usage;
            totals.outstanding = totals.outstanding - usage;
        });
    }

    /// What was taken to be freed was not: the call failed.
    pub fn restore(&mut self, entry: u32, usage: Usage) {
        let usage = self.weigh(entry, usage);
        self.each(entry, |totals| {
            totals.freed = totals.freed - usage;
            totals.outstanding += usage;
            // It was outstanding all the time, also when others came.
            totals.peak = totals.peak.max(totals.outstanding);
        });
    }

    /// A range was cut in two: one more is outstanding.
    pub fn split(&mut self, entry: u32) {
        let one = self.grain.exact(Usage::block(0));
        self.each(entry, |totals| totals.outstanding += one);
    }

    /// Two ranges became one again.
    pub fn join(&mut self, entry: u32) {
        let one = self.grain.exact(Usage::block(0));
        self.each(entry, |totals| totals.outstanding = totals.outstanding - one);
    }

    /// The entries, without their totals.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The totals of each entry, and the sums of all.
    #[must_use]
    pub fn totals(&self) -> (Vec<Totals>, ByMemory) {
        if self.grain == Grain::Whole {
            return (self.entries.iter().map(|entry| entry.totals).collect(), self.sums);
        }
        let totals: Vec<Totals> = self.entries.iter().map(|entry| self.grain.round_totals(&entry.totals)).collect();
        // What is rounded by itself would not add up.
        let mut sums = ByMemory::default();
        for (entry, totals) in self.entries.iter().zip(&totals) {
            sums.each_of(entry.memory, |sum| *sum += *totals);
        }
        let peak = |sum: &mut Totals, fine: &Totals| sum.peak = self.grain.round(fine.peak).max(sum.outstanding);
        peak(&mut sums.outstanding, &self.sums.outstanding);
        for memory in Memory::ALL {
            peak(sums.of_mut(memory), self.sums.of(memory));
        }
        (totals, sums)
    }

    /// What is outstanding, of blocks and anonymous mappings.
    #[must_use]
    pub const fn outstanding(&self) -> Usage {
        self.grain.round(self.sums.outstanding.outstanding)
    }

    /// What was touched and is still there, as far as is known.
    #[must_use]
    pub const fn resident(&self) -> Usage {
        self.grain.round(self.sums.touched.resident.outstanding)
    }

    /// What a block or range of an entry stands for, in units of the grain.
    #[must_use]
    pub fn weigh(&self, entry: u32, usage: Usage) -> Usage {
        match self.entries[entry as usize].choice {
            // A range that was cut has a count of its own.
            Choice::ALL => self.grain.exact(usage),
            choice => self.grain.weigh(usage.bytes, choice),
        }
    }

    /// Bytes and blocks, from units of the grain.
    #[must_use]
    pub const fn round(&self, usage: Usage) -> Usage {
        self.grain.round(usage)
    }

    /// The ledger of a forked child: what is outstanding is inherited, and nothing has happened yet.
    #[must_use]
    pub fn forked(&self) -> Self {
        let inherit = |totals: &mut Totals| {
            let outstanding = totals.outstanding;
            *totals = Totals { inherited: outstanding, outstanding, peak: outstanding, ..Totals::default() };
        };
        let mut child = Self { refused: 0, changed: Vec::new(), was_told: false, ..self.clone() };
        for (index, entry) in child.entries.iter_mut().enumerate() {
            inherit(&mut entry.totals);
            entry.is_changed = entry.totals.outstanding != Usage::default();
            if entry.is_changed {
                child.changed.push(index as u32);
            }
        }
        inherit(&mut child.sums.outstanding);
        inherit(&mut child.sums.touched.resident);
        for memory in Memory::ALL {
            inherit(child.sums.of_mut(memory));
        }
        child
    }

    /// The entries that hold more or less than when this was last asked, in their order: whoever reads them walks memory in
    /// order, too.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.was_told = true;
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        let mut change = |index: u32| {
            let entry = &mut self.entries[index as usize];
            entry.is_changed = false;
            let outstanding = self.grain.round(entry.totals.outstanding);
            Change { entry: index, memory: entry.memory, stack: entry.stack, outstanding }
        };
        changed.into_iter().map(&mut change).collect()
    }

    /// Whether changes were asked for before.
    #[must_use]
    pub const fn was_told(&self) -> bool {
        self.was_told
    }

    /// The sums of all entries, each rounded by itself.
    #[must_use]
    pub fn sums(&self) -> ByMemory {
        let mut sums = self.sums;
        if self.grain == Grain::Fine {
            sums.outstanding = self.grain.round_totals(&sums.outstanding);
            sums.touched.resident = self.grain.round_totals(&sums.touched.resident);
            for memory in Memory::ALL {
                *sums.of_mut(memory) = self.grain.round_totals(sums.of(memory));
            }
        }
        sums
    }

    /// What each entry holds, in units of the grain.
    pub fn held(&self) -> impl Iterator<Item = Usage> {
        self.entries.iter().map(|entry| entry.totals.outstanding)
    }

    fn each(&mut self, index: u32, change: impl Fn(&mut Totals)) {
        let entry = &mut self.entries[index as usize];
        change(&mut entry.totals);
        if !entry.is_changed {
            entry.is_changed = true;
            self.changed.push(index);
        }
        self.sums.each_of(entry.memory, change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_the_largest_outstanding_and_not_the_sum_of_peaks() {
        let mut ledger = Ledger::default();
        let (one, two) = (ledger.entry(Memory::Heap, 1), ledger.entry(Memory::Heap, 2));
        ledger.allocate(one, Usage::block(100));
        ledger.release(one, Usage::block(100));
        ledger.allocate(two, Usage::block(60));
        let (entries, sums) = ledger.totals();
        assert_eq!(sums.heap.peak, Usage::block(100));
        assert_eq!(sums.heap.outstanding, Usage::block(60));
        assert_eq!(entries[two as usize].peak, Usage::block(60));
    }

    #[test]
    fn what_an_allocator_takes_from_the_kernel_is_not_added_to_the_blocks() {
        let mut ledger = Ledger::default();
        let (block, growth) = (ledger.entry(Memory::Heap, 1), ledger.entry(Memory::Allocator, 1));
        ledger.allocate(block, Usage::block(10));
        ledger.allocate(growth, Usage::block(1 << 20));
        assert_eq!(ledger.outstanding(), Usage::block(10));
        assert_eq!(ledger.totals().1.allocator.outstanding, Usage::block(1 << 20));
    }

    #[test]
    fn a_change_is_told_once_with_what_is_held_then() {
        let mut ledger = Ledger::default();
        let (one, two) = (ledger.entry(Memory::Heap, 1), ledger.entry(Memory::Anonymous, 2));
        ledger.allocate(one, Usage::block(100));
        ledger.allocate(two, Usage::block(8192));
        ledger.allocate(one, Usage::block(20));
        let change =
            |entry, memory, stack, bytes, blocks| Change { entry, memory, stack, outstanding: Usage { bytes, blocks } };
        let changes = ledger.take_changes();
        assert_eq!(changes, [change(0, Memory::Heap, 1, 120, 2), change(1, Memory::Anonymous, 2, 8192, 1)]);
        assert!(ledger.take_changes().is_empty());
        ledger.release(two, Usage::block(8192));
        assert_eq!(ledger.take_changes(), [change(1, Memory::Anonymous, 2, 0, 0)]);
        // A child has its parent's blocks, and tells of them.
        assert_eq!(ledger.forked().take_changes(), [change(0, Memory::Heap, 1, 120, 2)]);
    }

    #[test]
    fn memory_whose_stack_finds_no_room_counts_without_one() {
        let mut ledger = Ledger::default();
        let most = MOST_ENTRIES as u64;
        for stack in 1..=most + 10 {
            let entry = ledger.entry(Memory::Heap, stack);
            ledger.allocate(entry, Usage::block(1));
        }
        let known = ledger.entry(Memory::Heap, 1);
        ledger.release(known, Usage::block(1));
        let (entries, (totals, sums)) = (ledger.entries(), ledger.totals());
        assert_eq!((entries.len() as u64, ledger.refused()), (most + 1, 10));
        let without = entries.iter().position(|entry| entry.stack == 0).unwrap();
        assert_eq!(totals[without].outstanding, Usage { bytes: 10, blocks: 10 });
        assert_eq!(sums.heap.outstanding.blocks, most + 9);
    }

    #[test]
    fn a_forked_child_inherits_what_is_outstanding_and_nothing_else() {
        let mut ledger = Ledger::default();
        let entry = ledger.entry(Memory::Heap, 1);
        ledger.allocate(entry, Usage::block(10));
        ledger.allocate(entry, Usage::block(20));
        ledger.release(entry, Usage::block(10));
        let child = ledger.forked();
        let totals = child.totals().0[entry as usize];
        assert_eq!(totals.inherited, Usage::block(20));
        assert_eq!(totals.outstanding, Usage::block(20));
        assert_eq!((totals.allocated, totals.freed), (Usage::default(), Usage::default()));
    }
}
