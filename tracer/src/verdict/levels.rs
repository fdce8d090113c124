//! A curve as a few dozen evenly spaced levels, which the statistics work on.

use super::cycles::Cycles;
use super::statistics::{Pair, median};
use crate::timeline::Curve;

/// Levels of a curve.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    /// The values, evenly spaced.
    pub values: Vec<f64>,
    /// Seconds on the axis at which the first one begins.
    pub begin: f64,
    /// Seconds of each.
    pub width: f64,
}

/// Levels at most.
const MOST: usize = 64;

/// Levels at least; where memory comes and goes there can be fewer.
const LEAST: usize = 12;

impl Levels {
    /// Medians of means, which spikes do not move. Where memory comes and goes the lowest value of each cycle: what leaks
    /// raises them, too, and what a cycle has at its peak does not matter.
    pub fn of(curve: &Curve, cycles: Option<&Cycles>) -> Self {
        let points = &curve.points;
        let begin = points.first().map_or(0.0, |point| point.seconds);
        let end = points.last().map_or(0.0, |point| point.seconds);
        // Points stand for stretches: the last one ends after its middle.
        let length = (end - begin) * (1.0 + 1.0 / super::statistics::number(points.len().max(2) - 1));
        if let Some(cycles) = cycles {
            let lows: Vec<f64> =
                cycles.bottoms.iter().filter_map(|at| points.get(*at)).map(|point| point.low).collect();
            let values: Vec<f64> = lows.chunks(lows.len().div_ceil(MOST).max(1)).map(least).collect();
            return Self { begin, width: length / super::statistics::number(values.len().max(1)), values };
        }
        let count = (points.len() / 2).clamp(LEAST, MOST);
        let width = length / super::statistics::number(count);
        let mut cells: Vec<Vec<f64>> = vec![Vec::new(); count];
        for point in points {
            cells[cell(point.seconds - begin, width, count)].push(point.mean);
        }
        let level = |cell: &Vec<f64>| (!cell.is_empty()).then(|| median(cell));
        Self { values: filled(&cells.iter().map(level).collect::<Vec<_>>()), begin, width }
    }

    /// The middle of each level's stretch in seconds, with the level.
    pub fn pairs(&self, from: usize) -> Vec<Pair> {
        let middle = |index: usize| self.begin + (super::statistics::number(index) + 0.5) * self.width;
        self.values.iter().enumerate().skip(from).map(|(index, &value)| (middle(index), value)).collect()
    }

    /// Seconds from the first level's begin to the last one's end.
    pub fn seconds(&self) -> f64 {
        self.width * super::statistics::number(self.values.len())
    }

    /// Seconds on the axis at which a level begins.
    pub fn begin_of(&self, index: usize) -> f64 {
        self.begin + self.width * super::statistics::number(index)
    }
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

#[expect(clippy::cast_sign_loss, reason = "times are in order, so the difference is not negative")]
fn cell(seconds: f64, width: f64, count: usize) -> usize {
    ((seconds / width) as usize).min(count - 1)
}

/// Levels of which nothing is known, on a straight line between those beside them.
fn filled(values: &[Option<f64>]) -> Vec<f64> {
    let mut filled = Vec::with_capacity(values.len());
    let mut before: Option<f64> = None;
    for (index, value) in values.iter().enumerate() {
        let ahead = values[index..].iter().enumerate().find_map(|(steps, value)| value.map(|value| (steps, value)));
        let here = match (before, ahead) {
            (_, Some((0, value))) => value,
            (Some(before), Some((steps, next))) => before + (next - before) / super::statistics::number(steps + 1),
            (None, Some((_, next))) => next,
            (Some(before), None) => before,
            (None, None) => 0.0,
        };
        debug_assert!(value.is_none_or(|value| (value - here).abs() < f64::EPSILON.max(here.abs() * 1e-12)));
        before = Some(here);
        filled.push(here);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_moves_no_level_and_a_gap_is_bridged() {
        let second = |second: u32| (f64::from(second), if second == 25 { 1e9 } else { f64::from(second) });
        let curve = Curve::of((0..120).filter(|second| !(50..60).contains(second)).map(second));
        let levels = Levels::of(&curve, None);
        assert_eq!(levels.values.len(), 55);
        assert!((levels.width - 120.0 / 55.0).abs() < 0.1 && (levels.seconds() - 120.0).abs() < 2.0, "{levels:?}");
        let on_the_line = |pair: &Pair| (pair.0 - pair.1).abs() < 2.5;
        let away: Vec<Pair> = levels.pairs(0).into_iter().filter(|pair| !on_the_line(pair)).collect();
        assert!(away.len() <= 1, "{away:?}");
    }
}
