//! The tables of files, as the kernel part searches them: one array of rows in shared memory, and a map that says which
//! part of it is which file's.

use std::{
    collections::HashMap,
    io,
    num::NonZeroUsize,
    ptr::NonNull,
    time::{Duration, Instant},
};

use aya::maps::{HashMap as BpfHashMap, MapData};
use heaptide_common::unwind::{File, FileTable, Rule};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::LoadError;

/// The kernel part's tables.
pub struct Tables {
    rows: Rows,
    files: BpfHashMap<MapData, File, FileTable>,
    /// Files that the kernel part has asked for, and does not ask for again.
    wanted: BpfHashMap<MapData, File, u32>,
    /// Where each file's rows are.
    used: HashMap<File, FileTable>,
    free: Vec<(u32, u32)>,
    /// Rows that a program which has just looked for their file may still read.
    resting: Vec<(Instant, (u32, u32))>,
    /// Files without room.
    refused: Vec<File>,
}

/// How long rows rest: a program runs for some microseconds.
const REST: Duration = Duration::from_secs(1);

/// Rows of a file, in the order of their places in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileRows {
    /// Place in the file where a row's pc is 0, in bytes.
    pub code_offset: u64,
    /// Each row: pc in the lower half, rule in the upper half.
    pub rows: Vec<u64>,
}

impl Tables {
    pub(super) fn new(
        rows: &MapData,
        capacity: u32,
        files: BpfHashMap<MapData, File, FileTable>,
        wanted: BpfHashMap<MapData, File, u32>,
    ) -> Result<Self, LoadError> {
        let rows = Rows::map(rows, capacity).map_err(LoadError::Rows)?;
        let free = vec![(0, rows.capacity)];
        Ok(Self { rows, files, wanted, used: HashMap::new(), free, resting: Vec::new(), refused: Vec::new() })
    }

    /// Whether the kernel part has a file's table.
    #[must_use]
    pub fn has(&self, file: &File) -> bool {
        self.used.contains_key(file)
    }

    /// Hands a file's table to the kernel part; `false` when there is no room for it.
    pub fn insert(&mut self, file: File, table: &FileRows) -> Result<bool, LoadError> {
        let count = table.rows.len() as u32;
        let Some(first) = self.reserve(count) else {
            self.refused.push(file);
            return Ok(false);
        };
        self.rows.write(first, &table.rows);
        let entry = FileTable { first_row: first, rows: count, code_offset: table.code_offset };
        self.used.insert(file, entry);
        // The entry comes after its rows: a program that finds it finds them.
        self.files.insert(file, entry, 0)?;
        Ok(true)
    }

    /// Whether there may be no room for the next file.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        let (used, capacity) = self.rows();
        !self.refused.is_empty() || used > capacity / 4 * 3
    }

    /// Takes back the tables of files that `is_used` says nobody uses any more. Files that were refused can be asked for
    /// again.
    pub fn retain(&mut self, is_used: impl Fn(&File) -> bool) -> Result<(), LoadError> {
        let unused: Vec<File> = self.used.keys().filter(|file| !is_used(file)).copied().collect();
        for file in unused.iter().chain(&std::mem::take(&mut self.refused)) {
            self.remove(file)?;
        }
        Ok(())
    }

    fn remove(&mut self, file: &File) -> Result<(), LoadError> {
        if let Some(table) = self.used.remove(file) {
            self.files.remove(file)?;
            self.resting.push((Instant::now(), (table.first_row, table.rows)));
        }
        // It may never have been asked for, but given.
        let _ = self.wanted.remove(file);
        Ok(())
    }

    fn wake_rested(&mut self) {
        let rested = self.resting.extract_if(.., |(since, _)| since.elapsed() >= REST);
        self.free.extend(rested.map(|(_, rows)| rows).filter(|&(_, count)| count > 0));
        self.free.sort_unstable();
        self.free.dedup_by(|next, before| {
            let touches = before.0 + before.1 == next.0;
            before.1 += if touches { next.1 } else { 0 };
            touches
        });
    }

    /// The rule at a place in a file, as the kernel part would find it; `None` when the file has no table.
    #[must_use]
    pub fn rule(&self, file: &File, place: u64) -> Option<Rule> {
        let table = self.used.get(file)?;
        let Ok(pc) = u32::try_from(place.wrapping_sub(table.code_offset)) else { return Some(Rule::NO_CFI) };
        let (mut first, mut behind) = (0, table.rows);
        while first < behind {
            let middle = first.midpoint(behind);
            if self.rows.read(table.first_row + middle) as u32 <= pc {
                first = middle + 1;
            } else {
                behind = middle;
            }
        }
        let Some(last) = first.checked_sub(1) else { return Some(Rule::NO_CFI) };
        Some(Rule::from_bits((self.rows.read(table.first_row + last) >> u32::BITS) as u32))
    }

    /// Rows that all files together have now, and can have.
    #[must_use]
    pub fn rows(&self) -> (u64, u64) {
        let free: u64 = self.free.iter().map(|&(_, count)| u64::from(count)).sum();
        (u64::from(self.rows.capacity) - free, u64::from(self.rows.capacity))
    }

    /// The first of `count` free rows in a row.
    fn reserve(&mut self, count: u32) -> Option<u32> {
        if count == 0 {
            return Some(0);
        }
        self.wake_rested();
        let place = self.free.iter().position(|&(_, free)| free >= count)?;
        let (first, free) = self.free[place];
        if free == count {
            self.free.remove(place);
        } else {
            self.free[place] = (first + count, free - count);
        }
        Some(first)
    }
}

/// The array `ROWS`, mapped: writing it entry by entry would be a system call each.
struct Rows {
    memory: NonNull<u64>,
    capacity: u32,
}

// SAFETY: the memory belongs to this value alone, as far as this process goes.
unsafe impl Send for Rows {}

impl Rows {
    fn map(array: &MapData, capacity: u32) -> io::Result<Self> {
        let bytes = NonZeroUsize::new(capacity as usize * size_of::<u64>()).ok_or(io::ErrorKind::InvalidInput)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, where the kernel sees fit.
        let memory = unsafe { mmap(None, bytes, protection, MapFlags::MAP_SHARED, array.fd(), 0) }?;
        Ok(Self { memory: memory.cast(), capacity })
    }

    fn write(&mut self, first: u32, rows: &[u64]) {
        debug_assert!(first as usize + rows.len() <= self.capacity as usize, "reserved");
        for (index, &row) in rows.iter().enumerate() {
            // SAFETY: `reserve` gave out only rows within the mapping. Volatile: the kernel part may be reading others.
            unsafe { self.memory.add(first as usize + index).write_volatile(row) };
        }
    }
}

impl Rows {
    fn read(&self, index: u32) -> u64 {
        debug_assert!(index < self.capacity, "of a table");
        // SAFETY: tables lie within the mapping. Volatile: it is memory that others see.
        unsafe { self.memory.add(index as usize).read_volatile() }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, of this size, and nothing refers to it any more.
        if let Err(error) = unsafe { munmap(self.memory.cast(), self.capacity as usize * size_of::<u64>()) } {
            log::debug!("the rows could not be unmapped: {error}");
        }
    }
}
