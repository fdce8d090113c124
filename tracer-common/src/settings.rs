//! What the user side tells the kernel part, once before the start and again when it stops.

use crate::offsets::{GrowthOffsets, Offsets};

/// Which events are wanted.
pub mod running {
    /// None.
    pub const NOTHING: u32 = 0;
    /// All.
    pub const EVERYTHING: u32 = 1;
    /// Those of mappings and processes: the blocks of allocators are not recorded any more, at one instant for all.
    pub const WITHOUT_BLOCKS: u32 = 2;
}

/// The only entry of the `SETTINGS` array.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What is wanted, of [`running`]. All probes go in while it is nothing, so that the trace begins at one instant for
    /// all of them: no allocation can be seen whose release a later probe would have missed.
    pub running: u32,
    /// Rings in use, a power of two: an address belongs to the ring `hash(address) & (shards - 1)`.
    pub shards: u32,
    /// Allocations smaller than this many bytes are refused.
    pub min_size: u64,
    /// Allocations larger than this many bytes are refused.
    pub max_size: u64,
    /// 1: children of a traced process are traced from their first instruction on.
    pub follow: u32,
    /// Where the kernel keeps what is read of it.
    pub offsets: Offsets,
    /// Changes whenever a traced process has changed what code it has mapped: rules kept of addresses before do not count
    /// any more. The kernel part's own: 0 at the start.
    pub epoch: u32,
    /// How stacks are taken: the number of a [`StackMethod`].
    pub stacks: u32,
    /// 1: recorded blocks are marked in the table `TAGS`, and releases of others are dismissed. Not to be changed after
    /// the start: blocks that were not marked would never end.
    pub samples: u32,
    /// Bytes for which a block is recorded, on average, up to [`crate::sampling::MAX_INTERVAL`]; 1 or 0 records every
    /// block. May be changed while events are wanted, when [`Settings::samples`] is set. With it, [`Settings::epoch`]
    /// must be changed to a value that it never had.
    pub interval: u32,
    /// Buckets of the table `TAGS`, less one.
    pub tag_mask: u32,
    /// Blocks whose addresses differ in so many last bits alone belong to the same bucket of it.
    pub tag_shift: u32,
    /// A reader is woken at every n-th record of a CPU, and this is n - 1, a power of two less one. It looks by itself every
    /// few milliseconds: to be woken is for rings that would fill before that.
    pub wakeup_mask: u32,
    /// For how many times its length a pulse of recording stands; 1 or 0 when blocks are not recorded in pulses. May be
    /// changed together with [`Settings::generation`].
    pub pulse: u32,
    /// Changes whenever blocks are wanted again: the returns of calls that were in flight before were not seen.
    pub generation: u32,
    /// 1: only the growth of memory is recorded, and mappings that an allocator's code asks for are marked as its own.
    pub growth: u32,
    /// Where it keeps what only the growth of memory needs; all 0 where the kernel has none of it.
    pub growth_offsets: GrowthOffsets,
    /// Where the kernel has all physical memory mapped, as far as the kernel part has found out: its own; 0 at the start.
    pub direct_map: u64,
}

/// How stacks are taken.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StackMethod {
    /// By call frame information, in the kernel part.
    #[default]
    Cfi = 0,
    /// By frame pointers, by the kernel's own `bpf_get_stack`.
    FramePointers = 1,
    /// Not at all.
    None = 2,
}

// SAFETY: `Settings` is repr(C), made of integers only, without padding: any bytes are a valid value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Settings {}

const _: () = assert!(size_of::<Settings>() == 168);
