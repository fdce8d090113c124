//! One process, from its start (or exec, or the begin of the trace) to its exec or exit: its blocks and their rules.
//! The rules of mappings are in [`super::mapping`].

use heaptide_common::{
    record::{Allocation, Head, flag},
    sampling::Counts,
};
use rustc_hash::FxHashMap;

use super::{
    Moment, Spread,
    grain::{Choice, Grain},
    ledger::Ledger,
    mapping::Unmapping,
    peak::Peak,
    ranges::Ranges,
    sample::AccountSample,
    summary::{AccountSummary, AtPeak, Key, StackSummary},
    survey::{AgeScan, Look, Survey},
    table::{Block, LiveTable},
    touched::{FaultCounts, pages},
};
use crate::profile::{Ages, End, Memory, Refused, Unmatched, Usage};

/// What all accounts of a shard count together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Blocks that are live, in all accounts.
    pub live: u64,
    /// Most blocks that may be.
    pub max_live: u64,
    /// Events without their partner.
    pub unmatched: Unmatched,
    /// Events refused.
    pub refused: Refused,
}

impl Tally {
    /// Blocks are not kept: as many are live as may be.
    pub(super) fn refuse(&mut self, usage: Usage) {
        self.refused.live_blocks += usage.blocks;
        self.refused.live_blocks_bytes = self.refused.live_blocks_bytes.saturating_add(usage.bytes);
    }
}

/// A block whose resize has begun and not ended; `None` when it was not seen allocated.
struct Resizing {
    address: u64,
    block: Option<Block>,
}

/// A process and its memory.
pub struct Account {
    pub(super) key: Key,
    forked_from: Option<u32>,
    /// The program that will be recorded has not started yet: its launcher runs.
    pub(super) is_launcher: bool,
    /// What it has done, recorded or not.
    pub(super) counts: Counts,
    /// Whether blocks can stand for others, which are not recorded.
    is_sampled: bool,
    /// Blocks that were recorded.
    recorded: u64,
    /// Releases of blocks that are older than the trace.
    older_releases: u64,
    /// By what the newest block was chosen.
    choice: Choice,
    pub(super) ledger: Ledger,
    heap: LiveTable,
    resizing: FxHashMap<u32, Resizing>,
    pub(super) ranges: Ranges,
    /// Whether only the growth of memory is recorded.
    pub(super) is_growth: bool,
    pub(super) faults: FaultCounts,
    /// Pages that were touched.
    pub(super) touched: Ranges,
    pub(super) unmapping: FxHashMap<u32, Unmapping>,
    /// Where the program break is, once a call has told.
    pub(super) program_break: Option<u64>,
    /// By how much its allocator has moved it up.
    pub(super) break_bytes: u64,
    /// What was held at its highest moment.
    peak: Peak,
    /// When memory was last allocated: releases come without a time.
    grew: Moment,
}

impl Account {
    /// A process of which nothing is known yet.
    pub fn new(key: Key, forked_from: Option<u32>, is_sampled: bool, is_growth: bool) -> Self {
        Self {
            key,
            forked_from,
            is_launcher: false,
            counts: Counts::NONE,
            is_sampled,
            recorded: 0,
            older_releases: 0,
            choice: Choice::ALL,
            ledger: Ledger::new(if is_sampled { Grain::Fine } else { Grain::Whole }),
            heap: LiveTable::default(),
            resizing: FxHashMap::default(),
            ranges: Ranges::default(),
            is_growth,
            faults: FaultCounts::default(),
            touched: Ranges::default(),
            unmapping: FxHashMap::default(),
            program_break: None,
            break_bytes: 0,
            peak: Peak::default(),
            grew: Moment::default(),
        }
    }

    /// The child `key` of this process, with a copy of its memory.
    pub fn fork(&self, key: Key, tally: &mut Tally) -> Self {
        let mut child = Self::new(key, Some(self.key.pid), self.is_sampled, self.is_growth);
        child.choice = self.choice;
        child.ledger = self.ledger.forked();
        child.ranges = self.ranges.clone();
        child.touched = self.touched.clone();
        child.program_break = self.program_break;
        child.grew = self.grew;
        let blocks = self.heap.len() as u64;
        if tally.live + blocks <= tally.max_live {
            child.heap = self.heap.clone();
            tally.live += blocks;
        } else {
            // Its sums hold what it inherited; what it frees of it will not be known.
            let inherited = self.heap.blocks().fold(Usage::default(), |sum, block| sum + Usage::block(block.size));
            tally.refuse(inherited);
        }
        child
    }

