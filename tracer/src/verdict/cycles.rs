//! Memory that comes and goes: collectors, days, workers that are restarted.
//!
//! The autocorrelation of what a straight line leaves (G. E. P. Box and G. M. Jenkins, "Time series analysis", 1970) has a
//! peak where a cycle is over. Noise that depends on what was before has none, however long it wanders. Collectors need not
//! run by the clock: theirs are cycles whose falls are much shorter than their rises and much alike.

use super::statistics::{median, number, plain_slope, quantile, spread};
use crate::timeline::Curve;

/// Cycles of a curve.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cycles {
    /// How many there are.
    pub count: usize,
    /// Seconds of one, about.
    pub period: f64,
    /// From the low points to the high ones.
    pub height: f64,
    /// The lowest point of each that is over or nearly so.
    pub bottoms: Vec<usize>,
}

/// Cycles that must have been seen.
const LEAST: usize = 3;

/// Correlation of values that are a cycle apart, at least.
const ALIKE: f64 = 0.35;

/// Height of a cycle as a share of the curve's level, at least: less is noise that nobody would call so.
const HIGH: f64 = 0.1;

/// The cycles of a curve with at least a few dozen points.
pub(super) fn cycles(curve: &Curve) -> Option<Cycles> {
    let left = detrended(curve)?;
    let seconds = curve.seconds();
    let step = seconds / number(left.len() - 1);
    let height = quantile(&left, 0.95) - quantile(&left, 0.05);
    let means: Vec<f64> = curve.points.iter().map(|point| point.mean).collect();
    if height < HIGH * median(&means).abs() {
        return None;
    }
    let turns = turns(&left, height * 0.4);
    let period = periodic(&left).or_else(|| falling(&left, &turns))?;
    let count = rounded(number(left.len()) / period);
    // Stairs that only go up lie above and below a straight line, too.
    let falls = self::turns(&means, 0.3 * height).iter().filter(|turn| turn.top).count();
    let bottoms: Vec<usize> = turns.iter().filter(|turn| !turn.top).map(|turn| turn.at).collect();
    let seen = count.min(falls + 1).min(bottoms.len() + 1) >= LEAST;
    seen.then_some(Cycles { count, period: period * step, height, bottoms })
}

#[expect(clippy::cast_sign_loss, reason = "lengths are not negative")]
fn rounded(count: f64) -> usize {
    count.round() as usize
}

/// The means without their straight line.
fn detrended(curve: &Curve) -> Option<Vec<f64>> {
    let pairs: Vec<_> = curve.points.iter().map(|point| (point.seconds, point.mean)).collect();
    // A slope needs no more than some of them.
    let some: Vec<_> = pairs.iter().copied().step_by(pairs.len().div_ceil(64).max(1)).collect();
    let slope = plain_slope(&some)?;
    let left: Vec<f64> = pairs.iter().map(|(time, value)| value - slope * time).collect();
    let mean = left.iter().sum::<f64>() / number(left.len());
    Some(left.iter().map(|value| value - mean).collect())
}

/// The length of a cycle in points, by the autocorrelation's first peak after it was negative.
fn periodic(left: &[f64]) -> Option<f64> {
    let whole: f64 = left.iter().map(|value| value * value).sum();
    if whole <= 0.0 {
        return None;
    }
    // Unbiased: fewer pairs are no less alike.
    let correlation = |lag: usize| {
        let product: f64 = left.iter().zip(&left[lag..]).map(|(early, late)| early * late).sum();
        product / whole * number(left.len()) / number(left.len() - lag)
    };
    let mut lags = 1..=left.len() / LEAST;
    lags.by_ref().find(|&lag| correlation(lag) < 0.0)?;
    let mut best: Option<(usize, f64)> = None;
    for lag in lags {
        let here = correlation(lag);
        if here < 0.0 && best.is_some_and(|(_, peak)| peak >= ALIKE) {
            break;
        }
        if here > best.map_or(0.0, |(_, peak)| peak) {
            best = Some((lag, here));
        }
    }
    best.filter(|(lag, peak)| *peak >= ALIKE && *lag >= 4).map(|(lag, _)| number(lag))
}

/// The same by falls that are much shorter than the rises and all alike.
fn falling(left: &[f64], turns: &[Turn]) -> Option<f64> {
    let tops: Vec<usize> = turns.iter().filter(|turn| turn.top).map(|turn| turn.at).collect();
    let mut falls = Vec::new();
    let mut rises = Vec::new();
    let mut heights = Vec::new();
    for pair in turns.windows(2) {
        let [from, to] = pair else { continue };
        let length = number(to.at - from.at);
        if from.top {
            falls.push(length);
            heights.push(left[from.at] - left[to.at]);
        } else {
            rises.push(length);
        }
    }
    let alike = spread(&heights) <= 0.25 * median(&heights);
    let sharp = median(&falls) * 3.0 <= median(&rises);
    let (first, last) = (tops.first()?, tops.last()?);
    (falls.len() > LEAST && alike && sharp).then(|| number(last - first) / number(tops.len() - 1))
}

struct Turn {
    at: usize,
    top: bool,
}

/// Where the curve turns by at least some height.
fn turns(values: &[f64], height: f64) -> Vec<Turn> {
    let mut turns = Vec::new();
    let (mut low, mut high) = (0, 0);
    let mut rising: Option<bool> = None;
    for (at, &value) in values.iter().enumerate() {
        low = if value < values[low] { at } else { low };
        high = if value > values[high] { at } else { high };
        if rising != Some(false) && values[high] - value >= height {
            turns.push(Turn { at: high, top: true });
            (rising, low) = (Some(false), at);
        } else if rising != Some(true) && value - values[low] >= height {
            turns.push(Turn { at: low, top: false });
            (rising, high) = (Some(true), at);
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(form: impl Fn(f64) -> f64) -> Option<Cycles> {
        let error = |index: usize| [0.7, -0.4, 0.2, -0.9, 0.5, -0.1][index * index % 6];
        cycles(&Curve::of((0..300).map(|index| (number(index), form(number(index)) + error(index)))))
    }

    #[test]
    fn days_are_found_also_above_a_leak() {
        let day = |time: f64| 100.0 + 30.0 * (time / 40.0 * std::f64::consts::TAU).sin();
        for slope in [0.0, 0.5] {
            let cycles = found(|time| day(time) + slope * time).unwrap();
            assert!((cycles.period - 40.0).abs() < 3.0 && cycles.count.abs_diff(7) <= 1, "{cycles:?}");
        }
    }

    #[test]
    fn collectors_that_do_not_run_by_the_clock_are_found() {
        let ends = [30.0, 47.0, 90.0, 113.0, 160.0, 171.0, 222.0, 250.0, 290.0];
        let cycles = found(|time| {
            let begin = ends.iter().copied().filter(|end| *end <= time).fold(0.0, f64::max);
            let end = ends.iter().copied().find(|end| *end > time).unwrap_or(320.0);
            100.0 + 80.0 * (time - begin) / (end - begin)
        });
        assert!(cycles.as_ref().unwrap().count.abs_diff(9) <= 2, "{cycles:?}");
    }

    #[test]
    fn lines_noise_stairs_and_what_is_too_small_are_no_cycles() {
        assert_eq!(found(|time| (time / 60.0).floor() * 500.0), None);
        assert_eq!(found(|time| 10.0 * time), None);
        assert_eq!(found(|_| 5.0), None);
        assert_eq!(found(|time| 1000.0 + 30.0 * (time / 40.0 * std::f64::consts::TAU).sin()), None);
    }
}
