//! The growth of a process's resident memory, when only that is recorded.

use serde::Serialize;

/// What is known of the growth in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Growth {
    /// Page faults that the kernel part has seen.
    pub page_faults: u64,
}

/// Resident memory of a process, in bytes, as the kernel counts it (`/proc/PID/status`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resident {
    /// Anonymous memory (`RssAnon`): heap, stacks, private mappings, private copies of files' pages.
    pub anonymous: u64,
    /// Pages of files (`RssFile`).
    pub file: u64,
    /// Shared memory without a file on a disk (`RssShmem`).
    pub shared: u64,
}

impl Resident {
    /// All together (`VmRSS`).
    #[must_use]
    pub const fn total(self) -> u64 {
        self.anonymous.saturating_add(self.file).saturating_add(self.shared)
    }

    /// What the kernel cannot drop: all but the pages of files.
    #[must_use]
    pub const fn own(self) -> u64 {
        self.anonymous.saturating_add(self.shared)
    }
}

/// What is known of the growth of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProcessGrowth {
    /// Resident when it was first looked at; nothing for a program from its first instruction on.
    pub begin: Option<Resident>,
    /// Resident when it was last looked at; of a process that has ended, up to a second before. `None` when it was not.
    pub end: Option<Resident>,
    /// Its page faults.
    pub faults: u64,
    /// Of these, reads of anonymous memory that nobody had written to: the kernel has one page of zeroes for all of them.
    pub zero_faults: u64,
    /// Of these, faults of which the page's size is not known: each counts as 4 KiB.
    pub unsized_faults: u64,
    /// Whether the kernel's page map was asked which of the touched pages are still there; else what was given back without
    /// being unmapped (`madvise`) is not known.
    pub is_checked: bool,
}
