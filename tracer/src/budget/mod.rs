//! A budget that is kept: how much recording the targets may be slowed down by, and what is left out to stay below it.
//!
//! Here is only the arithmetic, without a kernel: every [`TICK`] a [`Controller`] is told what the targets and the probes
//! did, and says how to record from then on. It begins with recording everything, since what is missed at the begin is
//! missing for good, and a trap alone costs more than half of a recorded call: only to count would save little.
//!
//! **Overhead** is the time that the tracer added (hits times their measured price, and the time in the probes' programs)
//! divided by the CPU time that the targets would have used without it. Targets that use less than a tenth of a CPU
//! count as using that much: a program that sleeps most of its time is not slowed down by being a little longer awake.
//!
//! Traps cost what they cost, however little is recorded at them. When they alone are too much, sampling does not help, and
//! the probes of the allocators are there only now and then: see [`pulses`]. When even that is too much they go for good,
//! and from then on only mappings are recorded.

mod account;
mod controller;
mod programs;
mod pulses;
#[cfg(test)]
mod simulation;

use std::time::Duration;

pub use account::{Account, Stage};
pub use controller::Controller;
pub use pulses::Pulse;

/// How often it is looked whether the budget is kept.
pub const TICK: Duration = Duration::from_millis(100);

/// The first look comes sooner: by it the rate of calls is known.
pub const FIRST_TICK: Duration = Duration::from_millis(50);

/// Share of a CPU that every recording's targets count as using at least.
const LEAST_CPU: f64 = 0.1;

/// How blocks are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Each.
    Full,
    /// One in so many bytes, on average.
    Sampled(u32),
    /// Each, in a pulse.
    Pulse(Pulse),
    /// None until the next pulse, which may be another than this one.
    Pause(Pulse),
    /// None any more: there are no probes at the functions of allocators. Mappings go on.
    Stopped,
}

impl Mode {
    /// Whether both are the same way to record: in pulses, for one.
    #[must_use]
    pub fn is_way_of(self, other: Self) -> bool {
        self == other || self.is_in_pulses() && other.is_in_pulses()
    }

    /// Whether it is a pulse or a pause between two.
    #[must_use]
    pub const fn is_in_pulses(self) -> bool {
        matches!(self, Self::Pulse(_) | Self::Pause(_))
    }
}

/// What was seen since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tick {
    /// Seconds since then.
    pub wall: f64,
    /// Seconds of CPU time that the targets used, with what the tracer added.
    pub cpu: f64,
    /// Hits of all probes.
    pub hits: f64,
    /// Records that the programs sent at those, or tried to.
    pub records: f64,
    /// Seconds that the traps of those took, by their prices.
    pub traps: f64,
    /// Nanoseconds that a run of the probes' programs takes, if that was measured since then.
    pub program: Option<f64>,
}

impl Tick {
    /// Seconds of CPU time that the targets would have used without the `added` ones.
    fn own(&self, added: f64) -> f64 {
        (self.cpu - added).max(self.wall * LEAST_CPU)
    }

    fn records_a_hit(&self) -> f64 {
        if self.hits > 0.0 { self.records / self.hits } else { 0.0 }
    }
}
