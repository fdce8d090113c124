//! Pages that became resident, and by which stack: each page belongs to whoever has touched it last while it was not there.
//!
//! What is unmapped is taken out as it happens, and what is moved goes with its mapping. What is given back otherwise
//! (`madvise`) is not told; the kernel's page map is asked at the end ([`TouchedRange`]).

use heaptide_common::record::{Fault, Map, Remap, flag, touched};
use nix::libc;

use super::{
    Moment,
    account::{Account, Tally},
    ranges::Range,
};
use crate::profile::{Memory, Usage};

const PAGE: u64 = 4096;

/// The largest page that there is: 1 GiB.
const LARGEST: u32 = 1 << 30;

/// Neighbours that were touched within this time (1.07 s) by the same stack are kept as one range, so that their age is as
/// much too large at most.
const TOGETHER: u64 = 1 << 30;

/// Pages that were touched by one stack, and were not seen to be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TouchedRange {
    /// First address.
    pub start: u64,
    /// First address past it.
    pub end: u64,
    /// The place of its stack among the account's.
    pub stack: u32,
    /// Whether it is old enough to be shown.
    pub is_shown: bool,
}

/// What happened to an account's pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Page faults.
    pub faults: u64,
    /// Of these, reads of anonymous memory that nobody had written to: all get the same page of zeroes.
    pub zeroes: u64,
    /// Of these, faults whose page's size is not known; each counts as the smallest.
    pub unsized_pages: u64,
}

/// So much touched memory, in pages.
#[must_use]
pub const fn pages(bytes: u64) -> Usage {
    Usage { bytes, blocks: bytes / PAGE }
}

/// Where the page begins that an address is in.
const fn page_of(address: u64) -> u64 {
    address & !(PAGE - 1)
}

impl Account {
    /// A page became resident.
    pub fn fault(&mut self, fault: &Fault, tally: &mut Tally) {
        self.faults.faults += 1;
        self.faults.unsized_pages += u64::from(fault.bytes == 0);
        let Some(memory) = self.memory_of(fault) else {
            self.faults.zeroes += 1;
            return;
        };
        let is_size = fault.bytes.is_power_of_two() && u64::from(fault.bytes) >= PAGE && fault.bytes <= LARGEST;
        let bytes = if is_size { u64::from(fault.bytes) } else { PAGE };
        let start = fault.address & !(bytes - 1);
        self.touch((start, start.saturating_add(bytes)), memory, fault.stack, fault.head.time, tally);
    }

    /// Memory was mapped: what is there is new. The kernel can have been asked to bring all its pages at once.
    pub(super) fn map_touched(&mut self, map: &Map, memory: Memory, end: u64, tally: &mut Tally) {
        self.untouch(map.address, end);
        let populate = map.flags & libc::MAP_POPULATE.cast_unsigned() != 0;
        if !self.is_growth || !populate || map.flags & libc::MAP_HUGETLB.cast_unsigned() != 0 {
            return;
        }
        let memory = match memory {
            Memory::Allocator => Memory::TouchedHeap,
            Memory::ThreadStack => Memory::TouchedStack,
            Memory::File => return, // as much of it as there is
            _ => Memory::TouchedAnonymous,
        };
        self.touch((page_of(map.address), page_of(end)), memory, map.stack, map.head.time, tally);
    }

    /// Takes out the pages of a range, all that it touches; gives them.
    pub(super) fn untouch(&mut self, start: u64, end: u64) -> Vec<Range> {
        let pieces = self.touched.cut(page_of(start), page_of(end.saturating_add(PAGE - 1))).pieces;
        for piece in &pieces {
            self.ledger.release(piece.entry, pages(piece.length()));
        }
        pieces
    }

    /// Puts back pages that were taken out for a call which has failed.
    pub(super) fn touch_again(&mut self, pieces: Vec<Range>) {
        for piece in pieces {
            for rest in self.touched.uncovered(piece) {
                self.touched.put_back(rest);
                self.ledger.restore(rest.entry, pages(rest.length()));
            }
        }
    }

    /// Pages have moved with their mapping, which began at `from`.
    pub(super) fn move_touched(&mut self, from: u64, pieces: Vec<Range>, remap: &Remap, end: u64) {
        // Whatever the program says: nothing but whole pages is mapped.
        let (from, to, end) = (page_of(from), page_of(remap.address), page_of(end.saturating_add(PAGE - 1)));
        self.untouch(to, end);
        let moved = pieces.into_iter().filter_map(|piece| {
            let start = (piece.start - from).checked_add(to)?;
            let moved = Range { start, end: start.checked_add(piece.length())?.min(end), ..piece };
            (moved.start < moved.end).then_some(moved)
        });
        let moved: Vec<Range> = moved.collect();
        self.touch_again(moved);
    }

    /// The pages that are resident, as far as is known, with those older than `older` nanoseconds at `now` to be shown.
    pub(super) fn touched_ranges(&self, now: Moment, older: u64) -> Vec<TouchedRange> {
        let told = |range: &Range| TouchedRange {
            start: range.start,
            end: range.end,
            stack: range.entry,
            is_shown: older == 0 || now.since(range.since) >= older,
        };
        self.touched.iter().map(told).collect()
    }

    fn touch(&mut self, (start, end): (u64, u64), memory: Memory, stack: u64, time: u64, tally: &mut Tally) {
        self.untouch(start, end);
        if self.touched.count() as u64 >= tally.max_live {
            tally.refuse(pages(end - start));
            return;
        }
        let entry = self.ledger.entry(memory, stack);
        self.touched.insert_beside(Range { start, end, entry, since: Moment::from_nanoseconds(time) }, TOGETHER);
        self.ledger.allocate(entry, pages(end - start));
    }

    /// What a touched page belongs to; `None` when it is the page of zeroes.
    fn memory_of(&self, fault: &Fault) -> Option<Memory> {
        let is_read = fault.head.flags & flag::READ_ONLY != 0;
        let mapped = self.ranges.find(fault.address).map(|range| self.ledger.memory(range.entry));
        Some(match (fault.memory, mapped) {
            (touched::ANONYMOUS | touched::BREAK | touched::STACK, _) if is_read => return None,
            (touched::BREAK, Some(Memory::Anonymous)) => Memory::TouchedAnonymous,
            (touched::BREAK, _) | (touched::ANONYMOUS | touched::UNKNOWN, Some(Memory::Allocator)) => {
                Memory::TouchedHeap
            }
            (touched::STACK, _) | (touched::ANONYMOUS | touched::UNKNOWN, Some(Memory::ThreadStack)) => {
                Memory::TouchedStack
            }
            // Where the page tables cannot be read, nobody can tell.
            (touched::PRIVATE_FILE, _) if !is_read && fault.bytes != 0 => Memory::TouchedFileCopy,
            (touched::PRIVATE_FILE | touched::FILE, _) | (touched::UNKNOWN, Some(Memory::File)) => Memory::TouchedFile,
            (touched::SHARED, _) => Memory::TouchedShared,
            (touched::HUGE, _) => Memory::TouchedHuge,
            _ => Memory::TouchedAnonymous,
        })
    }
}
