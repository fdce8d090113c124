//! Pages that were touched: whose they are, and what becomes of them.

#![expect(clippy::unwrap_used, reason = "a test whose account is missing has failed")]

use heaptide::live::{AccountSummary, Limits, Moment, Shard, Start};
use heaptide::profile::{Memory, Totals, Usage};
use heaptide::ring::decode;
use heaptide_common::record::{Break, Fault, Fork, Head, Kind, Map, Remap, Unmap, UnmapEnd, flag, touched};
use zerocopy::{Immutable, IntoBytes};

const PID: u32 = 7;
const PAGE: u64 = 4096;
const SECOND: u64 = 1_000_000_000;

/// Where the tests map memory.
const AT: u64 = 0x7f00_0000_0000;

/// `MAP_PRIVATE | MAP_ANONYMOUS`, and with `MAP_STACK` or `MAP_POPULATE`.
const ANONYMOUS: u32 = 0x22;
const STACK: u32 = 0x2_0022;
const POPULATED: u32 = 0x8022;

struct Recorded(Shard);

impl Recorded {
    fn begin() -> Self {
        let mut shard = Shard::new(Limits { max_live: 1_000, follow: true, sampled: false, growth: true }, 0);
        shard.begin(PID, Start::Attached);
        Self(shard)
    }

    fn put<T: IntoBytes + Immutable>(&mut self, record: &T) {
        self.0.apply(&decode(record.as_bytes()).unwrap());
    }

    /// A page fault of `bytes` (0: not known) by the stack `stack`.
    fn touch(&mut self, address: u64, memory: u32, stack: u64, bytes: u32, flags: u16) {
        self.put(&Fault { head: head(Kind::Fault, flags), address, stack, memory, bytes });
    }

    /// One page after the other.
    fn touch_pages(&mut self, address: u64, pages: u64, stack: u64) {
        for page in 0..pages {
            self.touch(address + page * PAGE, touched::ANONYMOUS, stack, 4096, 0);
        }
    }

    fn map(&mut self, address: u64, pages: u64, flags: u32, by: u16) {
        let head = head(Kind::Map, by);
        self.put(&Map { head, address, length: pages * PAGE, stack: 99, protection: 3, flags });
    }

    fn unmap(&mut self, address: u64, pages: u64, flags: u16) {
        self.put(&Unmap { head: head(Kind::UnmapBegin, 0), address, length: pages * PAGE });
        self.put(&UnmapEnd { head: head(Kind::UnmapEnd, flags) });
    }

    fn account(&self, pid: u32) -> AccountSummary {
        let summary = self.0.summary(Moment::from_nanoseconds(100 * SECOND), &[], true);
        summary.accounts.into_iter().rfind(|account| account.key.pid == pid).unwrap()
    }

    fn totals(&self, memory: Memory, stack: u64) -> Totals {
        let account = self.account(PID);
        let of = account.stacks.iter().find(|found| found.memory == memory && found.stack == stack);
        of.map(|found| found.totals).unwrap_or_default()
    }
}

fn head(kind: Kind, flags: u16) -> Head {
    Head { kind: kind as u16, flags, pid: PID, tid: PID, frames: 0, time: SECOND }
}

fn pages(count: u64) -> Usage {
    Usage { bytes: count * PAGE, blocks: count }
}

#[test]
fn a_page_belongs_to_the_kind_of_memory_that_was_mapped_there() {
    let mut recorded = Recorded::begin();
    recorded.map(AT, 16, ANONYMOUS, flag::BENEATH);
    recorded.map(AT + 16 * PAGE, 16, STACK, 0);
    for page in [0, 16, 40] {
        recorded.touch(AT + page * PAGE + 17, touched::ANONYMOUS, 1, 4096, 0);
    }
    recorded.touch(0x5555_0000_0000, touched::BREAK, 1, 4096, 0);
    assert_eq!(recorded.totals(Memory::TouchedHeap, 1).outstanding, pages(2));
    assert_eq!(recorded.totals(Memory::TouchedStack, 1).outstanding, pages(1));
    assert_eq!(recorded.totals(Memory::TouchedAnonymous, 1).outstanding, pages(1));
    let sums = recorded.account(PID).sums;
    assert_eq!((sums.touched.resident.outstanding, sums.outstanding), (pages(4), Totals::default()));
}

