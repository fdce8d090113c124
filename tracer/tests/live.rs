//! The live table under events that nobody would send: any order, few addresses, lengths at the ends of what fits.
//!
//! Whatever the rings say, the sums stay what their names promise, and nothing overflows.

use std::collections::HashMap;

use heaptide::live::{AccountSummary, Key, Limits, Moment, Shard, Start, Summary};
use heaptide::profile::{Memory, Totals, Usage};
use heaptide::ring::decode;
use heaptide_common::record::{
    Allocation, Break, Counted, Fault, Fork, Head, Kind, Map, Release, Remap, Resize, Sampled, Stack, Unmap, UnmapEnd,
};
use heaptide_common::sampling::Counts;
use proptest::prelude::*;
use zerocopy::{Immutable, IntoBytes};

/// Memory younger than this is not shown: all that the events make is older.
const OLDER: u64 = 1;

/// Later than every time in the events.
const NOW: u64 = 1 << 40;

/// The processes that events speak of. The first two are traced from the begin.
const PIDS: std::ops::Range<u32> = 1..5;

/// Most live blocks, where the limit is not what is tested.
const PLENTY: u64 = 1 << 20;

/// One record, as bytes of a ring.
type Bytes = Vec<u8>;

fn bytes(record: &(impl IntoBytes + Immutable)) -> Bytes {
    record.as_bytes().to_vec()
}

/// Few values, so that events meet each other; their neighbours, so that they cut and overlap.
fn address(weird: bool) -> BoxedStrategy<u64> {
    let usual = (1_u64..24).prop_map(|page| page * 4096);
    if weird { prop_oneof![6 => usual, 1 => Just(0), 1 => u64::MAX - 9000..=u64::MAX].boxed() } else { usual.boxed() }
}

fn length(weird: bool) -> BoxedStrategy<u64> {
    let usual = 0_u64..5 * 4096;
    if weird {
        prop_oneof![4 => usual, 2 => u64::MAX - 9000..=u64::MAX, 1 => any::<u64>()].boxed()
    } else {
        usual.boxed()
    }
}

fn head(kind: Kind) -> impl Strategy<Value = Head> {
    (PIDS, 0_u32..2, 0_u16..256, 0_u64..1 << 30).prop_map(move |(pid, thread, flags, time)| Head {
        kind: kind as u16,
        flags,
        pid,
        tid: pid * 10 + thread,
        frames: 0,
        time,
    })
}

/// Blocks have addresses of their own: an allocator does not hand out the start of a mapping.
fn heap_event(weird: bool) -> impl Strategy<Value = Bytes> {
    let release = |kind| (head(kind), address(weird)).prop_map(|(head, address)| bytes(&Release { head, address }));
    prop_oneof![
        4 => (head(Kind::Allocation), address(weird), length(weird), 0_u64..4)
            .prop_map(|(head, address, size, stack)| bytes(&Allocation { head, address, size, stack })),
        3 => (head(Kind::Sampled), address(weird), length(weird), 0_u64..4, choice(weird)).prop_map(
            |(head, address, size, stack, (interval, pulse))| {
                bytes(&Sampled { allocation: Allocation { head, address, size, stack }, interval, pulse })
            }
        ),
        2 => release(Kind::Release),
        2 => release(Kind::ResizeBegin),
        2 => (head(Kind::ResizeEnd), address(weird)).prop_map(|(head, address)| bytes(&Resize { head, address })),
    ]
}

/// Intervals and pulses that blocks are chosen by; they change while a recording runs.
fn choice(weird: bool) -> BoxedStrategy<(u32, u32)> {
    let interval = prop_oneof![Just(0_u32), Just(1), Just(64), Just(4096), Just(1 << 30)];
    let pulse = prop_oneof![3 => Just(0_u32), 1 => Just(1), 1 => Just(48), 1 => Just(4096)];
    let usual = (interval, pulse);
    if weird { prop_oneof![4 => usual, 1 => any::<(u32, u32)>()].boxed() } else { usual.boxed() }
}

