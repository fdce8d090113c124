//! What is sampled of a process.

/// A number that is sampled of a process. All are bytes unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// Blocks and anonymous mappings, allocated since the trace began and not freed.
    OutstandingBytes,
    /// The same, counted.
    OutstandingBlocks,
    /// Blocks alone: what is outstanding without mappings.
    Heap,
    /// Allocated since the trace began, freed or not.
    Allocated,
    /// Freed since the trace began.
    Freed,
    /// Anonymous mappings that the program made itself: a part of what is outstanding.
    Mapped,
    /// Files that it has mapped.
    MappedFiles,
    /// Stacks of its threads, as reserved.
    ThreadStacks,
    /// What the allocator itself took by `mmap` to hold the heap.
    AllocatorMapped,
    /// The same by `brk`.
    AllocatorBrk,
    /// Resident set: pages in memory, those shared with others in full.
    Rss,
    /// The same, shared pages divided by their users. Sums over a family of processes are right.
    Pss,
    /// Pages that nobody else has: what would be free if the process ended.
    Uss,
    /// Resident anonymous pages.
    Anonymous,
    /// Resident pages of files.
    File,
    /// Resident pages of shared memory.
    Shmem,
    /// Swapped out.
    Swap,
    /// Page faults served from memory, counted.
    MinorFaults,
    /// Page faults that had to read, counted.
    MajorFaults,
    /// What counts against the limit: all that the control group uses, or the machine.
    LimitUse,
    /// The limit of the control group, or the machine's memory.
    Limit,
    /// Events received by the tracer, counted.
    Events,
    /// Events known to be lost, counted.
    Lost,
    /// Releases of blocks that are older than the trace, counted.
    OlderReleases,
}

impl Metric {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 24] = [
        Self::OutstandingBytes,
        Self::OutstandingBlocks,
        Self::Heap,
        Self::Allocated,
        Self::Freed,
        Self::Mapped,
        Self::MappedFiles,
        Self::ThreadStacks,
        Self::AllocatorMapped,
        Self::AllocatorBrk,
        Self::Rss,
        Self::Pss,
        Self::Uss,
        Self::Anonymous,
        Self::File,
        Self::Shmem,
        Self::Swap,
        Self::MinorFaults,
        Self::MajorFaults,
        Self::LimitUse,
        Self::Limit,
        Self::Events,
        Self::Lost,
        Self::OlderReleases,
    ];

    /// Whether it only ever grows, so that what matters is what came in an interval.
    #[must_use]
    pub const fn is_counter(self) -> bool {
        matches!(
            self,
            Self::Allocated
                | Self::Freed
                | Self::MinorFaults
                | Self::MajorFaults
                | Self::Events
                | Self::Lost
                | Self::OlderReleases
        )
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_the_place_of_its_number() {
        assert!(Metric::ALL.iter().enumerate().all(|(index, metric)| metric.index() == index));
    }
}
