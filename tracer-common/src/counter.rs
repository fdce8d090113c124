//! Counters of the kernel part: one for each way in which something is not reported, and a few that let the user side
//! check that it received all that was sent.
//!
//! A number is never given to another meaning, and never taken back: saved reports refer to them.

/// Index into the per-CPU array `COUNTERS`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counter {
    /// Records that were put into a ring, of any kind.
    Sent = 0,
    /// Allocations lost because the ring was full.
    LostAllocation = 1,
    /// Releases lost because the ring was full.
    LostRelease = 2,
    /// Resize records lost because the ring was full.
    LostResize = 3,
    /// Mapping records lost because the ring was full.
    LostMapping = 4,
    /// Process records (fork, exec, exit) lost because a ring was full.
    LostProcess = 5,
    /// Stacks that could not be sent because the ring was full; the next allocation with the same stack tries again.
    LostStack = 6,
    /// Calls not followed to their return because the table of calls in flight was full.
    CallTableFull = 7,
    /// Returns whose call had not been seen: calls in flight when the trace began, and calls that
    /// [`Counter::CallTableFull`] counts.
    ReturnWithoutCall = 8,
    /// Calls whose return was never seen: the function was left by a jump, or its thread ended within it.
    CallWithoutReturn = 9,
    /// Allocations refused by the size limits of the command line.
    RefusedSize = 10,
    /// Bytes of the allocations that [`Counter::RefusedSize`] counts.
    RefusedSizeBytes = 11,
    /// Allocations recorded without a stack: all scratch buffers of the CPU were in use by preempted probes.
    StackBusy = 12,
    /// Allocations recorded without a stack: the kernel could not read it.
    StackUnreadable = 13,
    /// Results that could not be read from the target's memory (`posix_memalign`'s pointer).
    ResultUnreadable = 14,
    /// Probe hits while events were wanted. The kernel part counts here only those that neither a tally counts (see
    /// [`crate::tally`]) nor [`Counter::HitsAtReturns`]; the user side adds the latter when it reads.
    Hits = 15,
    /// Recorded blocks for which there was no room in the table of them: releases of some others are not dismissed any
    /// more.
    TagsFull = 16,
    /// Of the hits, those at the returns of functions.
    HitsAtReturns = 17,
    /// Of the hits, those at instructions that the kernel steps over.
    HitsStepped = 18,
    /// Page faults of traced processes.
    Faults = 19,
    /// Page faults lost because the ring was full.
    LostFault = 20,
}

impl Counter {
    /// How many counters there are.
    pub const COUNT: usize = 21;

    /// All counters, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Sent,
        Self::LostAllocation,
        Self::LostRelease,
        Self::LostResize,
        Self::LostMapping,
        Self::LostProcess,
        Self::LostStack,
        Self::CallTableFull,
        Self::ReturnWithoutCall,
        Self::CallWithoutReturn,
        Self::RefusedSize,
        Self::RefusedSizeBytes,
        Self::StackBusy,
        Self::StackUnreadable,
        Self::ResultUnreadable,
        Self::Hits,
        Self::TagsFull,
        Self::HitsAtReturns,
        Self::HitsStepped,
        Self::Faults,
        Self::LostFault,
    ];
}

const _: () = {
    let mut index = 0;
    while index < Counter::COUNT {
        assert!(Counter::ALL[index] as usize == index, "a counter's place in ALL is its number");
        index += 1;
    }
};
