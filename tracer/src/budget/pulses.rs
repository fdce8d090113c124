//! Pulses: short times in which all blocks are recorded, between longer ones without probes.
//!
//! Each pulse stands for the time around it: what is allocated in it counts as often as the pulse fits into a round of
//! pulse and pause, on average. Pauses differ at random, so that no program's own rhythm falls in with them.

use std::time::Duration;

use super::Mode;

/// How long a round of pulse and pause is to be, in seconds, so that no second is above the budget.
const ROUND: f64 = 1.0;

/// The shortest and the longest pulse, in seconds: to put probes in and take them out takes a millisecond or two.
const SHORTEST: f64 = 0.02;
const LONGEST: f64 = 0.2;

/// A pulse stands for at most so many times its length: rounds get longer, and then few pulses tell little.
pub(super) const MOST_WEIGHT: u32 = 4096;

/// A pulse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// For how many times its length it stands.
    pub weight: u32,
}

impl Pulse {
    /// One that is at least `least` times shorter than its round. Its weight is a power of two, or one and a half times
    /// one: totals are kept for each weight. It does not stand for more than [`MOST_WEIGHT`].
    pub(super) fn at_least(least: f64) -> Self {
        let mut weight = 2;
        while f64::from(weight) < least && weight < MOST_WEIGHT {
            weight = if weight.is_power_of_two() { weight + weight / 2 } else { weight / 3 * 4 };
        }
        Self { weight }
    }

    /// How long it is.
    #[must_use]
    pub fn length(self) -> Duration {
        Duration::from_secs_f64((ROUND / f64::from(self.weight)).clamp(SHORTEST, LONGEST))
    }

    /// How long the pause before or after it is on average.
    #[must_use]
    pub fn pause(self) -> Duration {
        self.length() * (self.weight - 1)
    }
}

/// What a price can be off by, as a share of it.
const PRICES_OFF: f64 = 0.3;

/// When the slowdown lies between two bounds that differ by more than this, it is not known.
const WIDEST: f64 = 3.0;

/// For how much pulses stand: a program that is slowed down in them does less of its own work there than their time says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Worked {
    /// Seconds of pulses, and of the rounds that they stand for by their weights.
    length: f64,
    rounds: f64,
    /// Seconds of CPU time in pulses, and how many of those the tracer added.
    cpu: f64,
    added: f64,
    /// Seconds of CPU time in pauses.
    pauses: f64,
}

impl Worked {
    pub(super) fn add(&mut self, mode: Mode, seconds: f64, added: f64, cpu: f64) {
        match mode {
            Mode::Pulse(pulse) => {
                self.length += seconds;
                self.rounds += seconds * f64::from(pulse.weight);
                self.cpu += cpu;
                self.added += added;
            }
            Mode::Pause(_) => self.pauses += cpu,
            _ => {}
        }
    }

    /// Seconds of pulses, and how many times less of their own work the programs did in a second of those than in one of
    /// the pauses, when it can be told: where the tracer took most of the time, what prices can be off by is more than
    /// what the program had for itself.
    pub(super) fn told(&self) -> Option<(f64, Option<f64>)> {
        let by_time = self.rounds / self.length;
        let slowdown = |off: f64| {
            let own = (self.cpu - self.added * off).max(0.0);
            ((self.pauses + own) / own / by_time).max(1.0)
        };
        let (least, most) = (slowdown(1.0 - PRICES_OFF), slowdown(1.0 + PRICES_OFF));
        let is_known = most / least <= WIDEST;
        (self.length > 0.0).then(|| (self.length, is_known.then(|| slowdown(1.0))))
    }
}

/// Random numbers (xorshift64*, by Sebastiano Vigna): pauses need no better ones.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A pause whose length differs by up to a half from that after `pulse`, which is its mean.
    pub(super) fn pause(&mut self, pulse: Pulse) -> Duration {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32;
        pulse.pause().mul_f64(0.5 + f64::from(bits) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_few() {
        let weight = |least| Pulse::at_least(least).weight;
        let least = [0.5, 2.0, 2.1, 3.0, 3.5, 5.0, 7.0, 40.0, 50.0, 4096.0];
        assert_eq!(least.map(weight), [2, 2, 3, 3, 4, 6, 8, 48, 64, 4096]);
        assert_eq!(weight(4097.0), 4096);
    }

    #[test]
    fn a_round_is_a_second_where_pulses_can_be_so_short() {
        for (weight, pulse, round) in [(2, 200, 400), (8, 125, 1000), (48, 20, 1000), (64, 20, 1280)] {
            let (length, pause) = (Pulse { weight }.length(), Pulse { weight }.pause());
            assert_eq!((length.as_millis(), (length + pause).as_millis().div_ceil(10) * 10), (pulse, round));
        }
    }

    #[test]
    fn programs_that_are_slowed_down_do_less_in_pulses() {
        let pulse = Mode::Pulse(Pulse { weight: 10 });
        let worked = |added| {
            let mut worked = Worked::default();
            for _ in 0..20 {
                worked.add(pulse, 0.1, added, 0.1);
                worked.add(Mode::Pause(Pulse { weight: 10 }), 0.9, 0.0, 0.9);
            }
            worked.told().unwrap()
        };
        assert_eq!(worked(0.0).1, Some(1.0));
        // Half of a pulse is the program's own: it stands for 0.95 s of work, which is 19 times as much.
        let (_, slowdown) = worked(0.05);
        assert!((slowdown.unwrap() - 1.9).abs() < 1e-9, "{slowdown:?}");
        assert_eq!(worked(0.09).1, None);
        assert_eq!(Worked::default().told(), None);
    }

    #[test]
    fn pauses_differ_and_are_right_on_average() {
        let (mut random, pulse) = (Random::new(42), Pulse { weight: 48 });
        let pauses: Vec<f64> = (0..10_000).map(|_| random.pause(pulse).as_secs_f64()).collect();
        let mean = pauses.iter().sum::<f64>() / 10_000.0;
        let expected = pulse.pause().as_secs_f64();
        assert!((mean / expected - 1.0).abs() < 0.01, "{mean} {expected}");
        assert!(pauses.iter().all(|pause| (0.49..1.51).contains(&(pause / expected))));
    }
}
