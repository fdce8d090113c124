//! What traps cost on this kernel and machine.

use serde::{Deserialize, Serialize};

use super::Class;

/// Nanoseconds that a hit takes, by the kind of the probed instruction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prices {
    /// Of a probe on an instruction, by [`Class::index`].
    instructions: [f64; Class::COUNT],
    /// Of a return's probe.
    pub returns: f64,
    /// Whether they were measured on this machine, rather than taken from elsewhere.
    pub is_measured: bool,
}

/// Where nothing was measured: kernel 6.18 in a virtual machine. Only their order matters for a plan.
const EMULATED: f64 = 700.0;
const STEPPED: f64 = 9_400.0;
const RETURNS: f64 = 1_100.0;

/// An instruction is taken to be emulated if a hit costs less than this share of the most expensive one.
const EMULATED_SHARE: f64 = 0.6;

impl Prices {
    /// As they were measured, in the order of [`Class::ALL`].
    #[must_use]
    pub const fn measured(instructions: [f64; Class::COUNT], returns: f64) -> Self {
        Self { instructions, returns, is_measured: true }
    }

    /// What is known of kernels up to 6.12, where nothing can be measured.
    #[must_use]
    pub fn of_old() -> Self {
        let price = |class: Class| if class.is_emulated_of_old() { EMULATED } else { STEPPED };
        Self { instructions: Class::ALL.map(price), returns: RETURNS, is_measured: false }
    }

    /// Nanoseconds that a hit on such an instruction takes.
    #[must_use]
    pub const fn of(&self, class: Class) -> f64 {
        self.instructions[class.index()]
    }

    /// Nanoseconds that so many hits take: at instructions that the kernel emulates, at those that it steps over, and at
    /// returns. Each kind at its highest price: which instructions were hit, nobody counts.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 52 bits of a count")]
    pub fn of_hits(&self, emulated: u64, stepped: u64, returns: u64) -> f64 {
        let highest = |is_emulated| {
            let classes = Class::ALL.into_iter().filter(|&class| self.is_emulated(class) == is_emulated);
            classes.map(|class| self.of(class)).fold(0.0, f64::max)
        };
        emulated as f64 * highest(true) + stepped as f64 * highest(false) + returns as f64 * self.returns
    }

    /// Whether the kernel emulates such an instruction, as far as the price tells. Where all cost about the same, it does.
    #[must_use]
    pub fn is_emulated(&self, class: Class) -> bool {
        let most = self.instructions.iter().copied().fold(0.0, f64::max);
        let least = self.instructions.iter().copied().fold(most, f64::min);
        self.of(class) < most * EMULATED_SHARE || least > most * EMULATED_SHARE
    }

    /// Whether they can be prices at all: numbers read from a file may be anything.
    #[must_use]
    pub fn are_plausible(&self) -> bool {
        let is_plausible = |price: &f64| price.is_finite() && (1.0..1e6).contains(price);
        self.instructions.iter().all(is_plausible) && is_plausible(&self.returns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_old_kernels_emulate_is_what_their_source_lists() {
        let prices = Prices::of_old();
        let emulated: Vec<_> = Class::ALL.into_iter().filter(|&class| prices.is_emulated(class)).collect();
        assert_eq!(emulated, [Class::Push, Class::ConditionalJump, Class::Jump, Class::Call, Class::Nop]);
        assert!(prices.are_plausible());
    }

    #[test]
    fn hits_have_the_price_of_their_kind() {
        let prices = Prices::of_old();
        let nanoseconds = prices.of_hits(10, 2, 3);
        assert!((nanoseconds - (10.0 * EMULATED + 2.0 * STEPPED + 3.0 * RETURNS)).abs() < 1e-6, "{nanoseconds}");
    }

    #[test]
    fn numbers_that_are_no_prices_are_refused() {
        let mut prices = Prices::of_old();
        prices.returns = f64::NAN;
        assert!(!prices.are_plausible());
        prices.returns = -1.0;
        assert!(!prices.are_plausible());
    }
}