#[test]
fn a_break_that_the_program_moves_itself_is_not_the_heaps() {
    let mut recorded = Recorded::begin();
    let (before, after) = (0x5555_0000_0000, 0x5555_0001_0000);
    recorded.put(&Break { head: head(Kind::Break, 0), before, after, stack: 5 });
    recorded.touch(before, touched::BREAK, 1, 4096, 0);
    assert_eq!(recorded.totals(Memory::TouchedAnonymous, 1).outstanding, pages(1));
    recorded.put(&Break { head: head(Kind::Break, 0), before: after, after: before, stack: 5 });
    let totals = recorded.totals(Memory::TouchedAnonymous, 1);
    assert_eq!((totals.freed, totals.outstanding), (pages(1), Usage::default()));
}

#[test]
fn pages_of_files_are_the_files_until_they_are_written_to() {
    let mut recorded = Recorded::begin();
    recorded.touch(AT, touched::PRIVATE_FILE, 1, 4096, flag::READ_ONLY);
    recorded.touch(AT + PAGE, touched::FILE, 1, 4096, 0);
    recorded.touch(AT + 2 * PAGE, touched::PRIVATE_FILE, 1, 4096, 0);
    // Where the page tables cannot be read.
    recorded.touch(AT + 3 * PAGE, touched::PRIVATE_FILE, 1, 0, 0);
    assert_eq!(recorded.totals(Memory::TouchedFile, 1).outstanding, pages(3));
    assert_eq!(recorded.totals(Memory::TouchedFileCopy, 1).outstanding, pages(1));
    // And now the first one is copied.
    recorded.touch(AT, touched::PRIVATE_FILE, 2, 4096, 0);
    assert_eq!(recorded.totals(Memory::TouchedFile, 1).outstanding, pages(2));
    assert_eq!(recorded.totals(Memory::TouchedFileCopy, 2).outstanding, pages(1));
}

#[test]
fn what_was_only_read_is_not_resident() {
    let mut recorded = Recorded::begin();
    recorded.touch(AT, touched::ANONYMOUS, 1, 4096, flag::READ_ONLY);
    let account = recorded.account(PID);
    assert_eq!((account.faults.faults, account.faults.zeroes), (1, 1));
    assert_eq!(account.sums.touched.resident, Totals::default());
}

#[test]
fn a_huge_page_counts_whole_and_takes_the_place_of_small_ones() {
    let mut recorded = Recorded::begin();
    recorded.touch_pages(AT + 5 * PAGE, 3, 1);
    recorded.touch(AT + 4_000, touched::ANONYMOUS, 2, 2 << 20, 0);
    assert_eq!(recorded.totals(Memory::TouchedAnonymous, 2).outstanding, pages(512));
    let before = recorded.totals(Memory::TouchedAnonymous, 1);
    assert_eq!((before.freed, before.outstanding), (pages(3), Usage::default()));
    // A size that no page has is not believed.
    recorded.touch(AT, touched::ANONYMOUS, 3, 12_345, 0);
    assert_eq!(recorded.totals(Memory::TouchedAnonymous, 3).outstanding, pages(1));
    assert_eq!(recorded.totals(Memory::TouchedAnonymous, 2).outstanding, pages(511));
}