    /// A block was allocated, and chosen to stand for others.
    pub fn allocate(&mut self, allocation: &Allocation, choice: Choice, tally: &mut Tally) {
        self.recorded += 1;
        self.choice = choice;
        if tally.live >= tally.max_live {
            tally.refuse(Usage::block(allocation.size));
            return;
        }
        let entry = self.ledger.chosen(Memory::Heap, allocation.stack, choice);
        let since = Moment::from_nanoseconds(allocation.head.time);
        self.insert(allocation.address, Block { size: allocation.size, entry, since }, tally);
        self.grow(entry, Usage::block(allocation.size), since);
    }

    /// A block is being freed.
    pub fn release(&mut self, head: &Head, address: u64, tally: &mut Tally) {
        self.look_for_peak();
        if self.take(address, tally).is_some() || head.flags & flag::NESTED != 0 {
            return; // what a user-named allocator frees beneath it is its own, unless it was handed out
        }
        if self.is_sampled || head.flags & flag::NAMED == 0 {
            self.count_unknown(tally);
        } else {
            tally.unmatched.named_releases += 1;
        }
    }

    /// A release of a block that is not known. With sampling it need not be older: most blocks are not recorded.
    const fn count_unknown(&mut self, tally: &mut Tally) {
        if !self.is_sampled {
            tally.unmatched.older_releases += 1;
            self.older_releases += 1;
        }
    }

    /// A block is being resized: it has ended, unless the call turns out to fail.
    pub fn begin_resize(&mut self, head: &Head, address: u64, tally: &mut Tally) {
        self.look_for_peak();
        let block = self.take(address, tally);
        if block.is_none() {
            self.count_unknown(tally);
        }
        // What the thread had begun before is over, or its end was lost and counted.
        self.resizing.insert(head.tid, Resizing { address, block });
    }

    /// The resize that the thread had begun has ended.
    pub fn end_resize(&mut self, head: &Head, address: u64, succeeded: bool, tally: &mut Tally) {
        let Some(resizing) = self.resizing.remove(&head.tid).filter(|resizing| resizing.address == address) else {
            return;
        };
        if !succeeded {
            self.put_back(resizing, tally);
        }
    }

    /// Puts back what was being resized when the recording ended: the calls had not succeeded yet.
    pub fn settle(&mut self, tally: &mut Tally) {
        for resizing in std::mem::take(&mut self.resizing).into_values() {
            self.put_back(resizing, tally);
        }
        self.settle_mappings();
    }

    /// Whether clearly more is held than ever: it is copied then. A highest moment ends with a release, so that is when to
    /// look.
    pub(super) fn look_for_peak(&mut self) {
        self.peak.look(&self.ledger, self.grew);
    }

    /// Whether any more is held than ever: it is copied then. For who is about to ask for a summary.
    pub fn look_closely_for_peak(&mut self) {
        self.peak.look_closely(&self.ledger, self.grew);
    }

    /// Memory is allocated: what is held becomes more at this time.
    pub(super) fn grow(&mut self, entry: u32, usage: Usage, at: Moment) {
        self.grew = at;
        self.ledger.allocate(entry, usage);
    }

    /// What is held now, and the `stacks` that have changed since they were last asked for.
    pub fn sample(&mut self, stacks: bool) -> AccountSample {
        let is_first = stacks && !self.ledger.was_told();
        let changes = if stacks { self.ledger.take_changes() } else { Vec::new() };
        let sums = self.ledger.sums();
        AccountSample {
            key: self.key,
            is_first,
            sums,
            break_bytes: self.break_bytes,
            older_releases: self.older_releases,
            changes,
        }
    }

    /// What there is to tell of the blocks as a look finds them.
    pub fn summary(&self, look: Look<'_>, end: Option<End>) -> AccountSummary {
        let Look { now, older, .. } = look;
        let survey = (look.ages || older > 0).then(|| self.survey(look).seen);
        let spreads = self.spreads(|since| older == 0 || now.since(since) >= older);
        let (totals, sums) = self.ledger.totals();
        let stacks = self.ledger.entries().iter().zip(totals).enumerate().map(|(index, (entry, totals))| {
            let seen = survey.as_ref().map(|survey| &survey[index]);
            let seen = seen.filter(|_| look.ages);
            StackSummary {
                memory: entry.memory,
                stack: entry.stack,
                totals,
                shown: match &survey {
                    Some(survey) if older > 0 => self.ledger.round(survey[index].shown),
                    _ => totals.outstanding,
                },
                at_peak: self.ledger.round(self.peak.held.get(index).copied().unwrap_or_default()),
                ages: seen.map(|seen| self.rounded_ages(seen.ages)),
                generations: seen
                    .map(|seen| seen.generations.iter().map(|&usage| self.ledger.round(usage)).collect())
                    .unwrap_or_default(),
                spread: spreads.get(index).copied().unwrap_or_default(),
                in_pulses: entry.choice.pulse > 1,
            }
        });
        let mut summary = AccountSummary {
            key: self.key,
            forked_from: self.forked_from,
            end,
            sums,
            peak: (self.peak.bytes > 0).then_some(AtPeak { bytes: self.peak.bytes, at: self.peak.at }),
            counts: self.counts,
            recorded: self.recorded,
            spread: self.spread(),
            refused_stacks: self.ledger.refused(),
            faults: self.faults,
            touched: if end.is_none() { self.touched_ranges(now, older) } else { Vec::new() },
            stacks: stacks.collect(),
        };
        if self.is_sampled {
            summary.join_choices();
        }
        summary
    }

