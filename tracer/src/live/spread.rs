//! How far an estimate can be off.

use super::grain::{Choice, chance};
use crate::numbers::float;

/// What recorded blocks tell of the estimate that they make, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// How many there are.
    pub blocks: u64,
    /// Their own bytes: at least so many there are.
    pub bytes: u64,
    /// The estimated variance of the estimate.
    pub variance: f64,
    /// The most that one block that was not recorded could have added.
    pub step: f64,
}

impl Spread {
    /// Of nothing, where blocks are chosen like this.
    #[must_use]
    pub fn of_nothing(choice: Choice) -> Self {
        let interval = choice.interval;
        Self { step: if interval > 1 { f64::from(interval) } else { 0.0 }, ..Self::default() }
    }

    /// Adds a recorded block.
    pub fn add(&mut self, size: u64, choice: Choice) {
        let chance = chance(size, choice);
        let weighed = float(size) / chance;
        self.blocks += 1;
        self.bytes = self.bytes.saturating_add(size);
        // Horvitz and Thompson's.
        self.variance += weighed * weighed * (1.0 - chance);
        self.step = self.step.max(weighed * (1.0 - chance).sqrt());
    }
}

impl std::ops::AddAssign for Spread {
    fn add_assign(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.variance += other.variance;
        self.step = self.step.max(other.step);
    }
}
