//! What a recording cannot tell, and what it cost: in every report.

use serde::Serialize;

/// Everything that is missing from the sums, by reason. All zero means: the report is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// Events lost because a ring was full, by kind.
    pub lost: Lost,
    /// Events refused by choice.
    pub refused: Refused,
    /// Events without the partner that they belong to.
    pub unmatched: Unmatched,
    /// Allocations whose stack is missing or cut. Their bytes are exact.
    pub stacks: Stacks,
    /// How the walks of stacks ended.
    pub unwinding: Unwinding,
}

impl Unknown {
    /// Whether nothing is missing from the sums (stacks may be).
    #[must_use]
    pub fn is_exact(&self) -> bool {
        // Releases and unmappings of older blocks, and returns of older calls, change no sum.
        self.lost == Lost::default()
            && self.refused.live_blocks == 0
            && self.unmatched.replaced_blocks == 0
            && self.unmatched.calls == 0
            && self.unmatched.results == 0
            && self.unmatched.processes == 0
            && self.unmatched.late_processes == 0
            && self.unmatched.late_libraries == 0
            && self.unmatched.undecodable == 0
    }
}

/// Events lost because a ring was full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Allocations.
    pub allocations: u64,
    /// Releases: what they freed stays outstanding.
    pub releases: u64,
    /// Begins and ends of resizes.
    pub resizes: u64,
    /// Mapping calls.
    pub mappings: u64,
    /// Forks, execs and exits.
    pub processes: u64,
    /// Calls not followed to their return: the kernel part's table of calls was full.
    pub calls: u64,
    /// Page faults.
    pub faults: u64,
}

impl Lost {
    /// All together.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        let Self { allocations, releases, resizes, mappings, processes, calls, faults } = *self;
        allocations + releases + resizes + mappings + processes + calls + faults
    }
}

/// Events refused by choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Allocations outside the size limits of the command line.
    pub by_size: u64,
    /// Bytes of those.
    pub by_size_bytes: u64,
    /// Allocations not kept because the table of live blocks had reached its limit.
    pub live_blocks: u64,
    /// Bytes of those.
    pub live_blocks_bytes: u64,
}

/// Events without the partner that they belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unmatched {
    /// Releases of blocks that were not seen allocated: older than the trace, refused, lost, or the allocator's own.
    pub older_releases: u64,
    /// Releases by functions of user-named allocators, of blocks that none of their traced functions had handed out.
    pub named_releases: u64,
    /// Unmapped bytes that were not seen mapped: older than the trace, or mapped past the C library.
    pub older_unmapped_bytes: u64,
    /// Allocations at an address that was still live: its release was missed, and the old block closed.
    pub replaced_blocks: u64,
    /// Returns of calls that had begun before the trace.
    pub returns: u64,
    /// Calls that never returned.
    pub calls: u64,
    /// Results that could not be read from the target's memory.
    pub results: u64,
    /// Events of processes not known to be traced.
    pub processes: u64,
    /// Processes whose probes went in only after they had begun: children of a process that was attached to, and
    /// programs with an allocator that nobody expected. What they did before is missing.
    pub late_processes: u64,
    /// Files with an allocator that a process loaded while it was traced, and whose probes went in some milliseconds later.
    /// What they handed out before is missing.
    pub late_libraries: u64,
    /// Processes that ran in the memory of a traced one for a while (`vfork`, `posix_spawn`), where the kernel's probes
    /// see one process's threads alone. Hardly any of them allocates; what one does is not seen.
    pub guests: u64,
    /// Records that could not be decoded.
    pub undecodable: u64,
}

impl std::ops::AddAssign for Refused {
    fn add_assign(&mut self, other: Self) {
        self.by_size = self.by_size.saturating_add(other.by_size);
        self.by_size_bytes = self.by_size_bytes.saturating_add(other.by_size_bytes);
        self.live_blocks = self.live_blocks.saturating_add(other.live_blocks);
        self.live_blocks_bytes = self.live_blocks_bytes.saturating_add(other.live_blocks_bytes);
    }
}

