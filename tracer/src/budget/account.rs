//! What was done to keep a budget, and what it cost.

use std::collections::VecDeque;

use super::Mode;

/// A stretch of time in one mode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// How blocks were recorded; of pulses and pauses, the first.
    pub mode: Mode,
    /// For how many seconds, all stretches in this mode together.
    pub seconds: f64,
    /// The same without pauses.
    pub recorded: f64,
}

/// Seconds of a look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seconds {
    /// That passed.
    pub(super) wall: f64,
    /// That the tracer added.
    pub(super) added: f64,
    /// That the targets used themselves.
    pub(super) own: f64,
}

/// What was done to keep a budget, and what it cost.
#[derive(Clone, Debug)]
pub struct Account {
    budget: f64,
    stages: Vec<Stage>,
    all: Seconds,
    /// The looks of the last second.
    last: VecDeque<Seconds>,
    most: f64,
}

impl Account {
    pub(super) const fn new(budget: f64) -> Self {
        let all = Seconds { wall: 0.0, added: 0.0, own: 0.0 };
        Self { budget, stages: Vec::new(), all, last: VecDeque::new(), most: 0.0 }
    }

    pub(super) fn add(&mut self, mode: Mode, seconds: Seconds) {
        let recorded = if matches!(mode, Mode::Pause(_) | Mode::Stopped) { 0.0 } else { seconds.wall };
        match self.stages.iter_mut().find(|stage| stage.mode.is_way_of(mode)) {
            Some(stage) => (stage.seconds, stage.recorded) = (stage.seconds + seconds.wall, stage.recorded + recorded),
            None => self.stages.push(Stage { mode, seconds: seconds.wall, recorded }),
        }
        self.all = self.all.and(seconds);
        self.last.push_back(seconds);
        // Looks differ in length.
        while self.last.iter().skip(1).map(|look| look.wall).sum::<f64>() >= 0.999 {
            self.last.pop_front();
        }
        let second = self.last.iter().fold(Seconds::default(), |sum, &look| sum.and(look));
        // What is shorter is no second.
        if second.wall >= 0.999 || self.all.wall < 0.999 {
            self.most = if self.all.wall < 0.999 { second.share() } else { self.most.max(second.share()) };
        }
    }

    /// The budget, as a share of 1.
    #[must_use]
    pub const fn budget(&self) -> f64 {
        self.budget
    }

    /// What was done, in the order in which it was first done.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The overhead over all the time, as a share of 1.
    #[must_use]
    pub fn average(&self) -> f64 {
        self.all.share()
    }

    /// The highest overhead of any second; of all the time, where that is shorter.
    #[must_use]
    pub const fn most(&self) -> f64 {
        self.most
    }
}

impl Seconds {
    fn and(self, other: Self) -> Self {
        Self { wall: self.wall + other.wall, added: self.added + other.added, own: self.own + other.own }
    }

    fn share(self) -> f64 {
        if self.own > 0.0 { self.added / self.own } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(added: f64) -> Seconds {
        Seconds { wall: 0.2, added, own: 0.2 }
    }

    #[test]
    fn time_is_told_by_mode_and_the_highest_second_is_kept() {
        let mut account = Account::new(0.03);
        for added in [0.02, 0.02, 0.02, 0.02, 0.02] {
            account.add(Mode::Full, look(added));
        }
        for added in [0.0; 15] {
            account.add(Mode::Sampled(512 << 10), look(added));
        }
        assert_eq!(account.stages().len(), 2);
        assert!((account.stages()[0].seconds - 1.0).abs() < 1e-9 && account.stages()[1].mode != Mode::Full);
        assert!((account.most() - 0.1).abs() < 1e-9, "{}", account.most());
        assert!((account.average() - 0.025).abs() < 1e-9, "{}", account.average());
    }

    #[test]
    fn less_than_a_second_is_its_own_highest() {
        let mut account = Account::new(0.03);
        assert!(account.most().abs() < 1e-9 && account.average().abs() < 1e-9);
        account.add(Mode::Full, look(0.2));
        account.add(Mode::Full, look(0.0));
        assert!((account.most() - 0.5).abs() < 1e-9, "{}", account.most());
    }
}
