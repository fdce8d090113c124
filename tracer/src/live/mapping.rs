//! The rules of mapped ranges. Everything here counts whole pages, as the kernel does.

use heaptide_common::record::{Break, Head, Map, Remap, Unmap, flag};
use nix::libc;

use super::{
    Moment,
    account::{Account, Tally},
    ranges::{Cut, Range},
};
use crate::profile::{Memory, Usage};

const PAGE: u64 = 4096;

/// `MAP_HUGE_SHIFT` of `mmap(2)`: the flags above it are the logarithm of the huge page's size.
const HUGE_SHIFT: u32 = 26;
const HUGE_MASK: u32 = 0x3f;
const DEFAULT_HUGE_PAGE: u64 = 2 << 20;

/// The largest that `linux/mman.h` has a name for (`MAP_HUGE_16GB`). The kernel refuses sizes that it does not have, so
/// a larger one is no size: believed, two such mappings would be more bytes than 64 bits count.
const LARGEST_HUGE_PAGE: u32 = 34;

/// What a thread has begun to unmap or to remap.
pub(super) struct Unmapping {
    cut: Cut,
    /// Bytes of the range that were not seen mapped.
    unseen: u64,
    /// The kind of memory at the begin of the range, when it is known.
    memory: Option<Memory>,
    /// Where the range begins.
    start: u64,
    /// The touched pages in it.
    touched: Vec<Range>,
}

impl Account {
    /// Memory was mapped.
    pub fn map(&mut self, map: &Map, tally: &mut Tally) {
        self.look_for_peak();
        let end = map.address.saturating_add(round_up(map.length, page_size(map.flags)));
        let replaced = self.cut(map.address, end);
        let fixed = map.flags & libc::MAP_FIXED.cast_unsigned() != 0;
        if !fixed {
            tally.unmatched.replaced_blocks += replaced.pieces.len() as u64;
        }
        // An allocator gives memory back by mapping nothing over it, also from within `free`, which is not followed.
        let beneath = map.head.flags & flag::BENEATH != 0
            || replaced.pieces.iter().any(|piece| self.ledger.memory(piece.entry) == Memory::Allocator);
        let memory = if beneath { Memory::Allocator } else { kind(map.flags) };
        self.add(map.address, end, memory, map.stack, &map.head);
        self.map_touched(map, memory, end, tally);
    }

    /// Memory is being unmapped or moved.
    pub fn begin_unmap(&mut self, unmap: &Unmap, tally: &mut Tally) {
        self.look_for_peak();
        let end = unmap.address.saturating_add(round_up(unmap.length, PAGE));
        let memory = self.ranges.find(unmap.address).map(|range| self.ledger.memory(range.entry));
        let cut = self.cut(unmap.address, end);
        let unseen = (end - unmap.address).saturating_sub(cut.bytes());
        // What the thread had begun before is over, or its end was lost and counted.
        let touched = self.untouch(unmap.address, end);
        let begun = Unmapping { cut, unseen, memory, start: unmap.address, touched };
        if let Some(before) = self.unmapping.insert(unmap.head.tid, begun) {
            before.count(tally);
        }
    }

    /// The unmapping that the thread had begun has ended.
    pub fn end_unmap(&mut self, head: &Head, tally: &mut Tally) {
        let Some(unmapping) = self.unmapping.remove(&head.tid) else { return };
        if head.flags & flag::SUCCEEDED == 0 {
            self.put_back_mapping(unmapping);
        } else {
            unmapping.count(tally);
        }
    }

    /// The remapping that the thread had begun has ended.
    pub fn end_remap(&mut self, remap: &Remap, tally: &mut Tally) {
        self.look_for_peak();
        let unmapping = self.unmapping.remove(&remap.head.tid);
        if remap.head.flags & flag::SUCCEEDED == 0 {
            if let Some(unmapping) = unmapping {
                self.put_back_mapping(unmapping);
            }
            return;
        }
        if let Some(unmapping) = &unmapping {
            unmapping.count(tally);
        }
        let end = remap.address.saturating_add(round_up(remap.length, PAGE));
        // `MREMAP_FIXED` replaces what was there.
        self.cut(remap.address, end);
        let beneath = remap.head.flags & flag::BENEATH != 0;
        let otherwise = if beneath { Memory::Allocator } else { Memory::Anonymous };
        let memory = unmapping.as_ref().and_then(|unmapping| unmapping.memory).unwrap_or(otherwise);
        self.add(remap.address, end, memory, remap.stack, &remap.head);
        if let Some(Unmapping { start, touched, .. }) = unmapping {
            self.move_touched(start, touched, remap, end);
        }
    }

