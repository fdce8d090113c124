//! Which blocks are recorded, and which releases are told: all of them, or, with sampling, those of recorded blocks.
//!
//! Recorded blocks are marked in a table by a tag of the process's *family* and their address. A family is a process
//! and what it has forked since its exec: all of these hold copies of the same blocks. A mark is taken away when its
//! block is released and nobody else can hold a copy. So a mark can be one too many, which costs a record that nobody
//! needs; it is never missing.

use aya_ebpf::helpers::generated::bpf_get_prandom_u32;
use heaptide_common::{
    Counter, Settings,
    record::{Counted, Kind},
    sampling::{self, Bucket, Counts, FAMILIES, TAGS as SLOTS, member, tag},
};

use crate::{
    atomic,
    calls::Thread,
    count::count,
    emit::{MAPPING_SHARD, Task, send},
    maps::{MEMBERS, TAGS, TRACED},
};

/// A thread's part in sampling.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Sample {
    /// Bytes until the next that is marked.
    countdown: u64,
    /// The interval by which they were drawn.
    pub interval: u64,
    /// The family of the thread's process; 0 when it is not known, and no release may be dismissed.
    pub family: u64,
    /// 1 while a block is resized whose end was told.
    pub resizing: u64,
}

impl Sample {
    /// Of a thread of process `pid`. An interval that there cannot be, so that the first block draws.
    #[inline(always)]
    pub fn of(pid: u32) -> Self {
        let family = member(pid).unwrap_or_default() & member::FAMILY;
        Self { family: u64::from(family), ..Self::NONE }
    }

    /// Of no thread.
    pub const NONE: Self = Self { countdown: 0, interval: u64::MAX, family: 0, resizing: 0 };
}

/// Counts an allocation, and says whether it is recorded.
#[inline(always)]
pub fn chooses(thread: &mut Thread, size: u64, settings: &Settings) -> bool {
    if settings.samples == 0 {
        return true;
    }
    thread.counts.allocations += 1;
    thread.counts.bytes += size;
    let sample = &mut thread.sample;
    // SAFETY: the field is initialised and aligned. The user side may change it meanwhile.
    let interval = unsafe { (&raw const settings.interval).read_volatile() };
    // A block of no bytes has its chance, too.
    let size = if size == 0 { 1 } else { size };
    if sample.interval != u64::from(interval) {
        // The past does not matter to what comes, so what was drawn by another interval can be forgotten.
        sample.interval = u64::from(interval);
        sample.countdown = draw(interval);
    }
    if size < sample.countdown {
        sample.countdown -= size;
        return false;
    }
    sample.countdown = draw(interval);
    true
}

#[inline(always)]
fn draw(interval: u32) -> u64 {
    // SAFETY: the helper takes no argument.
    sampling::countdown(unsafe { bpf_get_prandom_u32() }, interval)
}

/// Whether the end of the block at `address` must be told: when it is, or may be, a recorded one.
#[inline(always)]
pub fn tells(thread: &Thread, address: u64, settings: &Settings) -> bool {
    if settings.samples == 0 || thread.sample.family == 0 {
        return true;
    }
    let tag = tag(thread.sample.family, address);
    let Some(bucket) = bucket(tag, settings) else { return true };
    // SAFETY: the map gives an aligned pointer into memory that lives as long as the program.
    if unsafe { (&raw const (*bucket).overflowed).read_volatile() } != 0 {
        return true;
    }
    let mut index = 0;
    while index < SLOTS {
        if slot(bucket, index).1 == tag {
            return true;
        }
        index += 1;
    }
    false
}

/// Marks a block that will be told of as recorded.
#[inline(always)]
pub fn mark(family: u64, address: u64, settings: &Settings) {
    if settings.samples == 0 {
        return;
    }
    let tag = tag(family, address);
    let Some(bucket) = bucket(tag, settings) else { return };
    let mut index = 0;
    while index < SLOTS {
        // A copy of the block in another process, or a mark too many: one does for all.
        if slot(bucket, index).1 == tag {
            return;
        }
        index += 1;
    }
    let mut index = 0;
    while index < SLOTS {
        let (place, found) = slot(bucket, index);
        // A place that another CPU has just taken is not free any more.
        // SAFETY: as in `tells`.
        if is_free(found) && unsafe { atomic::compare_exchange(place, found, tag) } == found {
            return;
        }
        index += 1;
    }
    count(Counter::TagsFull);
    // SAFETY: as in `tells`.
    unsafe { (&raw mut (*bucket).overflowed).write_volatile(1) };
}

