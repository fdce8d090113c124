//! Phases of a curve: what happened before the last change says nothing of how it will go on.

use super::shape::{LEAST, LEVELS};
use super::statistics::{Phases, bend, median, number, over, phases, quantile};

/// The last phase of some levels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Phase {
    /// The level at which it begins: 0 when there was only one.
    pub from: usize,
    /// Levels at the begin that are left out in any case.
    pub skipped: usize,
    /// How many levels there are in all.
    pub of: usize,
    /// The level at which the phase before it begins, where there is one.
    pub before: Option<usize>,
    /// Whether it rises by less than the phase before it did.
    pub slower: bool,
}

/// Evidence against one curve, as Kass and Raftery call it strong.
const STRONG: f64 = 6.0;

/// A phase of less than this share of all levels is too short for a verdict of growth or rest,
const SHORT: f64 = 0.2;

/// and of less than this share for one of growth, when growth was faster before.
const SHORT_WHEN_SLOWER: f64 = 0.6;

/// Time constants in a phase that only settles at its begin.
const QUICK: f64 = 10.0;

/// Phases that follow each other belong together if the later one rises by at least half as much as the one before, and
/// not much more: then there was only a jump between them.
const ALIKE: (f64, f64) = (0.5, 6.0);

/// Where a phase comes from counts if that lasted for this share of its own time at least: longer than a moment.
const LASTED: f64 = 0.5;

/// By this share of its rise must it go beyond what was before, to be more than a return to it.
const BEYOND: f64 = 0.5;

/// A plateau that was reached in this share of the time is a start-up, and no bloat.
const STARTUP: f64 = 0.3;

/// What it must have risen by for that, as a share of where it is.
const ROSE: f64 = 0.15;

impl Phase {
    /// Whether there is too little of it to say anything.
    pub fn short(&self) -> bool {
        number(self.of - self.from) < SHORT * number(self.of)
    }

    /// Whether there is too little of it to say that it grows.
    pub fn short_for_growth(&self) -> bool {
        self.short() || self.slower && number(self.of - self.from) < SHORT_WHEN_SLOWER * number(self.of)
    }

    /// Whether it has only come back to where the phase before it was, or hardly any further: by a line that rises by so much,
    /// up to `end`. What is held by chance comes and goes so, as in a cache whose entries expire.
    pub fn returns(&self, values: &[f64], rise: f64, end: f64) -> bool {
        let Some(before) = self.before.filter(|&before| before < self.from) else { return false };
        let lasted = number(self.from - before) >= LASTED * number(self.of - self.from);
        lasted && end - quantile(&values[before..self.from], 0.75) < BEYOND * rise
    }

    /// Where it has come to, if it rose to there and not only in the beginning.
    pub fn rose_late(&self, values: &[f64]) -> Option<f64> {
        let (before, after) = values.split_at(self.from);
        let plateau = median(after);
        let late = number(self.from) > STARTUP * number(self.of);
        // A peak that is over is no rise.
        let least = (ROSE * plateau.abs()).max(LEAST);
        let rose = plateau - quantile(before, 0.25) >= least && quantile(before, 0.9) <= 1.05 * plateau.abs();
        (late && rose).then_some(plateau)
    }
}

/// The last phase: the longest stretch up to the end that one saturating curve (or line) explains about as well as phases
/// with a line each do.
pub(super) fn last_phase(values: &[f64]) -> Phase {
    // What is outstanding is counted from the begin of the trace on, so that it rises from nothing at first in any program.
    let skipped = (values.len() / 24).max(1).min(values.len());
    let whole = phases(&values[skipped..], LEVELS);
    let explained = |from: usize| {
        let values = &values[from + skipped..];
        let Some(bend) = bend(values) else { return true };
        let Phases { begins, squares, worth, .. } = &if from == 0 { whole.clone() } else { phases(values, LEVELS) };
        // Three parameters of a curve against two of each line, and the places between them.
        let extra = 3.0 * number(begins.len()) - 4.0;
        worth * (bend.squares / squares).ln() <= STRONG + extra * worth.ln()
    };
    let Phases { begins, slopes, .. } = &whole;
    let last = begins.len() - 1;
    let explaining = (0..=last).find(|&phase| explained(begins[phase])).unwrap_or(0);
    let mut phase = explaining;
    while phase > 0 && alike(slopes[phase - 1], slopes[phase]) {
        phase -= 1;
    }
    let before = (phase > 0).then(|| begins[phase - 1] + skipped);
    let slower = phase > 0 && slopes[phase - 1] > slopes[phase].max(0.0);
    let mut from = begins[phase] + skipped;
    let over = ended(&values[from..]);
    from += over.unwrap_or(0);
    from += settling(&values[from..]);
    Phase { from, skipped, of: values.len(), before, slower: slower || over.is_some() }
}

/// Values at the begin of a phase in which it only comes to where it stays.
#[expect(clippy::cast_sign_loss, reason = "a share of a length")]
fn settling(values: &[f64]) -> usize {
    // Four time constants leave a fiftieth of the rise.
    let share = bend(values).filter(|bend| bend.least >= QUICK).map_or(0.0, |bend| 4.0 / bend.bend);
    ((share * number(values.len())).ceil() as usize).min(values.len().saturating_sub(LEVELS))
}

/// Where a rise is over, if that explains the values better than one curve.
fn ended(values: &[f64]) -> Option<usize> {
    let over = over(values, LEVELS.max(values.len() / 5));
    let gain = over.worth * (bend(values)?.squares / over.squares).ln();
    (gain >= STRONG).then_some(over.at)
}

fn alike(before: f64, after: f64) -> bool {
    before > 0.0 && after >= ALIKE.0 * before && after <= ALIKE.1 * before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(form: impl Fn(f64) -> f64) -> Phase {
        let error = |index: usize| [0.7, -0.4, 0.2, -0.9, 0.5, -0.1][index * index % 6];
        last_phase(&(0..48).map(|index| form(number(index)) + error(index)).collect::<Vec<_>>())
    }

    #[test]
    fn a_start_up_is_a_phase_of_its_own() {
        let phase = phase(|time| if time < 10.0 { 20.0 * time } else { 200.0 + 2.0 * (time - 10.0) });
        assert!(phase.from.abs_diff(10) <= 1 && !phase.short(), "{phase:?}");
    }

    #[test]
    fn who_holds_nothing_has_not_risen_to_it() {
        // A block that was there for a moment has made a phase.
        let mut values = vec![0.0; 48];
        values[10] = 4096.0;
        let phase = Phase { from: 20, skipped: 2, of: 48, before: Some(2), slower: false };
        assert_eq!(phase.rose_late(&values), None);
        values[20..].fill(4096.0);
        assert_eq!(phase.rose_late(&values), Some(4096.0));
    }

    #[test]
    fn a_saturating_curve_is_one_phase() {
        assert_eq!(phase(|time| 200.0 * (1.0 - (-time / 12.0).exp())).from, 2);
        assert_eq!(phase(|time| 5.0 * time).from, 2);
    }
}
