//! What /proc says of the memory of a process.
//!
//! `/proc/PID/status` (Documentation/filesystems/proc.rst) tells sizes that the kernel counts anyway. It counts them for each
//! CPU or thread first, so that they can be off by some hundred KiB (mm/memory.c up to 6.1, percpu counters since).
//! `smaps_rollup` is exact, and tells how pages are shared; but for it the kernel walks the page tables of the whole
//! process, with its `mmap_lock` held for reading (`fs/proc/task_mmu.c`), so that whoever maps memory there waits
//! meanwhile (since 5.10 it is let go when somebody waits). So it is read only as often as [`Thrift`] lets it.

use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use procfs::process::{Process, Status};
use procfs::{ProcError, ProcResult};
use thiserror::Error;

use crate::timeline::Thrift;

/// The memory of a process at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Bytes of pages in memory, those shared with others in full.
    pub rss: u64,
    /// The part of it that no file stands behind.
    pub anonymous: u64,
    /// The part that is of files.
    pub file: u64,
    /// The part that is shared memory.
    pub shmem: u64,
    /// Bytes of anonymous pages swapped out.
    pub swap: u64,
    /// Page faults served from memory, since the process began.
    pub minor_faults: u64,
    /// Page faults that had to read.
    pub major_faults: u64,
    /// Bytes of pages in memory, each divided by the number of its users. As old as [`MemoryReader::pss_age`] says.
    pub pss: Option<u64>,
    /// Bytes of pages in memory that nobody else has; as old as `pss`.
    pub uss: Option<u64>,
}

/// Why the memory of a process is not known.
#[derive(Debug, Error)]
pub enum MemoryError {
    /// It has ended, or is about to: its memory is gone.
    #[error("process {pid} has ended")]
    Gone {
        /// Its id.
        pid: u32,
    },
    /// Something else went wrong.
    #[error("the memory of process {pid} cannot be read")]
    Unreadable {
        /// Its id.
        pid: u32,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Shared and private pages, as `smaps_rollup` tells.
#[derive(Clone, Copy, Debug)]
struct Shares {
    pss: u64,
    uss: u64,
    read_at: Instant,
}

/// Reads the memory of one process again and again. It is never another process that got its number later.
#[derive(Debug)]
pub struct MemoryReader {
    pid: u32,
    process: Process,
    born: Instant,
    thrift: Thrift,
    shares: Option<Shares>,
    why_not: Option<String>,
    is_told: bool,
}

impl MemoryReader {
    /// Of the process `pid`, which lives.
    pub fn new(pid: u32) -> Result<Self, MemoryError> {
        let number = i32::try_from(pid).ok().filter(|&number| number > 0).ok_or(MemoryError::Gone { pid })?;
        let process = Process::new(number).map_err(|error| failed(pid, error))?;
        let (born, thrift) = (Instant::now(), Thrift::default());
        Ok(Self { pid, process, born, thrift, shares: None, why_not: None, is_told: false })
    }

    /// The memory now, with the last known `pss` and `uss`.
    pub fn read(&mut self) -> Result<ProcessMemory, MemoryError> {
        let status = self.status_with_memory()?;
        // The line is there while the process has memory.
        let kib = |value: Option<u64>| value.unwrap_or(0).saturating_mul(1024);
        let stat = self.process.stat().map_err(|error| failed(self.pid, error))?;
        if self.thrift.is_due(self.now()) {
            self.read_shares()?;
        }
        Ok(ProcessMemory {
            rss: kib(status.vmrss),
            anonymous: kib(status.rssanon),
            file: kib(status.rssfile),
            shmem: kib(status.rssshmem),
            swap: kib(status.vmswap),
            minor_faults: stat.minflt,
            major_faults: stat.majflt,
            pss: self.shares.map(|shares| shares.pss),
            uss: self.shares.map(|shares| shares.uss),
        })
    }

    /// How long ago `pss` and `uss` were read.
    #[must_use]
    pub fn pss_age(&self) -> Option<Duration> {
        self.shares.map(|shares| shares.read_at.elapsed())
    }

    /// Why there is no `pss`, once it was tried.
    #[must_use]
    pub fn why_no_pss(&self) -> Option<&str> {
        self.why_not.as_deref()
    }

    /// The same, and only the first time: to be told to the user.
    pub fn why_no_pss_once(&mut self) -> Option<&str> {
        let is_known = self.is_told || self.why_not.is_some();
        let is_told = std::mem::replace(&mut self.is_told, is_known);
        self.why_not.as_deref().filter(|_| !is_told)
    }

    fn now(&self) -> u64 {
        nanoseconds(self.born.elapsed())
    }

    /// The status of the process, or of a thread when the first has ended before the others: the first has no memory then.
    fn status_with_memory(&self) -> Result<Status, MemoryError> {
        let failed = |error| failed(self.pid, error);
        let status = self.process.status().map_err(failed)?;
        if status.vmrss.is_some() {
            return Ok(status);
        }
        let threads = self.process.tasks().map_err(failed)?;
        let mut statuses = threads.filter_map(|thread| thread.ok()?.status().ok());
        statuses.find(|status| status.vmrss.is_some()).ok_or(MemoryError::Gone { pid: self.pid })
    }

    fn read_shares(&mut self) -> Result<(), MemoryError> {
        let before = Instant::now();
        let shares = shares(&self.process);
        let cost = before.elapsed();
        self.thrift.took(self.now(), nanoseconds(cost));
        match shares {
            Ok((pss, uss)) => {
                self.shares = Some(Shares { pss, uss, read_at: Instant::now() });
                self.why_not = None;
            }
            Err(error) => {
                // Not when it is because the process has just ended.
                self.status_with_memory()?;
                self.shares = None;
                self.why_not = Some(reason(self.pid, &error));
            }
        }
        Ok(())
    }
}

/// Proportional and unique set in bytes.
fn shares(process: &Process) -> ProcResult<(u64, u64)> {
    let rollup = process.smaps_rollup()?.memory_map_rollup;
    let sums = &rollup.iter().next().ok_or(ProcError::Incomplete(None))?.extension.map;
    let read = |name: &str| sums.get(name).copied().ok_or(ProcError::Incomplete(None));
    Ok((read("Pss")?, read("Private_Clean")?.saturating_add(read("Private_Dirty")?)))
}

fn reason(pid: u32, error: &ProcError) -> String {
    let file = format!("/proc/{pid}/smaps_rollup");
    match error {
        ProcError::PermissionDenied(_) => format!("{file} may not be read (run heaptide with sudo)"),
        ProcError::NotFound(_) => format!("there is no {file} (Linux has it since 4.14)"),
        ProcError::Io(error, _) => format!("{file} cannot be read: {error}"),
        _ => format!("{file} is not complete (the first thread of the process may have ended)"),
    }
}

fn failed(pid: u32, error: ProcError) -> MemoryError {
    match error {
        ProcError::NotFound(_) => MemoryError::Gone { pid },
        ProcError::Io(error, _) if error.raw_os_error() == Some(Errno::ESRCH as i32) => MemoryError::Gone { pid },
        ProcError::Io(source, _) => MemoryError::Unreadable { pid, source },
        ProcError::PermissionDenied(_) => MemoryError::Unreadable { pid, source: Errno::EACCES.into() },
        error => MemoryError::Unreadable { pid, source: io::Error::other(error.to_string()) },
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