/// Takes the mark from the block at `address`, whose end has been told and which still is its process's own.
///
/// The end is told first, and a fork tells of itself after it has made the family larger. So when no other process is
/// seen here, a child that comes now is told of after the end, and does not have the block.
#[inline(always)]
pub fn unmark(thread: &Thread, address: u64, settings: &Settings) {
    let family = thread.sample.family;
    if settings.samples == 0 || members(family) > 1 {
        return;
    }
    let tag = tag(family, address);
    let Some(bucket) = bucket(tag, settings) else { return };
    let mut index = 0;
    while index < SLOTS {
        let (place, found) = slot(bucket, index);
        if found == tag {
            // SAFETY: as in `tells`. Nobody else changes it: only marks of families without a member are replaced.
            unsafe { place.write_volatile(0) };
        }
        index += 1;
    }
    if members(family) > 1 {
        // A child has come in between, and may have recorded a block of its own at the same address already.
        mark(family, address, settings);
    }
}

#[inline(always)]
fn bucket(tag: u64, settings: &Settings) -> Option<*mut Bucket> {
    TAGS.get_ptr_mut(sampling::bucket_of(tag, settings.tag_shift, settings.tag_mask))
}

/// Place number `index` of a bucket, and what is there.
#[inline(always)]
fn slot(bucket: *mut Bucket, index: usize) -> (*mut u64, u64) {
    // SAFETY: the bucket has as many places, and its memory lives as long as the program.
    unsafe {
        let place = (&raw mut (*bucket).tags).cast::<u64>().add(index);
        (place, place.read_volatile())
    }
}

/// Whether a place holds nothing, or the mark of a family that has ended.
#[inline(always)]
fn is_free(tag: u64) -> bool {
    tag == 0 || members(sampling::family_of(tag)) == 0
}

/// Processes of a family that have memory of their own.
#[inline(always)]
fn members(family: u64) -> u64 {
    // SAFETY: the map gives an aligned pointer into memory that lives as long as the program.
    MEMBERS.get_ptr(family as u32).map_or(u64::MAX, |members| unsafe { members.read_volatile() })
}

#[inline(always)]
fn add_members(family: u32, change: i64) {
    if let Some(members) = MEMBERS.get_ptr_mut(family) {
        // SAFETY: as in `members`.
        unsafe { atomic::fetch_add(members, change as u64) };
    }
}

/// What is kept of process `pid`: see [`heaptide_common::sampling::member`].
#[inline(always)]
pub fn member(pid: u32) -> Option<u32> {
    // SAFETY: one word, so it cannot be half of one value and half of another.
    unsafe { TRACED.get(pid) }.copied()
}

/// A process of a family has forked process `child`; says whether there was room for it.
#[inline(always)]
pub fn forked(parent: u32, child: u32, shares_memory: bool, settings: &Settings) -> bool {
    let family = parent & member::FAMILY;
    if shares_memory {
        let untraced = if settings.follow == 0 { member::UNTRACED } else { 0 };
        // Who uses the memory of a traced process may free its blocks.
        let is_of_interest = settings.follow != 0 || settings.samples != 0;
        return !is_of_interest || TRACED.insert(child, family | member::GUEST | untraced, 0).is_ok();
    }
    if settings.follow == 0 {
        return true;
    }
    let has_room = TRACED.insert(child, family, 0).is_ok();
    if has_room {
        add_members(family, 1);
    }
    has_room
}

/// A traced process runs another program: a family of its own.
#[inline(always)]
pub fn program(pid: u32, before: u32) {
    ended(before);
    // The family 0 does not exist; its place holds the number of the newest.
    let Some(newest) = MEMBERS.get_ptr_mut(0) else { return };
    // SAFETY: as in `members`.
    let family = (unsafe { atomic::fetch_add(newest, 1) } + 1) as u32 & (FAMILIES as u32 - 1);
    // Numbers come again after a while. Two families of one number are one, which does no harm.
    let family = if family == 0 { 1 } else { family };
    add_members(family, 1);
    let _ = TRACED.insert(pid, family, 0);
}

/// A process has ended, or left its family.
#[inline(always)]
pub fn ended(member: u32) {
    if member & member::GUEST == 0 {
        add_members(member & member::FAMILY, -1);
    }
}

/// Thread `tid` of the current process has ended: tells what it had done, and forgets it.
#[inline(always)]
pub fn thread_ended(task: Task, tid: u32, settings: &Settings) {
    if settings.samples != 0
        && let Some(thread) = Thread::known(tid)
        && thread.counts != Counts::NONE
    {
        let record = Counted { head: task.head(Kind::Counted, 0), counts: thread.counts };
        send(MAPPING_SHARD, record, Counter::LostProcess);
    }
    Thread::forget(tid);
}