    /// The account's blocks are not live any more: the process has ended or runs another program.
    pub fn close(&mut self, tally: &mut Tally) {
        tally.live -= self.heap.len() as u64;
        self.heap = LiveTable::default();
        self.touched = Ranges::default();
    }

    /// Looks at a part of the blocks; says whether it was the last.
    pub fn scan_ages(&self, part: usize, scan: &AgeScan, ages: &mut Vec<[u64; 5]>) -> bool {
        let mut add = |entry, since, bytes| {
            scan.add(ages, entry, since, self.ledger.weigh(entry, Usage::block(bytes)).bytes);
        };
        self.heap.part(part).for_each(|block| add(block.entry, block.since, block.size));
        let is_last = part + 1 == LiveTable::PARTS;
        if is_last {
            self.ranges.iter().for_each(|range| add(range.entry, range.since, range.length()));
            self.touched.iter().for_each(|range| add(range.entry, range.since, range.length()));
        }
        is_last
    }

    /// Bytes by age, from units of the grain.
    pub fn rounded_ages(&self, bytes: [u64; 5]) -> Ages {
        Ages { bytes: bytes.map(|bytes| self.ledger.round(Usage { bytes, blocks: 0 }).bytes) }
    }

    fn survey(&self, look: Look<'_>) -> Survey {
        let mut survey = Survey::new(look, self.ledger.entries().len());
        let weigh = |entry, usage| self.ledger.weigh(entry, usage);
        for block in self.heap.blocks() {
            survey.add(block.entry, block.since, weigh(block.entry, Usage::block(block.size)));
        }
        for range in self.ranges.iter() {
            survey.add(range.entry, range.since, weigh(range.entry, Usage::block(range.length())));
        }
        for range in self.touched.iter() {
            survey.add(range.entry, range.since, weigh(range.entry, pages(range.length())));
        }
        survey
    }

    /// How far the estimate of each stack can be off, by its blocks of which `wanted` holds; none without sampling.
    fn spreads(&self, wanted: impl Fn(Moment) -> bool) -> Vec<Spread> {
        if !self.is_sampled {
            return Vec::new();
        }
        let entries = self.ledger.entries();
        let mut spreads: Vec<Spread> = entries.iter().map(|entry| Spread::of_nothing(entry.choice)).collect();
        for block in self.heap.blocks().filter(|block| wanted(block.since)) {
            spreads[block.entry as usize].add(block.size, entries[block.entry as usize].choice);
        }
        spreads
    }

    /// The same of all blocks together.
    fn spread(&self) -> Spread {
        let mut spread = Spread::of_nothing(self.choice);
        self.spreads(|_| true).into_iter().for_each(|each| spread += each);
        spread
    }

    /// Takes a live block out of the table and the sums.
    fn take(&mut self, address: u64, tally: &mut Tally) -> Option<Block> {
        let block = self.heap.remove(address)?;
        tally.live -= 1;
        self.ledger.release(block.entry, Usage::block(block.size));
        Some(block)
    }

    fn put_back(&mut self, Resizing { address, block }: Resizing, tally: &mut Tally) {
        let Some(block) = block else {
            let uncounted = u64::from(!self.is_sampled);
            tally.unmatched.older_releases = tally.unmatched.older_releases.saturating_sub(uncounted);
            self.older_releases = self.older_releases.saturating_sub(uncounted);
            return;
        };
        self.insert(address, block, tally);
        self.ledger.restore(block.entry, Usage::block(block.size));
    }

    /// A block that is live at the same address was freed unseen: it is closed. Between pulses that is what is expected.
    fn insert(&mut self, address: u64, block: Block, tally: &mut Tally) {
        match self.heap.insert(address, block) {
            Some(missed) => {
                let was_expected = [missed.entry, block.entry].iter().any(|&entry| self.ledger.is_of_pulse(entry));
                tally.unmatched.replaced_blocks += u64::from(!was_expected);
                self.look_for_peak();
                self.ledger.release(missed.entry, Usage::block(missed.size));
            }
            None => tally.live += 1,
        }
    }
}
