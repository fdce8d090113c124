//! Everything that outlives a probe hit. The user side knows these maps by their names.

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps, HashMap, PerCpuArray, RingBuf},
    macros::btf_map,
};
use heaptide_common::{
    Counter, Settings,
    record::{FullStack, Head},
};

use crate::calls::Thread;

/// Most rings. The user side fills in as many as it reads, and says so in [`Settings::shards`].
pub const MAX_SHARDS: usize = 8;

/// Threads whose calls are followed at one time.
pub const MAX_THREADS: usize = 32_768;

/// Processes traced at one time.
pub const MAX_PROCESSES: usize = 16_384;

/// Slots of the table of stacks already sent. A stack that lost its slot to another is sent once more, nothing else.
pub const SEEN_SLOTS: usize = 65_536;

/// Scratch buffers of a CPU. A probe can be preempted by a task that hits one itself; each takes a buffer of its own.
pub const SCRATCHES: usize = 4;

/// The size is a placeholder: the user side makes the rings.
pub type Ring = RingBuf<Head, 4096>;

/// Where a stack is built before it is sent.
#[repr(C)]
pub struct Scratch {
    /// 1 while a probe uses the buffer.
    pub busy: u64,
    pub record: FullStack,
}

#[btf_map]
pub static SETTINGS: Array<Settings, 1> = Array::new();

#[btf_map]
pub static COUNTERS: PerCpuArray<u64, { Counter::COUNT }> = PerCpuArray::new();

#[btf_map]
pub static RINGS: ArrayOfMaps<Ring, MAX_SHARDS> = ArrayOfMaps::new();

#[btf_map]
pub static THREADS: HashMap<u32, Thread, MAX_THREADS> = HashMap::new();

#[btf_map]
pub static TRACED: HashMap<u32, u32, MAX_PROCESSES> = HashMap::new();

#[btf_map]
pub static SEEN: Array<u64, SEEN_SLOTS> = Array::new();

#[btf_map]
pub static SCRATCH: PerCpuArray<Scratch, SCRATCHES> = PerCpuArray::new();

/// The settings while events are wanted, else `None`.
#[inline(always)]
pub fn running() -> Option<&'static Settings> {
    let settings = SETTINGS.get(0)?;
    (settings.running != 0).then_some(settings)
}