impl std::ops::AddAssign for Unmatched {
    fn add_assign(&mut self, other: Self) {
        self.older_releases = self.older_releases.saturating_add(other.older_releases);
        self.named_releases = self.named_releases.saturating_add(other.named_releases);
        self.older_unmapped_bytes = self.older_unmapped_bytes.saturating_add(other.older_unmapped_bytes);
        self.replaced_blocks = self.replaced_blocks.saturating_add(other.replaced_blocks);
        self.returns = self.returns.saturating_add(other.returns);
        self.calls = self.calls.saturating_add(other.calls);
        self.results = self.results.saturating_add(other.results);
        self.processes = self.processes.saturating_add(other.processes);
        self.late_processes = self.late_processes.saturating_add(other.late_processes);
        self.late_libraries = self.late_libraries.saturating_add(other.late_libraries);
        self.guests = self.guests.saturating_add(other.guests);
        self.undecodable = self.undecodable.saturating_add(other.undecodable);
    }
}

/// Stacks that are missing or cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stacks {
    /// Distinct stacks seen.
    pub distinct: u64,
    /// Distinct stacks cut at the largest depth.
    pub truncated: u64,
    /// Allocations whose stack could not be read.
    pub unreadable: u64,
    /// Allocations without a stack because every scratch buffer of the CPU was in use.
    pub busy: u64,
    /// Stacks lost because the ring was full (sent again with the next allocation).
    pub lost: u64,
    /// Distinct stacks that share their id with another one.
    pub collisions: u64,
    /// Changes of processes and stacks that were not followed over time, since there were too many: no verdict is known of them.
    pub unwatched: u64,
    /// Stacks that were not kept because all together had reached their limit, or too many waited; one that came again
    /// counts again.
    pub refused: u64,
}

/// How the walks of stacks ended: one for each allocation and mapping. All but the complete ones lack outer frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unwinding {
    /// At the outermost frame, by call frame information alone.
    pub complete: u64,
    /// At the outermost frame, with guesses by the frame pointer through code without call frame information.
    pub guessed: u64,
    /// At the largest depth.
    pub too_deep: u64,
    /// At code whose call frame information cannot be said by a rule.
    pub not_expressible: u64,
    /// At code without call frame information that kept no frame pointer.
    pub no_cfi: u64,
    /// At a word of the stack that could not be read.
    pub bad_read: u64,
    /// At a frame that does not lie above the one that it called.
    pub bad_frame: u64,
    /// At an address where nothing is mapped.
    pub unmapped: u64,
    /// At a file whose table was not made yet.
    pub no_table: u64,
    /// While the process was changing its mappings.
    pub busy: u64,
    /// Files with a table.
    pub files: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// Time that making the tables took.
    pub table_nanoseconds: u64,
    /// Files whose call frame information could not be read.
    pub files_failed: u64,
    /// Files for whose rows there was no room.
    pub files_refused: u64,
}

/// What a recording cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Probe hits.
    pub hits: u64,
    /// Events received.
    pub events: u64,
    /// Time that the hits' traps took, by the prices that traps have on this machine, each kind at its highest.
    pub trap_seconds: f64,
    /// Time in the kernel part's programs, estimated from a share of the recording; `None` when the kernel does not say.
    pub bpf_seconds: Option<f64>,
    /// The share of the recording in which the kernel measured it, 0 to 1.
    pub bpf_measured_share: f64,
    /// CPU time of heaptide itself.
    pub cpu_seconds: f64,
    /// Of that, what following memory over time and the verdicts took.
    pub timeline_seconds: f64,
    /// Memory that following memory over time takes, in bytes.
    pub timeline_bytes: u64,
    /// CPU time of the traced processes since they were traced, traps and probes included; of one that has ended, as far
    /// as it was seen.
    pub target_cpu_seconds: f64,
    /// Largest resident memory of heaptide itself, in bytes.
    pub memory_bytes: u64,
    /// Rings that events went through. With more than one, peaks are upper bounds.
    pub rings: u32,
}