#[test]
fn neighbours_of_one_stack_are_one_range() {
    let mut recorded = Recorded::begin();
    recorded.touch_pages(AT, 8, 1);
    recorded.touch_pages(AT + 8 * PAGE, 2, 2);
    recorded.touch_pages(AT - 4 * PAGE, 4, 1);
    let ranges: Vec<_> = recorded.account(PID).touched.iter().map(|range| (range.start, range.end)).collect();
    assert_eq!(ranges, [(AT - 4 * PAGE, AT + 8 * PAGE), (AT + 8 * PAGE, AT + 10 * PAGE)]);
}

#[test]
fn what_is_unmapped_is_given_back_unless_the_call_fails() {
    let mut recorded = Recorded::begin();
    recorded.touch_pages(AT, 10, 1);
    recorded.unmap(AT + 2 * PAGE, 4, 0);
    assert_eq!(recorded.totals(Memory::TouchedAnonymous, 1).outstanding, pages(10));
    recorded.unmap(AT + 2 * PAGE, 4, flag::SUCCEEDED);
    let totals = recorded.totals(Memory::TouchedAnonymous, 1);
    assert_eq!((totals.allocated, totals.freed, totals.outstanding), (pages(10), pages(4), pages(6)));
}

#[test]
fn what_is_moved_stays_touched() {
    let mut recorded = Recorded::begin();
    let to = AT + 100 * PAGE;
    recorded.touch_pages(AT, 10, 1);
    recorded.put(&Unmap { head: head(Kind::RemapBegin, 0), address: AT, length: 10 * PAGE });
    let end = Remap { head: head(Kind::RemapEnd, flag::SUCCEEDED), address: to, length: 8 * PAGE, stack: 9 };
    recorded.put(&end);
    // Two pages were cut off.
    assert_eq!(recorded.totals(Memory::TouchedAnonymous, 1).outstanding, pages(8));
    recorded.unmap(to, 3, flag::SUCCEEDED);
    assert_eq!(recorded.totals(Memory::TouchedAnonymous, 1).outstanding, pages(5));
}

#[test]
fn what_a_mapping_covers_is_gone_and_what_it_populates_is_touched() {
    let mut recorded = Recorded::begin();
    recorded.touch_pages(AT, 10, 1);
    recorded.map(AT + 4 * PAGE, 4, ANONYMOUS | 0x10, 0);
    assert_eq!(recorded.totals(Memory::TouchedAnonymous, 1).outstanding, pages(6));
    recorded.map(AT + 50 * PAGE, 5, POPULATED, flag::BENEATH);
    assert_eq!(recorded.totals(Memory::TouchedHeap, 99).outstanding, pages(5));
}

#[test]
fn a_child_inherits_pages_and_owns_those_that_it_copies() {
    let mut recorded = Recorded::begin();
    recorded.touch_pages(AT, 10, 1);
    recorded.put(&Fork { head: head(Kind::Fork, 0), child: 8, unused: 0 });
    let copied = Fault {
        head: Head { pid: 8, tid: 8, ..head(Kind::Fault, 0) },
        address: AT,
        stack: 2,
        memory: touched::ANONYMOUS,
        bytes: 4096,
    };
    recorded.put(&copied);
    let resident = recorded.account(8).sums.touched.resident;
    assert_eq!((resident.inherited, resident.allocated, resident.outstanding), (pages(10), pages(1), pages(10)));
    assert_eq!(recorded.totals(Memory::TouchedAnonymous, 1).outstanding, pages(10), "the parent keeps its own");
}

#[test]
fn more_ranges_than_there_is_room_for_are_refused_and_counted() {
    let mut recorded = Recorded::begin();
    for page in 0..1_010 {
        recorded.touch(AT + 2 * page * PAGE, touched::ANONYMOUS, 1, 4096, 0);
    }
    assert_eq!(recorded.totals(Memory::TouchedAnonymous, 1).outstanding, pages(1_000));
    let refused = recorded.0.summary(Moment::from_nanoseconds(2 * SECOND), &[], true).refused;
    assert_eq!(refused.live_blocks_bytes, 10 * PAGE);
}
