//! What the user side tells the kernel part, once before the start and again when it stops.

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
    /// Byte offset of `tgid` in the kernel's `task_struct`.
    pub task_tgid: u32,
    /// Byte offset of `mm` in the kernel's `task_struct`.
    pub task_mm: u32,
    /// Byte offset of `signal` in the kernel's `task_struct`.
    pub task_signal: u32,
    /// Byte offset of `live` (threads that have not exited) in the kernel's `signal_struct`.
    pub signal_live: u32,
    /// Byte offset of `vm_start` in the kernel's `vm_area_struct`.
    pub vma_start: u32,
    /// Byte offset of `vm_pgoff` in the kernel's `vm_area_struct`.
    pub vma_page_offset: u32,
    /// Byte offset of `vm_file` in the kernel's `vm_area_struct`.
    pub vma_file: u32,
    /// Byte offset of `vm_private_data` in the kernel's `vm_area_struct`.
    pub vma_private: u32,
    /// Byte offset of `name` in the kernel's `vm_special_mapping`.
    pub special_name: u32,
    /// Byte offset of `f_inode` in the kernel's `file`.
    pub file_inode: u32,
    /// Byte offset of `i_ino` in the kernel's `inode`.
    pub inode_number: u32,
    /// Byte offset of `i_sb` in the kernel's `inode`.
    pub inode_super: u32,
    /// Byte offset of `s_dev` in the kernel's `super_block`.
    pub super_device: u32,
    /// Byte offset of `utask` in the kernel's `task_struct`.
    pub task_uprobes: u32,
    /// Byte offset of `return_instances` in the kernel's `uprobe_task`.
    pub uprobes_returns: u32,
    /// Byte offset of `stack` in the kernel's `return_instance`.
    pub return_stack: u32,
    /// Byte offset of `orig_ret_vaddr` in the kernel's `return_instance`.
    pub return_address: u32,
    /// Byte offset of `next` in the kernel's `return_instance`.
    pub return_next: u32,
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
    /// Byte offset of `vm_flags` in the kernel's `vm_area_struct`.
    pub vma_flags: u32,
    /// Byte offset of `s_magic` in the kernel's `super_block`.
    pub super_magic: u32,
    /// Byte offset of `start_brk` in the kernel's `mm_struct`.
    pub mm_start_brk: u32,
    /// Byte offset of `brk` in the kernel's `mm_struct`.
    pub mm_brk: u32,
    /// Byte offset of `pgd` in the kernel's `mm_struct`.
    pub mm_pgd: u32,
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
