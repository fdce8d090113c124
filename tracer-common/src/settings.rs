//! What the user side tells the kernel part, once before the start and again when it stops.

/// The only entry of the `SETTINGS` array.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// 1 while events are wanted. All probes go in while it is 0, so that the trace begins at one instant for all of
    /// them: no allocation can be seen whose release a later probe would have missed.
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
    /// 0; keeps the size a multiple of eight.
    pub unused: u32,
}

// SAFETY: `Settings` is repr(C), made of integers only, without padding: any bytes are a valid value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Settings {}

const _: () = assert!(size_of::<Settings>() == 48);