fn mapping_event(weird: bool) -> impl Strategy<Value = Bytes> {
    let unmap = |kind| {
        (head(kind), address(weird), length(weird))
            .prop_map(|(head, address, length)| bytes(&Unmap { head, address, length }))
    };
    let flags = prop_oneof![Just(0x22_u32), Just(0x32), Just(0x2), Just(0x2_0022), any::<u32>()];
    prop_oneof![
        4 => (head(Kind::Map), address(weird), length(weird), 0_u64..4, flags).prop_map(
            |(head, address, length, stack, flags)| bytes(&Map { head, address, length, stack, protection: 3, flags })
        ),
        2 => unmap(Kind::UnmapBegin),
        2 => head(Kind::UnmapEnd).prop_map(|head| bytes(&UnmapEnd { head })),
        1 => unmap(Kind::RemapBegin),
        1 => (head(Kind::RemapEnd), address(weird), length(weird), 0_u64..4)
            .prop_map(|(head, address, length, stack)| bytes(&Remap { head, address, length, stack })),
        1 => (head(Kind::Break), address(weird), address(weird), 0_u64..4)
            .prop_map(|(head, before, after, stack)| bytes(&Break { head, before, after, stack })),
        4 => (head(Kind::Fault), address(weird), 0_u64..4, 0_u32..9, page_size(weird)).prop_map(
            |(head, address, stack, memory, bytes)| self::bytes(&Fault { head, address, stack, memory, bytes })
        ),
    ]
}

fn page_size(weird: bool) -> BoxedStrategy<u32> {
    let usual = prop_oneof![Just(0_u32), Just(4096), Just(2 << 20)];
    if weird { prop_oneof![4 => usual, 1 => any::<u32>()].boxed() } else { usual.boxed() }
}

fn process_event() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        3 => (head(Kind::Fork), PIDS).prop_map(|(head, child)| bytes(&Fork { head, child, unused: 0 })),
        2 => head(Kind::Exec).prop_map(|head| bytes(&head)),
        2 => head(Kind::Exit).prop_map(|head| bytes(&head)),
        1 => (head(Kind::Counted), 0_u64..9, 0_u64..99, 0_u64..9).prop_map(|(head, allocations, sum, releases)| {
            bytes(&Counted { head, counts: Counts { allocations, bytes: sum, releases } })
        }),
        1 => (head(Kind::Stack), 0_u64..4).prop_map(|(head, id)| bytes(&Stack { head, id })),
    ]
}

fn events(weird: bool) -> impl Strategy<Value = Vec<Bytes>> {
    let event = prop_oneof![5 => heap_event(weird), 5 => mapping_event(weird), 1 => process_event()];
    prop::collection::vec(event, 0..120)
}

fn shard(max_live: u64, follow: bool, sampled: bool) -> Shard {
    let mut shard = Shard::new(Limits { max_live, follow, sampled, growth: true }, OLDER);
    shard.begin(PIDS.start, Start::Attached);
    shard.begin(PIDS.start + 1, Start::Launched);
    shard
}

fn apply(shard: &mut Shard, events: &[Bytes]) {
    for event in events {
        let event = decode(event);
        assert!(event.is_ok(), "the events of this test can be decoded: {event:?}");
        if let Ok(event) = event {
            shard.apply(&event);
        }
    }
}

fn finished(shard: Shard) -> Summary {
    shard.finish(Moment::from_nanoseconds(NOW), &[])
}

/// Bytes of every kind, and blocks of the heap (cutting a mapping makes more ranges of it).
fn adds_up(totals: &Totals, memory: Memory) -> bool {
    let Totals { inherited, allocated, freed, outstanding, peak } = totals;
    let bytes = inherited.bytes + allocated.bytes == freed.bytes + outstanding.bytes;
    let blocks = inherited.blocks + allocated.blocks == freed.blocks + outstanding.blocks;
    let is_peak = peak.bytes >= outstanding.bytes && peak.blocks >= outstanding.blocks.min(1);
    bytes && is_peak && (blocks || memory != Memory::Heap)
}

fn sum(account: &AccountSummary, wanted: impl Fn(Memory) -> bool, of: impl Fn(&Totals) -> Usage) -> Usage {
    let stacks = account.stacks.iter().filter(|stack| wanted(stack.memory));
    stacks.fold(Usage::default(), |sum, stack| sum + of(&stack.totals))
}