    /// The program break was moved.
    pub fn move_break(&mut self, moved: &Break, tally: &mut Tally) {
        self.look_for_peak();
        let before = if moved.before == 0 { self.program_break } else { Some(moved.before) };
        self.program_break = Some(moved.after);
        let Some(before) = before else { return };
        let (before, after) = (round_up(before, PAGE), round_up(moved.after, PAGE));
        if after < before {
            self.break_bytes = self.break_bytes.saturating_sub(before - after);
            self.cut(after, before);
            self.untouch(after, before);
        } else if after > before {
            let beneath = moved.head.flags & flag::BENEATH != 0;
            let memory = if beneath { Memory::Allocator } else { Memory::Anonymous };
            // The kernel never moves the break over a mapping: one that is there was unmapped unseen.
            tally.unmatched.replaced_blocks += self.cut(before, after).pieces.len() as u64;
            self.add(before, after, memory, moved.stack, &moved.head);
            if beneath {
                self.break_bytes = self.break_bytes.saturating_add(after - before);
            }
        }
    }

    /// Puts back what was being unmapped when the recording ended.
    pub(super) fn settle_mappings(&mut self) {
        for unmapping in std::mem::take(&mut self.unmapping).into_values() {
            self.put_back_mapping(unmapping);
        }
    }

    fn add(&mut self, start: u64, end: u64, memory: Memory, stack: u64, head: &Head) {
        if start >= end {
            return;
        }
        let entry = self.ledger.entry(memory, stack);
        let range = Range { start, end, entry, since: Moment::from_nanoseconds(head.time) };
        self.ranges.insert(range);
        self.grow(entry, Usage::block(range.length()), range.since);
    }

    fn cut(&mut self, start: u64, end: u64) -> Cut {
        let cut = self.ranges.cut(start, end);
        cut.splits.iter().for_each(|&entry| self.ledger.split(entry));
        for piece in &cut.pieces {
            self.ledger.release(piece.entry, Usage::block(piece.length()));
        }
        cut
    }

    /// The call has failed, so its pieces were mapped all the time, but for what was mapped over them meanwhile.
    fn put_back_mapping(&mut self, unmapping: Unmapping) {
        self.touch_again(unmapping.touched);
        for piece in unmapping.cut.pieces {
            // A piece was one range when it was taken out; what is left of it may be several.
            let mut blocks = 1;
            for rest in self.ranges.uncovered(piece) {
                self.ledger.restore(rest.entry, Usage { bytes: rest.length(), blocks });
                if blocks == 0 {
                    self.ledger.split(rest.entry);
                }
                blocks = 0;
                for _ in 0..self.ranges.put_back(rest) {
                    self.ledger.join(rest.entry);
                }
            }
        }
    }
}

impl Unmapping {
    /// It has succeeded: counts what it unmapped unseen.
    const fn count(&self, tally: &mut Tally) {
        let older = &mut tally.unmatched.older_unmapped_bytes;
        *older = older.saturating_add(self.unseen);
    }
}

/// What the flags of an `mmap` call ask for.
const fn kind(flags: u32) -> Memory {
    if flags & libc::MAP_STACK.cast_unsigned() != 0 {
        Memory::ThreadStack
    } else if flags & libc::MAP_ANONYMOUS.cast_unsigned() != 0 {
        Memory::Anonymous
    } else {
        Memory::File
    }
}

const fn page_size(flags: u32) -> u64 {
    if flags & libc::MAP_HUGETLB.cast_unsigned() == 0 {
        return PAGE;
    }
    match flags >> HUGE_SHIFT & HUGE_MASK {
        0 => DEFAULT_HUGE_PAGE,
        logarithm @ ..=LARGEST_HUGE_PAGE => 1 << logarithm,
        _ => PAGE,
    }
}

/// To a multiple of `unit`, a power of two; lengths that no mapping can have are cut.
const fn round_up(length: u64, unit: u64) -> u64 {
    length.saturating_add(unit - 1) & !(unit - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn huge(logarithm: u32) -> u64 {
        page_size(libc::MAP_HUGETLB.cast_unsigned() | logarithm << HUGE_SHIFT)
    }

    #[test]
    fn a_huge_page_is_as_large_as_its_flags_say() {
        assert_eq!((huge(0), huge(21), huge(30), huge(34)), (2 << 20, 2 << 20, 1 << 30, 1 << 34));
    }

    #[test]
    fn a_huge_page_that_no_kernel_has_is_not_believed() {
        assert_eq!((huge(35), huge(63)), (PAGE, PAGE));
    }
}
