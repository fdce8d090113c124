//! The choice of how to record.

use std::time::Duration;

use super::{
    FIRST_TICK, Mode, TICK, Tick,
    account::{Account, Seconds},
    programs::Programs,
    pulses::{MOST_WEIGHT, Pulse, Random, Worked},
};

/// Prices are measured in a loop; a busy program's traps can cost more: what they seem to cost is taken to be at least this
/// share of what they do.
const SEEN: f64 = 0.7;

/// The interval with which sampling begins, the finest and the coarsest.
const FIRST_INTERVAL: u32 = 512 << 10;
const FINEST: u32 = 64 << 10;
const COARSEST: u32 = 32 << 20;

/// How much coarser sampling gets when it costs too much, and how much finer when there is room. Not the same, so that it
/// does not go back and forth between two intervals.
const COARSER: u32 = 8;
const FINER: u32 = 4;

/// After so many looks above the budget in a row blocks are sampled, or recorded in pulses where traps alone are too much.
const SURE: u32 = 2;

/// Below this share of what is planned with there is room for more.
const ROOM: f64 = 0.4;

/// For how many looks there must be room before more is recorded: 5 seconds.
const CALM: u32 = 50;

/// After so many looks above the budget in a row it has been exceeded for most of a second.
const STRIKES: u32 = 6;

/// Or in so many of the last [`REMEMBERED`]: bursts that come again and again.
const MOST_ABOVE: u32 = 16;
const REMEMBERED: u32 = 30;

/// For so many pulses there must be room before all is recorded again.
const CALM_PULSES: u32 = 3;

/// How much of what pulses needed to be spread over is remembered from one to the next: a calm one may be chance.
const REMEMBERED_NEED: f64 = 0.5;

/// Chooses how to record, so that a budget is kept.
#[derive(Clone, Debug)]
pub struct Controller {
    /// What is planned with: the budget, less what prices can be off.
    plan: f64,
    mode: Mode,
    programs: Programs,
    /// Whether it matters what a run of the programs takes, and that is not known.
    wants_measure: bool,
    /// Whether each of the last looks was above the plan, the newest in the lowest bit.
    above: u32,
    /// Looks in a row with room for more; pulses, when it records in those.
    calm: u32,
    /// How many times the budget recording all would cost, as the last pulses have told.
    need: f64,
    /// Whether traps alone were above the plan at the last look: then sampling does not help.
    is_trap_bound: bool,
    random: Random,
    /// What is left of a pause.
    left: Duration,
    looked: bool,
    worked: Worked,
    account: Account,
}

impl Controller {
    /// Keeps the overhead below `budget`, a share of 1. It begins with [`Mode::Full`]. The `seed` is for the lengths of
    /// pauses.
    #[must_use]
    pub fn new(budget: f64, seed: u64) -> Self {
        Self {
            // What is not seen of the added time is taken for the targets' own.
            plan: budget * SEEN / (1.0 + budget * (1.0 - SEEN)),
            mode: Mode::Full,
            programs: Programs::new(),
            wants_measure: false,
            above: 0,
            calm: 0,
            need: 0.0,
            is_trap_bound: false,
            random: Random::new(seed),
            left: Duration::ZERO,
            looked: false,
            worked: Worked::default(),
            account: Account::new(budget),
        }
    }

    /// How blocks are to be recorded now.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// When to look next, from the last look on.
    #[must_use]
    pub fn due(&self) -> Duration {
        match self.mode {
            Mode::Pulse(pulse) => pulse.length(),
            // At least a little later, or it would look again and again.
            Mode::Pause(_) => self.left.clamp(Duration::from_millis(1), TICK),
            _ if self.looked => TICK,
            _ => FIRST_TICK,
        }
    }

    /// Whether a run of the programs should be measured at once: until then it is only assumed what one takes, and so many
    /// happen that a wrong guess could cost more than the budget. A target that was idle when they were measured last can
    /// begin to work at any time.
    #[must_use]
    pub const fn wants_measure(&self) -> bool {
        self.wants_measure
    }

    /// What was done so far, and what it cost.
    #[must_use]
    pub const fn account(&self) -> &Account {
        &self.account
    }

    /// Seconds of pulses so far, and how many times slower the targets were in them, when that can be told.
    #[must_use]
    pub fn pulses(&self) -> Option<(f64, Option<f64>)> {
        self.worked.told()
    }