fn check(account: &AccountSummary) -> Result<(), TestCaseError> {
    for memory in Memory::ALL {
        let sums = account.sums.of(memory);
        prop_assert!(adds_up(sums, memory), "{memory:?}: {sums:?}");
        for of in [|t: &Totals| t.inherited, |t: &Totals| t.allocated, |t: &Totals| t.freed, |t: &Totals| t.outstanding]
        {
            prop_assert_eq!(sum(account, |kind| kind == memory, of), of(sums), "{:?}", memory);
        }
    }
    let outstanding = sum(account, Memory::is_outstanding, |totals| totals.outstanding);
    prop_assert_eq!(outstanding, account.sums.outstanding.outstanding);
    for stack in &account.stacks {
        prop_assert!(adds_up(&stack.totals, stack.memory), "{stack:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn sums_stay_true_whatever_comes(
        events in events(false), follow in any::<bool>(), sampled in any::<bool>()
    ) {
        let mut shard = shard(PLENTY, follow, sampled);
        apply(&mut shard, &events);
        for account in &finished(shard).accounts {
            check(account)?;
        }
    }

    /// All of it is old, so what is shown is what the tables of blocks and ranges hold.
    #[test]
    fn what_the_tables_hold_is_what_the_sums_call_outstanding(
        events in events(false), follow in any::<bool>(), sampled in any::<bool>()
    ) {
        let mut shard = shard(PLENTY, follow, sampled);
        apply(&mut shard, &events);
        for account in finished(shard).accounts.iter().filter(|account| account.end.is_none()) {
            for stack in &account.stacks {
                prop_assert_eq!(stack.shown, stack.totals.outstanding, "{:?}", stack);
            }
        }
    }

    /// What is told bit by bit is what is told at the end, and the same is true of ages, and of the highest moment.
    #[test]
    fn what_is_held_over_time_is_what_is_held_at_the_end(
        events in events(false), follow in any::<bool>(), sampled in any::<bool>(), pace in 1_usize..20
    ) {
        let mut shard = shard(PLENTY, follow, sampled);
        let mut held: HashMap<Key, HashMap<u32, Usage>> = HashMap::new();
        for some in events.chunks(pace) {
            apply(&mut shard, some);
            for account in shard.sample(true).accounts {
                let held = held.entry(account.key).or_default();
                if account.is_first {
                    held.clear();
                }
                held.extend(account.changes.iter().map(|change| (change.entry, change.outstanding)));
            }
        }
        let now = Moment::from_nanoseconds(NOW);
        let mut scan = shard.begin_age_scan(now);
        let ages = loop {
            if let Some(ages) = shard.scan_ages(&mut scan) {
                break ages;
            }
        };
        shard.look_for_peaks(now);
        let summary = shard.summary(now, &[], true);
        for account in summary.accounts.iter().filter(|account| account.end.is_none()) {
            let held = held.remove(&account.key).unwrap_or_default();
            prop_assert_eq!(bytes_of(held.values().copied()), bytes_of(account.stacks.iter().map(|stack| stack.totals.outstanding)));
            let scanned: u64 = ages[&account.key].iter().flat_map(|ages| ages.bytes).sum();
            let told: u64 = account.stacks.iter().filter_map(|stack| stack.ages).flat_map(|ages| ages.bytes).sum();
            let outstanding = bytes_of(account.stacks.iter().map(|stack| stack.totals.outstanding));
            // Each is rounded by itself.
            let rounding = if sampled { 5 * account.stacks.len() as u64 } else { 0 };
            prop_assert!(told.abs_diff(outstanding) <= rounding && scanned.abs_diff(outstanding) <= rounding);
            let peak = account.peak.map_or(0, |peak| peak.bytes);
            let most = account.sums.outstanding.peak.bytes;
            prop_assert!(peak <= most && most <= peak + peak / 50 + 1, "{} of {}", peak, most);
            let own = account.stacks.iter().filter(|stack| stack.memory.is_outstanding());
            prop_assert!(bytes_of(own.map(|stack| stack.at_peak)).abs_diff(peak) <= rounding + 1);
        }
    }

    #[test]
    fn sums_stay_true_when_the_limit_of_live_blocks_bites(
        events in events(false), max_live in 1_u64..8, sampled in any::<bool>()
    ) {
        let mut shard = shard(max_live, true, sampled);
        apply(&mut shard, &events);
        for account in &finished(shard).accounts {
            check(account)?;
        }
    }

    /// A limit that did not get its places back would refuse blocks of a process that comes later.
    #[test]
    fn every_place_in_the_table_is_free_again_at_the_end(events in events(true), sampled in any::<bool>()) {
        const LIVE: u64 = 500;
        let mut shard = shard(LIVE, true, sampled);
        apply(&mut shard, &events);
        let before = shard.summary(Moment::from_nanoseconds(NOW), &[], true).refused.live_blocks;
        for pid in PIDS {
            let head = Head { kind: Kind::Exit as u16, flags: 0, pid, tid: pid * 10, frames: 0, time: NOW };
            apply(&mut shard, &[bytes(&head)]);
        }
        shard.begin(9, Start::Attached);
        for block in 1..=LIVE + 1 {
            let head = Head { kind: Kind::Allocation as u16, flags: 0, pid: 9, tid: 9, frames: 0, time: NOW };
            apply(&mut shard, &[bytes(&Allocation { head, address: block * 16, size: 8, stack: 1 })]);
        }
        // One more than there are places, and that one alone.
        prop_assert_eq!(finished(shard).refused.live_blocks, before + 1);
    }

    /// Run with overflow checks: every sum has to say what it does at its end.
    #[test]
    fn lengths_at_the_end_of_what_fits_do_no_harm(
        events in events(true), follow in any::<bool>(), sampled in any::<bool>(), max_live in 1_u64..200
    ) {
        let mut one = shard(max_live, follow, sampled);
        let mut other = shard(max_live, follow, sampled);
        apply(&mut one, &events);
        apply(&mut other, &events);
        let _ = one.outstanding_bytes();
        let mut merged = finished(one);
        let accounts = merged.accounts.len();
        merged.merge(finished(other));
        prop_assert_eq!(merged.accounts.len(), accounts);
        prop_assert_eq!(merged.events, 2 * events.len() as u64);
    }
}

fn bytes_of(usages: impl Iterator<Item = Usage>) -> u64 {
    usages.map(|usage| usage.bytes).fold(0, u64::saturating_add)
}

fn one(kind: Kind, pid: u32) -> Head {
    Head { kind: kind as u16, flags: 0, pid, tid: pid * 10, frames: 0, time: 1 << 21 }
}

fn counted(pid: u32, allocations: u64) -> Bytes {
    let counts = Counts { allocations, bytes: 10 * allocations, releases: 1 };
    bytes(&Counted { head: one(Kind::Counted, pid), counts })
}

/// With sampling, blocks stand for others, and a release of a block that is not known is nothing to speak of.
#[test]
fn a_recorded_block_stands_for_others_until_it_is_released() {
    let mut shard = shard(PLENTY, false, true);
    let block = |address, size| {
        let allocation = Allocation { head: one(Kind::Sampled, 1), address, size, stack: 7 };
        bytes(&Sampled { allocation, interval: 4096, pulse: 0 })
    };
    let release = |address| bytes(&Release { head: one(Kind::Release, 1), address });
    apply(&mut shard, &[block(0x1000, 16), block(0x2000, 1 << 20), release(0x3000), release(0x9000)]);
    let summary = shard.summary(Moment::from_nanoseconds(NOW), &[], true);
    let account = &summary.accounts[0];
    assert_eq!(summary.unmatched.older_releases, 0);
    assert_eq!((account.recorded, account.spread.blocks, account.spread.bytes), (2, 2, (1 << 20) + 16));
    // 16 / (1 - exp(-16 / 4096)) bytes, and blocks in proportion; the large one is itself.
    assert_eq!(account.sums.heap.outstanding, Usage { bytes: (1 << 20) + 4104, blocks: 257 + 1 });

    apply(&mut shard, &[release(0x1000), release(0x2000)]);
    let summary = finished(shard);
    let account = &summary.accounts[0];
    assert_eq!(account.sums.heap.outstanding, Usage::default());
    assert_eq!(account.sums.heap.freed, account.sums.heap.allocated);
    assert_eq!(account.spread.blocks, 0);
}

/// Two stacks that differ by the interval alone are one.
#[test]
fn blocks_chosen_by_different_intervals_add_up_at_their_stack() {
    let mut shard = shard(PLENTY, false, true);
    for (address, interval) in [(0x1000, 0), (0x2000, 64), (0x3000, 1 << 20)] {
        let allocation = Allocation { head: one(Kind::Sampled, 1), address, size: 1 << 30, stack: 7 };
        apply(&mut shard, &[bytes(&Sampled { allocation, interval, pulse: 0 })]);
    }
    let summary = finished(shard);
    assert_eq!(summary.accounts[0].stacks.len(), 1);
    assert_eq!(summary.accounts[0].stacks[0].shown, Usage { bytes: 3 << 30, blocks: 3 });
}

/// A thread can be told of after its process, when two end at the same time; and a living one is told of at the end.
#[test]
fn what_threads_have_done_is_their_processs() {
    let mut shard = shard(PLENTY, true, true);
    let exit = bytes(&one(Kind::Exit, 1));
    apply(&mut shard, &[counted(1, 3), exit, counted(1, 4), counted(4, 9)]);
    let living = [(1, Counts { allocations: 5, ..Counts::NONE }), (2, Counts { allocations: 6, ..Counts::NONE })];
    let summary = shard.finish(Moment::from_nanoseconds(NOW), &living);
    let counts: Vec<u64> = summary.accounts.iter().map(|account| account.counts.allocations).collect();
    assert_eq!(counts, [3 + 4 + 5, 6]);
    assert_eq!((summary.accounts[0].counts.bytes, summary.accounts[0].counts.releases), (70, 2));
}
