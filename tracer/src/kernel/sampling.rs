//! The user side of sampling: the tables that it needs, the interval, and what the threads have done.

use std::{io, num::NonZero, os::fd::AsFd as _, ptr::NonNull};

use aya::{
    Ebpf,
    maps::{Array, HashMap as BpfHashMap, Map, MapData},
};
use heaptide_common::{
    Settings,
    sampling::{Counts, FAMILIES, MAX_BUCKETS, TAGS, ThreadCounts},
};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use procfs::{Current as _, Meminfo};
use rustc_hash::FxHashMap;

use super::{Kernel, LoadError, take};

/// Fewest buckets of the table of recorded blocks.
const MIN_BUCKETS: u64 = 1 << 10;

const PAGE: u32 = 4096;

/// Bytes of memory, where the kernel does not say.
const MEMORY: u64 = 16 << 30;

/// How large the kernel part's tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Buckets of recorded blocks, a power of two.
    pub(super) buckets: u32,
    /// The logarithm of the bytes whose blocks share a bucket.
    pub(super) shift: u32,
    /// Numbers of families.
    pub(super) families: u32,
}

impl Sizes {
    /// Without sampling there are none; but a table of nothing cannot be made.
    const NONE: Self = Self { buckets: 1, shift: 0, families: 1 };

    /// For recording one block in every `interval` bytes.
    pub(super) fn of(interval: Option<u32>) -> Self {
        let Some(interval) = interval else { return Self::NONE };
        let memory = Meminfo::current().map_or(MEMORY, |memory| memory.mem_total);
        Self { buckets: buckets(memory, interval), shift: shift(interval), families: FAMILIES as u32 }
    }
}

/// Twice the room for what can be recorded and live when programs use all of the memory: buckets do not fill evenly.
fn buckets(memory: u64, interval: u32) -> u32 {
    let blocks = memory / u64::from(interval.max(1));
    let buckets = (2 * blocks / TAGS as u64).next_power_of_two();
    buckets.clamp(MIN_BUCKETS, u64::from(MAX_BUCKETS)) as u32
}

/// A page; less where a page has many recorded blocks.
fn shift(interval: u32) -> u32 {
    (interval / 2).clamp(1, PAGE).ilog2()
}

/// The maps that only sampling needs.
pub(super) struct Sampling {
    members: Array<MapData, u64>,
    threads: Threads,
    displaced: BpfHashMap<MapData, u32, ThreadCounts>,
    /// The newest family.
    families: u32,
}

impl Sampling {
    pub(super) fn new(bpf: &mut Ebpf) -> Result<Self, LoadError> {
        let Map::Array(threads) = take(bpf, "THREADS")? else {
            return Err(LoadError::Incomplete { part: "THREADS".to_owned() });
        };
        let entries = threads.info().map(|info| info.max_entries())?;
        Ok(Self {
            members: Array::try_from(take(bpf, "MEMBERS")?)?,
            threads: Threads::map(threads, entries).map_err(LoadError::Rows)?,
            displaced: BpfHashMap::try_from(take(bpf, "DISPLACED")?)?,
            families: 0,
        })
    }

    /// A family of its own, with one process; its number.
    pub(super) fn family(&mut self) -> Result<u32, LoadError> {
        self.families = (self.families % (FAMILIES as u32 - 1)) + 1;
        self.members.set(0, u64::from(self.families), 0)?;
        let members = self.members.get(&self.families, 0)?;
        self.members.set(self.families, members + 1, 0)?;
        Ok(self.families)
    }
}

/// More than the kernel part adds to the epoch between a reading and a writing of the settings: what it adds then is
/// written over, and no epoch may come twice.
const EPOCHS: u32 = 1 << 16;

impl Kernel {
    /// Bytes for which one block is recorded, on average; 0 when every block is.
    #[must_use]
    pub const fn interval(&self) -> u32 {
        self.settings.interval
    }

    /// From now on one block in every `interval` bytes is recorded, on average; 1 or 0: every block. Does nothing when
    /// the kernel part was not loaded for sampling.
    pub fn set_interval(&mut self, interval: u32) -> Result<(), LoadError> {
        if self.settings.samples == 0 {
            return Ok(());
        }
        self.settings.interval = whole(interval);
        self.change_settings(|settings| settings.interval = whole(interval))
    }

    /// Changes what the kernel part was told, while it may add to the epoch.
    pub(super) fn change_settings(&mut self, change: impl FnOnce(&mut Settings)) -> Result<(), LoadError> {
        let mut settings = self.settings_map.get(&0, 0)?;
        change(&mut settings);
        settings.epoch = settings.epoch.wrapping_add(EPOCHS);
        Ok(self.settings_map.set(0, settings, 0)?)
    }

    /// What living threads have done, recorded or not, with their processes. Nothing without sampling.
    pub fn counts(&self) -> Vec<(u32, Counts)> {
        if self.settings.samples == 0 {
            return Vec::new();
        }
        let Sampling { threads, displaced, .. } = &self.sampling;
        // A thread that ends meanwhile makes the walk begin again.
        let displaced: FxHashMap<u32, ThreadCounts> = displaced.iter().filter_map(Result::ok).collect();
        let all = threads.iter().chain(displaced.into_values()).filter(|thread| thread.task != 0);
        let counts = all.map(|thread| ((thread.task >> 32) as u32, thread.counts));
        counts.filter(|(_, counts)| *counts != Counts::NONE).collect()
    }
}

/// The kernel part's array of threads, as memory: a call for each of its entries would take long.
struct Threads {
    memory: NonNull<ThreadCounts>,
    entries: usize,
    /// Programs that are loaded later look for it by its descriptor.
    _array: MapData,
}

// SAFETY: the memory belongs to this value alone, and is only read, by volatile accesses.
unsafe impl Send for Threads {}

impl Threads {
    fn map(array: MapData, entries: u32) -> io::Result<Self> {
        let entries = entries as usize;
        let bytes = NonZero::new(entries * size_of::<ThreadCounts>()).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a new mapping, which no other value knows.
        let memory = unsafe { mmap(None, bytes, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, array.fd().as_fd(), 0) }?;
        Ok(Self { memory: memory.cast(), entries, _array: array })
    }

    fn iter(&self) -> impl Iterator<Item = ThreadCounts> {
        // SAFETY: the mapping has as many entries. The kernel part may write one meanwhile, word by word.
        (0..self.entries).map(|index| unsafe { self.memory.add(index).read_volatile() })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and ends with it.
        if let Err(error) = unsafe { munmap(self.memory.cast(), self.entries * size_of::<ThreadCounts>()) } {
            log::debug!("the threads could not be unmapped: {error}");
        }
    }
}

/// An interval of one byte chooses every block: as none does.
pub(super) const fn whole(interval: u32) -> u32 {
    if interval <= 1 { 0 } else { interval }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_grows_with_the_memory_and_has_its_limits() {
        assert_eq!(buckets(8 << 30, 512 << 10), 8192);
        assert_eq!(buckets(0, 512 << 10), 1024);
        assert_eq!(buckets(u64::MAX / 4, 2), MAX_BUCKETS);
        assert_eq!([shift(512 << 10), shift(1024), shift(2), shift(1)], [12, 9, 0, 0]);
    }

    #[test]
    fn without_sampling_there_are_no_tables() {
        assert_eq!(Sizes::of(None), Sizes::NONE);
    }
}