    /// Takes in what was seen since the last look. Gives how to record from now on, when that changes.
    pub fn look(&mut self, tick: &Tick) -> Option<Mode> {
        self.looked = true;
        self.programs.take(self.mode, tick);
        let now = self.programs.now(self.mode, tick);
        let added = tick.traps + tick.hits * now * 1e-9;
        let own = tick.own(added);
        self.worked.add(self.mode, tick.wall, added, tick.cpu);
        self.account.add(self.mode, Seconds { wall: tick.wall, added, own });
        let share = |run: f64| (tick.traps + tick.hits * run * 1e-9) / own;
        let in_full = share(self.programs.in_full(self.mode, tick));
        self.wants_measure = self.programs.at_worst().is_some_and(|run| share(run) > self.plan);
        self.is_trap_bound = tick.traps / own > self.plan;
        let next = match self.mode {
            Mode::Pulse(pulse) => self.after_pulse(pulse, in_full),
            Mode::Pause(pulse) => self.in_pause(pulse, tick.wall),
            _ => self.choose(added / own, in_full),
        };
        if next == self.mode {
            return None;
        }
        if !next.is_in_pulses() {
            self.calm = 0;
        }
        self.programs.change(self.mode, next);
        self.mode = next;
        // It is measured after each change.
        self.wants_measure = false;
        Some(next)
    }

    /// How to record, given the overhead as it was, and as it would have been if all had been recorded.
    fn choose(&mut self, now: f64, in_full: f64) -> Mode {
        let is_above = now > self.plan;
        self.above = (self.above << 1 | u32::from(is_above)) & ((1 << REMEMBERED) - 1);
        let is_calm = match self.mode {
            Mode::Sampled(FINEST) => in_full < self.plan * ROOM,
            _ => now < self.plan * ROOM,
        };
        self.calm = if is_calm { self.calm + 1 } else { 0 };
        match self.mode {
            Mode::Stopped => Mode::Stopped,
            _ if self.is_too_often_above() => {
                (self.above, self.calm) = (0, 0);
                self.need = in_full / self.plan;
                self.pause()
            }
            // Once alone can be chance: the processor's caches were cold, or little happened in all.
            Mode::Full if self.above.trailing_ones() >= SURE => Mode::Sampled(FIRST_INTERVAL),
            Mode::Sampled(interval) if is_above => Mode::Sampled(interval.saturating_mul(COARSER).min(COARSEST)),
            Mode::Sampled(_) if self.calm >= CALM && in_full < self.plan * ROOM => Mode::Full,
            Mode::Sampled(interval) if self.calm >= CALM => Mode::Sampled((interval / FINER).max(FINEST)),
            mode => mode,
        }
    }

    fn is_too_often_above(&self) -> bool {
        let in_a_row = self.above.trailing_ones();
        in_a_row >= if self.is_trap_bound { SURE } else { STRIKES } || self.above.count_ones() >= MOST_ABOVE
    }

    /// A pause before the next pulse, as long as it needs to be.
    fn pause(&mut self) -> Mode {
        let pulse = Pulse::at_least(self.need);
        self.left = self.random.pause(pulse);
        Mode::Pause(pulse)
    }

    /// What follows a pause of which `seconds` have passed since the last look.
    fn in_pause(&mut self, pulse: Pulse, seconds: f64) -> Mode {
        self.left = self.left.saturating_sub(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        if self.left.is_zero() { Mode::Pulse(pulse) } else { Mode::Pause(pulse) }
    }

    /// What follows a pulse, given the overhead in it.
    fn after_pulse(&mut self, pulse: Pulse, in_full: f64) -> Mode {
        let need = in_full / self.plan;
        self.need = need.max(REMEMBERED_NEED * self.need + (1.0 - REMEMBERED_NEED) * need);
        self.calm = if in_full < self.plan * ROOM { self.calm + 1 } else { 0 };
        if self.calm >= CALM_PULSES {
            (self.above, self.calm) = (0, 0);
            return Mode::Full;
        }
        // One pulse can have met a burst, and the recording is not to end for that.
        let is_too_much = pulse.weight == MOST_WEIGHT && need > f64::from(MOST_WEIGHT);
        if is_too_much { Mode::Stopped } else { self.pause() }
    }
}
