//! Records into rings.

use aya_ebpf::{
    bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{bpf_get_current_pid_tgid, bpf_ringbuf_output, generated::bpf_ktime_get_ns},
};
use heaptide_common::{
    Counter,
    record::{FullStack, Head, Kind},
};

use crate::{
    count::{add, count},
    maps::{MAX_SHARDS, RINGS, SETTINGS},
};

/// The ring for records that concern a whole address space (mappings), which must stay in order among themselves.
pub const MAPPING_SHARD: u32 = 0;

/// Process (upper half) and thread (lower half) of the task that hit the probe.
#[derive(Clone, Copy)]
pub struct Task(u64);

impl Task {
    #[inline(always)]
    pub fn current() -> Self {
        Self(bpf_get_current_pid_tgid())
    }

    /// Both in one word.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.0
    }

    #[inline(always)]
    pub const fn pid(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline(always)]
    pub const fn tid(self) -> u32 {
        self.0 as u32
    }

    /// The head of a record of this task, now.
    #[inline(always)]
    pub fn head(self, kind: Kind, flags: u16) -> Head {
        self.head_at(kind, flags, now())
    }

    /// The head of a record of this task, at `time`.
    #[inline(always)]
    pub const fn head_at(self, kind: Kind, flags: u16, time: u64) -> Head {
        Head { kind: kind as u16, flags, pid: self.pid(), tid: self.tid(), frames: 0, time }
    }

    /// The head of a record whose time nobody needs: to ask for it costs more than all else of a release.
    #[inline(always)]
    pub const fn timeless_head(self, kind: Kind, flags: u16) -> Head {
        self.head_at(kind, flags, 0)
    }
}

/// Nanoseconds of the monotonic clock.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: the helper takes no argument.
    unsafe { bpf_ktime_get_ns() }
}

/// Puts `record` into ring `shard`; where there is no room, counts it as `lost`.
#[inline(always)]
pub fn send<T: 'static>(shard: u32, record: T, lost: Counter) {
    put(shard, record, lost, wakeup);
}

/// Puts `record` into ring `shard` and wakes the reader: what it tells of may soon be gone. Where there is no room, counts
/// it as `lost`.
#[inline(always)]
pub fn send_urgently<T: 'static>(shard: u32, record: T, lost: Counter) {
    put(shard, record, lost, urgently);
}

#[inline(always)]
fn put<T: 'static>(shard: u32, record: T, lost: Counter, flags: impl FnOnce() -> u64) {
    let Some(mut entry) = RINGS.get(shard).and_then(|ring| ring.reserve_untyped::<T>(0)) else {
        count(lost);
        return;
    };
    entry.write(record);
    entry.submit(flags());
}

/// Puts `record` into every ring that is in use, and wakes the readers: the order of what befalls a process and of what
/// befalls its blocks must hold in each.
#[inline(always)]
pub fn broadcast<T: Copy + 'static>(shards: u32, record: T, lost: Counter) {
    for shard in 0..MAX_SHARDS as u32 {
        if shard >= shards {
            break;
        }
        let Some(mut entry) = RINGS.get(shard).and_then(|ring| ring.reserve_untyped::<T>(0)) else {
            count(lost);
            continue;
        };
        entry.write(record);
        entry.submit(urgently());
    }
}

/// Puts the first `frames` frames of `record` into ring `shard`; says whether there was room.
#[inline(always)]
pub fn send_stack(shard: u32, record: *const FullStack, frames: usize) -> bool {
    const HEAD: u64 = size_of::<heaptide_common::record::Stack>() as u64;
    let Some(ring) = RINGS.get(shard) else { return false };
    let size = HEAD + frames as u64 * 8;
    // SAFETY: the record holds MAX_FRAMES frames, and `frames` is at most that many (the verifier checks it again).
    let status = unsafe {
        bpf_ringbuf_output(core::ptr::from_ref(ring).cast_mut().cast(), record.cast_mut().cast(), size, wakeup())
    };
    status == 0
}

/// Counts a record as sent, and says whether it is the one that wakes the reader.
#[inline(always)]
pub fn wakeup() -> u64 {
    let before = add(Counter::Sent, 1);
    let mask = SETTINGS.get(0).map_or(0, |settings| settings.wakeup_mask);
    u64::from(if before & u64::from(mask) == 0 { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP })
}

/// Counts a record as sent, and says that it wakes the reader.
#[inline(always)]
pub fn urgently() -> u64 {
    add(Counter::Sent, 1);
    u64::from(BPF_RB_FORCE_WAKEUP)
}
