//! Everything that outlives a probe hit. The user side knows these maps by their names.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    btf_maps::{Array, ArrayOfMaps, HashMap, PerCpuArray, RingBuf},
    macros::btf_map,
};
use heaptide_common::{
    Counter, Settings,
    record::{FullStack, Head},
    sampling::Bucket,
    settings::running,
    tally::TALLIES,
    unwind::{File, FileTable, Outcome},
};

use crate::{
    calls::Thread,
    page,
    unwind::{self, Walk},
};

/// Most rings. The user side fills in as many as it reads, and says so in [`Settings::shards`].
pub const MAX_SHARDS: usize = 8;

/// Threads whose calls are followed at one time, each at the place that the last bits of its number say.
pub const MAX_THREADS: usize = 32_768;

/// Threads besides, whose places are taken by others.
pub const MAX_DISPLACED: usize = 8_192;

/// Processes traced at one time.
pub const MAX_PROCESSES: usize = 16_384;

/// Slots of the table of stacks already sent. A stack that lost its slot to another is sent once more, nothing else.
pub const SEEN_SLOTS: usize = 65_536;

/// Threads whose stacks' begins are remembered. One that lost its place to another costs a longer read, nothing else.
pub const TOPS_SLOTS: usize = 4096;

/// Files that can have a table.
pub const MAX_FILES: usize = 16_384;

/// Files that can be asked for.
pub const MAX_WANTED: usize = MAX_FILES;

/// Libraries with an allocator that are known.
pub const MAX_ALLOCATORS: usize = 4096;

/// Scratch buffers of a CPU. A probe can be preempted by a task that hits one itself; each takes a buffer of its own.
pub const SCRATCHES: usize = 4;

/// The size is a placeholder: the user side makes the rings.
pub type Ring = RingBuf<Head, 4096>;

/// Where a stack is built before it is sent.
#[repr(C)]
pub struct Scratch {
    /// 1 while a probe uses the buffer.
    pub busy: u64,
    pub walk: Walk,
    pub record: FullStack,
}

/// What a page fault is about.
#[repr(C)]
pub struct Touch {
    /// Of [`heaptide_common::record::touched`].
    pub memory: u64,
    /// The mapping that was found last on this CPU: its address space, and where it begins and ends.
    pub mm: u64,
    pub start: u64,
    pub end: u64,
    /// Mapping calls that had been seen by then.
    pub calls: u64,
    pub page: page::Walk,
}

#[btf_map]
pub static SETTINGS: Array<Settings, 1> = Array::new();

#[btf_map]
pub static COUNTERS: PerCpuArray<u64, { Counter::COUNT }> = PerCpuArray::new();

/// Calls of each allocator of each process: see [`heaptide_common::tally`].
#[btf_map]
pub static CALLS: PerCpuArray<u64, TALLIES> = PerCpuArray::new();

#[btf_map]
pub static RINGS: ArrayOfMaps<Ring, MAX_SHARDS> = ArrayOfMaps::new();

/// Threads. A flat array, since it is searched at every hit: a place in it is found without a call, in a hash table by
/// four. Memory that can be mapped is aligned, so that threads do not share cache lines.
#[btf_map]
pub static THREADS: Array<Thread, MAX_THREADS, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Threads whose places in [`THREADS`] are taken.
#[btf_map]
pub static DISPLACED: HashMap<u32, Thread, MAX_DISPLACED> = HashMap::new();

/// Traced processes: see [`heaptide_common::sampling::member`].
#[btf_map]
pub static TRACED: HashMap<u32, u32, MAX_PROCESSES> = HashMap::new();

/// Recorded blocks, when others are not. The user side chooses how many buckets there are. Memory that can be mapped is
/// aligned, so that a bucket is one cache line.
#[btf_map]
pub static TAGS: Array<Bucket, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// How many processes each family has; in place 0, the number of the newest family. The user side makes it larger when
/// there are families.
#[btf_map]
pub static MEMBERS: Array<u64, 1> = Array::new();

#[btf_map]
pub static SEEN: Array<u64, SEEN_SLOTS> = Array::new();

/// Where stacks begin, by the last bits of the thread's number.
#[btf_map]
pub static TOPS: Array<u64, TOPS_SLOTS> = Array::new();

/// Rows of all files with a table. The user side chooses how many there can be, and writes them by way of memory.
#[btf_map]
pub static ROWS: Array<u64, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Files with a table.
#[btf_map]
pub static FILES: HashMap<File, FileTable, MAX_FILES> = HashMap::new();

/// Files that had none when an address of theirs was met, and were asked for.
#[btf_map]
pub static WANTED: HashMap<File, u32, MAX_WANTED> = HashMap::new();

/// Mapping calls of traced processes: what was found mapped before may have changed since.
#[btf_map]
pub static MAPPING_CALLS: Array<u64, 1> = Array::new();

/// What a page fault is about. One is enough: the kernel runs a perf event's program without being preempted.
#[btf_map]
pub static TOUCHED: PerCpuArray<Touch, 1> = PerCpuArray::new();

/// Libraries with an allocator: with [`Settings::growth`], what their code maps is the allocator's own.
#[btf_map]
pub static ALLOCATORS: HashMap<File, u32, MAX_ALLOCATORS> = HashMap::new();

/// The cache of rules: one value, so that a place in it is found without a call.
#[btf_map]
pub static RULES: Array<[u64; unwind::CACHE_WORDS], 1> = Array::new();

/// How walks ended, by [`heaptide_common::unwind::Outcome`].
#[btf_map]
pub static OUTCOMES: PerCpuArray<u64, { Outcome::COUNT }> = PerCpuArray::new();

#[btf_map]
pub static SCRATCH: PerCpuArray<Scratch, SCRATCHES> = PerCpuArray::new();

/// The settings while events of any kind are wanted, else `None`.
#[inline(always)]
pub fn running() -> Option<&'static Settings> {
    let settings = SETTINGS.get(0)?;
    (settings.running != running::NOTHING).then_some(settings)
}

/// The settings while blocks are wanted, else `None`.
#[inline(always)]
pub fn recording_blocks() -> Option<&'static Settings> {
    let settings = SETTINGS.get(0)?;
    (settings.running == running::EVERYTHING).then_some(settings)
}
