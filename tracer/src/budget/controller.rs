//! The choice of how to record.

use super::{
    Mode, Tick,
    account::{Account, Seconds},
};

/// Prices are measured in a loop; a busy program's traps can cost more: what they seem to cost is taken to be at least this
/// share of what they do.
const SEEN: f64 = 0.7;

/// What a run of the programs takes until it is measured, in nanoseconds: of one that records, and of one that does not.
const RECORDING: f64 = 1_000.0;
const DISMISSING: f64 = 200.0;

/// The interval with which sampling begins, the finest and the coarsest.
const FIRST_INTERVAL: u32 = 512 << 10;
const FINEST: u32 = 64 << 10;
const COARSEST: u32 = 32 << 20;

/// How much coarser sampling gets when it costs too much, and how much finer when there is room. Not the same, so that it
/// does not go back and forth between two intervals.
const COARSER: u32 = 8;
const FINER: u32 = 4;

/// After so many looks above the budget in a row blocks are sampled.
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

/// Chooses how to record, so that a budget is kept.
#[derive(Clone, Debug)]
pub struct Controller {
    /// What is planned with: the budget, less what prices can be off.
    plan: f64,
    mode: Mode,
    /// Nanoseconds of a run of the programs, when all is recorded and as it is sampled now.
    full: f64,
    sampled: f64,
    /// Whether each of the last looks was above the plan, the newest in the lowest bit.
    above: u32,
    /// Looks in a row with room for more.
    calm: u32,
    account: Account,
}

impl Controller {
    /// Keeps the overhead below `budget`, a share of 1. It begins with [`Mode::Full`].
    #[must_use]
    pub fn new(budget: f64) -> Self {
        Self {
            // What is not seen of the added time is taken for the targets' own.
            plan: budget * SEEN / (1.0 + budget * (1.0 - SEEN)),
            mode: Mode::Full,
            full: RECORDING,
            sampled: DISMISSING,
            above: 0,
            calm: 0,
            account: Account::new(budget),
        }
    }

    /// How blocks are to be recorded now.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// What was done so far, and what it cost.
    #[must_use]
    pub const fn account(&self) -> &Account {
        &self.account
    }

    /// Takes in what was seen since the last look. Gives how to record from now on, when that changes.
    pub fn look(&mut self, tick: &Tick) -> Option<Mode> {
        if let Some(nanoseconds) = tick.program {
            match self.mode {
                Mode::Full => self.full = nanoseconds,
                Mode::Sampled(_) | Mode::Stopped => self.sampled = nanoseconds,
            }
        }
        let now = if self.mode == Mode::Full { self.full } else { self.sampled };
        let added = tick.traps + tick.hits * now * 1e-9;
        let own = tick.own(added);
        self.account.add(self.mode, Seconds { wall: tick.wall, added, own });
        let in_full = (tick.traps + tick.hits * self.full.max(now) * 1e-9) / own;
        let next = self.choose(added / own, in_full);
        if next == self.mode {
            return None;
        }
        self.calm = 0;
        self.sampled = match (self.mode, next) {
            // Less is recorded than so far.
            (Mode::Sampled(before), Mode::Sampled(after)) if after > before => self.sampled,
            (Mode::Sampled(_), Mode::Sampled(_)) => self.sampled.max(DISMISSING),
            _ => DISMISSING,
        };
        self.mode = next;
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
            _ if self.above.trailing_ones() >= STRIKES || self.above.count_ones() >= MOST_ABOVE => Mode::Stopped,
            // Once alone can be chance: the processor's caches were cold, or little happened in all.
            Mode::Full if self.above.trailing_ones() >= SURE => Mode::Sampled(FIRST_INTERVAL),
            Mode::Sampled(interval) if is_above => Mode::Sampled(interval.saturating_mul(COARSER).min(COARSEST)),
            Mode::Sampled(_) if self.calm >= CALM && in_full < self.plan * ROOM => Mode::Full,
            Mode::Sampled(interval) if self.calm >= CALM => Mode::Sampled((interval / FINER).max(FINEST)),
            mode => mode,
        }
    }
}
