//! The finished result of a recording: plain data, without a way back to the kernel or to a live table.
//!
//! Everything that a report prints is in here. Sizes are bytes, times are nanoseconds unless the name says otherwise.
//! The JSON form is this structure as it stands, with [`SCHEMA`] as its version.

mod ages;
mod budget;
mod calls;
mod estimate;
mod frame;
mod growth;
mod judged;
mod method;
mod totals;
mod unknown;

use std::sync::Arc;

use serde::Serialize;

use crate::verdict::Verdict;

pub use ages::Ages;
pub use budget::{Budget, BudgetStage, InPulses, Recorded};
pub use calls::Calls;
pub use estimate::{Estimate, Evidence, Exact, Sampled, Sampling};
pub use frame::{Frame, Inlined, Place, Source, Unnamed};
pub use growth::{Growth, ProcessGrowth, Resident};
pub use judged::{Judged, Mark, MemoryLimit, OverTime, Peak, Suppressed, Whose};
pub use method::StackMethod;
pub use totals::{ByMemory, ByTouched, Memory, Totals, Usage};
pub use unknown::{Cost, Lost, Refused, Stacks, Unknown, Unmatched, Unwinding};

/// Version of the JSON form. It grows by one when a field changes its meaning or goes; new fields leave it as it is.
pub const SCHEMA: u32 = 1;

/// A finished recording.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Profile {
    /// [`SCHEMA`].
    pub schema: u32,
    /// heaptide's version.
    pub version: String,
    /// When the recording began, in seconds since 1970-01-01 00:00 UTC.
    pub began_unix_seconds: f64,
    /// How long events were recorded.
    pub seconds: f64,
    /// Blocks younger than this many seconds are left out of every stack's `shown`; 0 shows all.
    pub older_than_seconds: f64,
    /// Whether every process was traced from its first instruction.
    pub from_start: bool,
    /// How stacks were taken.
    pub stack_method: StackMethod,
    /// How blocks were chosen; `None` when all were recorded. Then every sum of blocks is an estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Sampling>,
    /// What was done to keep a budget; `None` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// What is known of the growth of memory, when only that was recorded: then no blocks are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub growth: Option<Growth>,
    /// One entry for each process and each program that it ran, in the order of their beginning.
    pub processes: Vec<Process>,
    /// The marks that were set while recording, oldest first: each begins a generation of memory. When there are many, every
    /// second one goes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// The verdict on all processes together, when there were several at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Judged>,
    /// What the recording cannot tell.
    pub unknown: Unknown,
    /// What the recording cost.
    pub cost: Cost,
}

/// A process, from its start (or exec, or the begin of the trace) to its end (or exec, or the end of the trace).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Process {
    /// Process id as the initial PID namespace numbers it.
    pub pid: u32,
    /// How many programs the process had run before this one since the trace began.
    pub generation: u32,
    /// The command's name, as the kernel keeps it (15 bytes), without control characters.
    pub name: String,
    /// The parent, when this process was forked by a traced one.
    pub forked_from: Option<u32>,
    /// How it ended, when it did before the trace.
    pub end: Option<End>,
    /// The allocators that were traced.
    pub allocators: Vec<Allocator>,
    /// Sums for each kind of memory.
    pub sums: ByMemory,
    /// What is known exactly, and how far the sums can be off, when not all blocks were recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampled: Option<Sampled>,
    /// Its resident memory and page faults, when only the growth of memory was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub growth: Option<ProcessGrowth>,
    /// When it held most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak: Option<Peak>,
    /// The verdict on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Judged>,
    /// What it held over time; `None` when it was not sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_time: Option<OverTime>,
    /// Every stack with its totals, largest outstanding first.
    pub stacks: Vec<Stack>,
}

impl Profile {
    /// The same recording, with what was outstanding when each process held most as what is shown.
    #[must_use]
    pub fn at_peak(&self) -> Self {
        let mut peak = self.clone();
        for process in &mut peak.processes {
            for stack in &mut process.stacks {
                stack.shown = stack.at_peak;
                // These are of the end.
                (stack.ages, stack.estimate) = (None, None);
                stack.generations.clear();
            }
            process.stacks.sort_by_key(|stack| std::cmp::Reverse((stack.shown.bytes, stack.shown.blocks)));
        }
        peak
    }
}

/// How a traced process ended before the trace did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Its last thread ended.
    Exited,
    /// It ran another program.
    Replaced,
}

/// A library or program whose allocation functions were traced.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Allocator {
    /// The file, as the process has it mapped.
    pub file: String,
    /// The family that its functions belong to, such as `glibc`.
    pub family: String,
    /// The functions with a probe, by their first name.
    pub functions: Vec<String>,
    /// Calls of those that hand out blocks or take them back; `None` when there are none, or nobody counted.
    pub calls: Option<Calls>,
}

/// All allocations of one kind of memory with one stack.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stack {
    /// The kind of memory.
    pub memory: Memory,
    /// What was allocated, freed, and is outstanding.
    pub totals: Totals,
    /// What is outstanding and old enough to be shown (see [`Profile::older_than_seconds`]).
    pub shown: Usage,
    /// What was outstanding when the process held most: see [`Process::peak`].
    pub at_peak: Usage,
    /// Of what is outstanding, bytes younger than 5 seconds, from 5 to 60 seconds, from 1 to 5 minutes, from 5 minutes to an
    /// hour, and older; `None` when nobody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ages: Option<Ages>,
    /// Of what is outstanding, what was allocated before the first of [`Profile::marks`], after it, and so on; empty without
    /// marks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub generations: Vec<Usage>,
    /// The verdict on it, where it grows, or is among the largest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The pattern of the suppressions that it matched: its growth is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<String>,
    /// How far the bytes of `shown` can be off, when not all blocks were recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// Whether the stack was deeper than could be kept.
    pub truncated: bool,
    /// Whether it ends before its outermost frame, for whatever reason.
    pub incomplete: bool,
    /// Whether a frame is a guess by the frame pointer, since its code has no call frame information.
    pub guessed: bool,
    /// The frames, leaf first. Empty when the stack could not be taken, or was lost. A process's stacks share those that they
    /// have in common.
    pub frames: Vec<Arc<Frame>>,
}
