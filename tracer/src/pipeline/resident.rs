//! Resident memory of the processes, and which of the pages that were touched are still there.

use std::{fs::File, io, os::unix::fs::FileExt};

use procfs::process::Process as ProcProcess;
use rustc_hash::FxHashMap;

use crate::{
    live::{AccountSummary, Key, TouchedRange, pages},
    profile::Resident,
};

const PAGE: u64 = 4096;

/// Bytes of an entry of `/proc/PID/pagemap`.
const ENTRY: usize = 8;

/// Entries that are read at once.
const BATCH: u64 = 4096;

/// Ranges that are no further apart than so many pages are read together.
const NEAR: u64 = 64;

/// Pages that are looked at, of one process: 256 GiB. What a process has told to be larger is not looked at.
const MOST_PAGES: u64 = 1 << 26;

/// The page is there, or in swap (`Documentation/admin-guide/mm/pagemap.rst`).
const IN_USE: u64 = 1 << 63 | 1 << 62;

/// Resident memory of the processes when they were first and last looked at.
#[derive(Debug, Default)]
pub(super) struct Residents {
    of: FxHashMap<Key, (Option<Resident>, Option<Resident>)>,
}

impl Residents {
    /// A process counts from now on.
    pub(super) fn begin(&mut self, key: Key) {
        self.of.insert(key, (resident(key.pid), None));
    }

    /// A process has begun to run a program, with nothing resident.
    pub(super) fn program(&mut self, key: Key) {
        self.of.insert(key, (Some(Resident::default()), None));
    }

    /// Looks at a process that has not ended.
    pub(super) fn look(&mut self, key: Key) {
        if let Some((_, last)) = self.of.get_mut(&key) {
            *last = resident(key.pid).or(*last);
        }
    }

    /// At the begin and at the end, as far as it was seen.
    pub(super) fn get(&self, key: Key) -> (Option<Resident>, Option<Resident>) {
        self.of.get(&key).copied().unwrap_or_default()
    }
}

/// `None` when the process has ended.
fn resident(pid: u32) -> Option<Resident> {
    let status = ProcProcess::new(pid.cast_signed()).and_then(|process| process.status()).ok()?;
    let bytes = |kibibytes: Option<u64>| Some(kibibytes? << 10);
    Some(Resident { anonymous: bytes(status.rssanon)?, file: bytes(status.rssfile)?, shared: bytes(status.rssshmem)? })
}

/// Asks the kernel which of an account's touched pages are there no more, and counts those as freed. Says whether it has
/// told.
pub(super) fn check(account: &mut AccountSummary) -> bool {
    if account.end.is_some() {
        return false;
    }
    let told = File::open(format!("/proc/{}/pagemap", account.key.pid)).and_then(|map| gone(&map, &account.touched));
    match told {
        Ok(gone) => {
            take_out(account, &gone);
            true
        }
        Err(error) => {
            log::info!("process {}: its page map cannot be read: {error}", account.key.pid);
            false
        }
    }
}

fn take_out(account: &mut AccountSummary, gone: &[u64]) {
    let AccountSummary { touched, stacks, sums, .. } = account;
    for (range, &bytes) in touched.iter().zip(gone) {
        let Some(stack) = stacks.get_mut(range.stack as usize).filter(|_| bytes > 0) else { continue };
        let free = |totals: &mut crate::profile::Totals| {
            totals.freed += pages(bytes);
            totals.outstanding = totals.outstanding - pages(bytes);
        };
        free(&mut stack.totals);
        sums.each_of(stack.memory, free);
        if range.is_shown {
            stack.shown = stack.shown - pages(bytes);
        }
    }
}

/// Bytes of each range that are not in use any more. The ranges are in order.
fn gone(map: &File, ranges: &[TouchedRange]) -> io::Result<Vec<u64>> {
    let pages = ranges.iter().map(|range| (range.end - range.start) / PAGE).fold(0, u64::saturating_add);
    if pages > MOST_PAGES {
        return Err(io::Error::other(format!("{pages} pages are too many to look at")));
    }
    let mut window = Window { first: 0, entries: Vec::new() };
    let mut gone = Vec::with_capacity(ranges.len());
    for (index, range) in ranges.iter().enumerate() {
        let mut missing = 0;
        for page in range.start / PAGE..range.end / PAGE {
            let entry = if let Some(entry) = window.get(page) {
                entry
            } else {
                window.read(map, page, end_of_run(&ranges[index..]))?;
                // What is beyond the end of the map is not there.
                window.get(page).unwrap_or(0)
            };
            missing += PAGE * u64::from(entry & IN_USE == 0);
        }
        gone.push(missing);
    }
    Ok(gone)
}

/// The page past those that are worth to be read together with the first range.
fn end_of_run(ranges: &[TouchedRange]) -> u64 {
    let mut end = 0;
    for range in ranges {
        if end > 0 && (range.start / PAGE > end + NEAR || range.start / PAGE > ranges[0].start / PAGE + BATCH) {
            break;
        }
        end = range.end / PAGE;
    }
    end
}

/// A piece of a page map.
struct Window {
    first: u64,
    entries: Vec<u64>,
}

impl Window {
    fn get(&self, page: u64) -> Option<u64> {
        self.entries.get(usize::try_from(page.checked_sub(self.first)?).ok()?).copied()
    }

    fn read(&mut self, map: &File, first: u64, end: u64) -> io::Result<()> {
        let count = (end - first).clamp(1, BATCH) as usize;
        let mut bytes = vec![0; count * ENTRY];
        let mut filled = 0;
        while filled < bytes.len() {
            match map.read_at(&mut bytes[filled..], first * ENTRY as u64 + filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        self.first = first;
        self.entries = bytes[..filled].as_chunks::<ENTRY>().0.iter().map(|entry| u64::from_ne_bytes(*entry)).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, pages: u64) -> TouchedRange {
        TouchedRange { start, end: start + pages * PAGE, stack: 0, is_shown: true }
    }

    #[test]
    fn ranges_that_are_near_are_read_together_and_far_ones_are_not() {
        let ranges = [range(0x10_0000, 2), range(0x10_4000, 1), range(0x9000_0000, 1)];
        assert_eq!(end_of_run(&ranges), 0x105);
        assert_eq!(end_of_run(&ranges[2..]), 0x9_0001);
    }

    #[test]
    fn a_process_has_resident_memory_and_one_that_is_gone_has_none() {
        let mine = resident(std::process::id()).unwrap();
        assert!(mine.anonymous > 0 && mine.file > 0 && mine.total() >= mine.own(), "{mine:?}");
        assert_eq!(resident(u32::MAX >> 1), None);
    }
}
