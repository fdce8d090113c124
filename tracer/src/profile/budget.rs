//! What was done to keep a budget.

use serde::Serialize;

/// What was done to keep the overhead below a budget.
///
/// The overhead is the time that the tracer added, divided by the CPU time that the processes would have used without it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Budget {
    /// The largest overhead that was allowed, as a share of 1.
    pub max_share: f64,
    /// The overhead of the whole recording, as it was measured.
    pub average_share: f64,
    /// The same of the second in which it was highest.
    pub most_share: f64,
    /// How blocks were recorded, in the order in which it was first done so.
    pub stages: Vec<BudgetStage>,
}

/// A way to record blocks, and for how long it was done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BudgetStage {
    /// Which blocks were recorded.
    pub blocks: Recorded,
    /// Bytes for which one block was recorded, on average; 0 when they were not sampled.
    pub interval_bytes: u32,
    /// All the time together that was recorded so.
    pub seconds: f64,
}

/// Which blocks are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// Each.
    All,
    /// Some, which stand for the others.
    Sampled,
    /// None: the probes of allocators were taken out.
    None,
}

impl Budget {
    /// For how many seconds blocks were recorded, when it was ended to keep the budget.
    #[must_use]
    pub fn blocks_ended_after(&self) -> Option<f64> {
        let is_ended = |stage: &BudgetStage| stage.blocks == Recorded::None;
        let recorded = self.stages.iter().filter(|stage| !is_ended(stage)).map(|stage| stage.seconds).sum();
        self.stages.iter().any(is_ended).then_some(recorded)
    }

    /// The coarsest interval with which blocks were sampled; `None` when they never were.
    #[must_use]
    pub fn coarsest(&self) -> Option<u32> {
        let sampled = self.stages.iter().filter(|stage| stage.blocks == Recorded::Sampled);
        sampled.map(|stage| stage.interval_bytes).max()
    }
}
