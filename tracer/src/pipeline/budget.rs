//! A session's budget: what the controller is told, and what is done of what it says.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use heaptide_common::Counter;

use super::session::{Session, SessionError};
use crate::{
    budget::{Controller, Mode, Stage, Tick},
    kernel::Counters,
    numbers::float,
    profile::{Budget, BudgetStage, InPulses, Recorded},
};

/// Keeps the budget of a recording.
pub(super) struct Keeper {
    controller: Controller,
    /// What was read at the last look.
    at: Instant,
    counters: Counters,
    hits: u64,
    cpu: Duration,
}

impl Keeper {
    /// Keeps the overhead below a share of 1.
    pub(super) fn new(budget: f64) -> Self {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
        let controller = Controller::new(budget, seed.into());
        Self { controller, at: Instant::now(), counters: Counters::default(), hits: 0, cpu: Duration::ZERO }
    }

    /// The recording begins.
    pub(super) fn start(&mut self) {
        self.at = Instant::now();
    }

    /// When to look next, from the last look on.
    pub(super) fn due(&self) -> Duration {
        self.controller.due()
    }

    /// How blocks are recorded now.
    pub(super) const fn mode(&self) -> Mode {
        self.controller.mode()
    }

    /// What was done so far.
    pub(super) fn told(&self) -> Budget {
        let account = self.controller.account();
        Budget {
            max_share: account.budget(),
            average_share: account.average(),
            most_share: account.most(),
            stages: account.stages().iter().map(told).collect(),
            pulses: self.controller.pulses().map(|(seconds, slowdown)| InPulses { seconds, slowdown }),
        }
    }
}

fn told(stage: &Stage) -> BudgetStage {
    let (blocks, interval_bytes) = match stage.mode {
        Mode::Full => (Recorded::All, 0),
        Mode::Sampled(interval) => (Recorded::Sampled, interval),
        Mode::Pulse(_) | Mode::Pause(_) => (Recorded::Pulses, 0),
        Mode::Stopped => (Recorded::None, 0),
    };
    BudgetStage { blocks, interval_bytes, seconds: stage.seconds, recorded_seconds: stage.recorded }
}

impl Session {
    /// When to look for the first or the next time whether the budget is kept; `None` when there is none.
    #[must_use]
    pub fn budget_due(&self) -> Option<Duration> {
        self.keeper.as_ref().map(Keeper::due)
    }

    /// Looks whether the budget is kept. Gives how blocks are recorded from now on, when that changes; then, and when a
    /// guess would not do, the programs' cost is measured anew.
    pub fn keep_budget(&mut self) -> Result<Option<Mode>, SessionError> {
        let Some(before) = self.keeper.as_ref().map(Keeper::mode) else { return Ok(None) };
        if matches!(before, Mode::Pulse(_)) {
            // It can be shorter than a window.
            self.bill.close_window(&self.kernel);
        }
        let Some(next) = self.look_at_budget()? else {
            if self.keeper.as_ref().is_some_and(|keeper| keeper.controller.wants_measure()) {
                self.bill.open_window();
            }
            return Ok(None);
        };
        match next {
            Mode::Full if before.is_in_pulses() => self.kernel.end_pulses()?,
            Mode::Full => self.kernel.set_interval(0)?,
            Mode::Sampled(interval) => self.kernel.set_interval(interval)?,
            Mode::Pulse(pulse) => {
                self.kernel.attach_blocks();
                self.kernel.begin_pulse(pulse.weight)?;
            }
            Mode::Pause(_) | Mode::Stopped => self.kernel.stop_blocks()?,
        }
        self.bill.reopen_window(&self.kernel);
        Ok(Some(next))
    }

    /// Takes into account what happened since the last look. Gives what should be done, if anything.
    pub(super) fn look_at_budget(&mut self) -> Result<Option<Mode>, SessionError> {
        let Some(keeper) = &mut self.keeper else { return Ok(None) };
        let (now, counters, cpu) = (Instant::now(), self.kernel.counters()?, self.known.processes.cpu.now());
        let all = counters[Counter::Hits] + self.kernel.tallied()?.hits;
        let since = |counter| counters[counter].saturating_sub(keeper.counters[counter]);
        let (returns, stepped) = (since(Counter::HitsAtReturns), since(Counter::HitsStepped));
        let hits = all.saturating_sub(keeper.hits);
        let lost = counters.lost().saturating_sub(keeper.counters.lost());
        let tick = Tick {
            wall: (now - keeper.at).as_secs_f64(),
            cpu: cpu.saturating_sub(keeper.cpu).as_secs_f64(),
            hits: float(hits),
            records: float(since(Counter::Sent) + lost),
            traps: self.planner.seconds_of(hits, stepped, returns),
            program: self.bill.newest_run(),
        };
        (keeper.at, keeper.counters, keeper.hits, keeper.cpu) = (now, counters, all, cpu);
        log::debug!("the budget is looked at: {tick:?}");
        Ok(keeper.controller.look(&tick))
    }
}
