//! What a recording says of growth.

use serde::Serialize;

use super::Usage;
use crate::verdict::Verdict;

/// The verdict on a process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// For how long it was watched, in seconds.
    pub watched_seconds: f64,
    /// The limit that it would reach.
    pub limit: Option<MemoryLimit>,
    /// Stacks that may grow, of which it is too early to say.
    pub undecided_stacks: usize,
    /// Stacks that may grow, but by less than those that a verdict was made of.
    pub unjudged_stacks: usize,
    /// Known growth: what the suppressions matched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<Suppressed>,
}

/// Growth that a suppression matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suppressed {
    /// The pattern.
    pub pattern: String,
    /// Stacks that it matched.
    pub stacks: u64,
    /// What they hold.
    pub held: Usage,
}

/// How much memory there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryLimit {
    /// Bytes in use, of all that count against the limit, without what the kernel would drop first.
    pub used: u64,
    /// Bytes that there can be.
    pub bytes: u64,
    /// Whose limit it is.
    pub whose: Whose,
}

/// Whose memory is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// That of the process's control group, or of one above it.
    ControlGroup,
    /// The machine has no more.
    Machine,
}

/// The highest moment of what was outstanding.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Peak {
    /// Seconds since the recording began.
    pub seconds: f64,
    /// Outstanding bytes then. Of the peak of the sums, it is at least 98 %: each stack's `at_peak` is of this moment.
    pub bytes: u64,
}

/// What a process held, over time: points of the same index belong together. At most some 500: when there are more, each
/// stands for a longer time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OverTime {
    /// Seconds since the recording began.
    pub seconds: Vec<f64>,
    /// Outstanding bytes, on average.
    pub outstanding_bytes: Vec<u64>,
    /// Resident bytes, on average; 0 where that could not be read.
    pub resident_bytes: Vec<u64>,
}

/// A mark that was set while recording.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mark {
    /// Counted from 1.
    pub number: u32,
    /// Seconds since the recording began.
    pub seconds: f64,
}
