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
    /// What is known of pulses, when blocks were recorded in some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pulses: Option<InPulses>,
}

/// What is known of the pulses in which blocks were recorded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct InPulses {
    /// How long they were, all together.
    pub seconds: f64,
    /// How many times slower the programs did their own work in them. `None` when they did so little there that it cannot
    /// be told; then sizes can be compared with each other and with nothing else.
    pub slowdown: Option<f64>,
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
    /// How much of it blocks were really recorded: less only with pulses.
    pub recorded_seconds: f64,
}

/// Which blocks are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// Each.
    All,
    /// Some, which stand for the others.
    Sampled,
    /// Each, but only in pulses: short times, between which the probes of allocators are not there.
    Pulses,
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

    /// The coarsest interval with which blocks were sampled, 0 when they were recorded in pulses alone; `None` when all
    /// were recorded.
    #[must_use]
    pub fn coarsest(&self) -> Option<u32> {
        let chosen = |stage: &&BudgetStage| matches!(stage.blocks, Recorded::Sampled | Recorded::Pulses);
        self.stages.iter().filter(chosen).map(|stage| stage.interval_bytes).max()
    }
}
