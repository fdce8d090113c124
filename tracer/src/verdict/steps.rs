//! Growth in steps: tables and vectors that double, batches that are kept.
//!
//! A vector that doubles is flat nearly all the time, and each flat stretch is as long as all before it. Whether it has
//! ended is seen only when the next step is overdue.

use super::levels::Levels;
use super::statistics::{Stairs, bend, median, number, over, stairs};

/// Steps of a curve, with times in levels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Steps {
    /// How many there are.
    pub count: usize,
    /// The level from which on there was no other.
    pub last: usize,
    /// Levels after which the next one should have come, counted from the last.
    pub expected: f64,
}

/// By so much must stairs be the better model than a curve.
const STRONG: f64 = 6.0;

/// The last step is at least so much of the mean one.
const LOWER: f64 = 0.7;

/// A large step is at least so much of the whole range.
const LARGE: f64 = 0.05;

/// What is less likely than this is no chance.
const CHANCE: f64 = 0.001;

/// The steps of a curve that grew by few of them.
pub(super) fn steps(levels: &Levels) -> Option<Steps> {
    // The begin of the trace is a step of its own.
    let skipped = (levels.values.len() / 24).max(1);
    let values = levels.values.get(skipped..)?;
    let stairs = stairs(values);
    let (squares, worth) = (stairs.squares, stairs.worth);
    let (begins, means) = whole(stairs);
    let at = begins.get(1..).filter(|at| !at.is_empty())?;
    if means.windows(2).any(|pair| pair[1] <= pair[0]) {
        return None;
    }
    // Three parameters of a curve against two of each stair, without the first one's place.
    let extra = number(2 * begins.len()) - 4.0;
    if worth * (bend(values)?.squares / squares).ln() < STRONG + extra * worth.ln() {
        return None;
    }
    // What slows down may look like stairs that get lower.
    let heights: Vec<f64> = means.windows(2).map(|pair| pair[1] - pair[0]).collect();
    if *heights.last()? < LOWER * heights.iter().sum::<f64>() / number(heights.len()) {
        return None;
    }
    let last = *at.last()?;
    let height = means.last()? - means.first()?;
    if at.len() == 1 && !doubled_before(values, last, height) {
        return None;
    }
    Some(Steps { count: at.len(), last: last + skipped, expected: expected(at) })
}

/// Whether a curve that rose by a few large steps may go on to do so, though it has been quiet for a while. Steps that come
/// by chance are as likely at any time: that all of so many fell before the quiet has the likelihood of its share of the time,
/// to the power of their number.
pub(super) fn may_go_on(levels: &Levels) -> bool {
    let skipped = (levels.values.len() / 24).max(1);
    let values = levels.values.get(skipped..).unwrap_or_default();
    let stairs = stairs(values);
    let (squares, worth, parameters) = (stairs.squares, stairs.worth, number(2 * stairs.begins.len()));
    let smooth = bend(values).map_or(f64::INFINITY, |bend| bend.squares).min(over(values, values.len() / 5).squares);
    if worth * (smooth / squares).ln() < 2.0 * (parameters - 4.0) {
        return false;
    }
    let (begins, means) = whole(stairs);
    let (low, high) =
        means.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), mean| (low.min(*mean), high.max(*mean)));
    let large = |pair: &[f64]| pair[1] - pair[0] >= LARGE * (high - low);
    let at: Vec<usize> =
        means.windows(2).zip(&begins[1..]).filter(|(pair, _)| large(pair)).map(|(_, at)| *at).collect();
    let Some(last) = at.last().filter(|_| at.len() >= 3) else { return false };
    (number(*last) / number(values.len())).powf(number(at.len())) >= CHANCE
}

/// Stairs without those of one or two values between two others: a step within a level's stretch looks like two.
fn whole(stairs: Stairs) -> (Vec<usize>, Vec<f64>) {
    let mut whole: Vec<(usize, f64)> = Vec::new();
    for (begin, mean) in stairs.begins.into_iter().zip(stairs.means) {
        if let Some(last) = whole.len().checked_sub(1).filter(|last| *last > 0 && begin - whole[*last].0 <= 2) {
            whole[last].1 = mean;
        } else {
            whole.push((begin, mean));
        }
    }
    whole.into_iter().unzip()
}

/// Whether a single step can be the last of a vector that doubles: then there was one half as high at half the time, which may
/// not have been seen as one, and all that it had before was no less.
fn doubled_before(values: &[f64], last: usize, height: f64) -> bool {
    let (earlier, before) = (&values[last / 4..last / 2], &values[last / 2..last]);
    let most = median(before);
    !earlier.is_empty() && most >= 0.9 * height && most - median(earlier) >= 0.25 * height
}

/// The longest wait so far, or, where each wait was longer than the one before, one that is longer in the same way.
fn expected(at: &[usize]) -> f64 {
    let waits: Vec<f64> = at.windows(2).map(|pair| number(pair[1] - pair[0])).collect();
    let longest = waits.iter().copied().fold(0.0, f64::max);
    match waits.as_slice() {
        [] => number(at.first().copied().unwrap_or(0)),
        [.., before, last] if last > before => longest.max(last * (last / before).min(2.2)),
        [only] => only * 2.0,
        _ => longest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(form: impl Fn(usize) -> f64) -> Option<Steps> {
        let error = |index: usize| [0.7, -0.4, 0.2, -0.9, 0.5, -0.1][index * index % 6];
        let values = (0..48).map(|index| form(index) + error(index)).collect();
        steps(&Levels { values, begin: 0.0, width: 1.0 })
    }

    #[test]
    fn a_doubling_vector_waits_twice_as_long_each_time() {
        let steps = found(|index| 10.0 * number((index + 2).next_power_of_two())).unwrap();
        assert_eq!((steps.count, steps.last), (4, 31), "{steps:?}");
        assert!((30.0..36.0).contains(&steps.expected), "{steps:?}");
    }

    #[test]
    fn a_single_step_is_a_change_and_no_pattern() {
        assert_eq!(found(|index| if index < 20 { 100.0 } else { 200.0 }), None);
        assert_eq!(found(|index| if index < 20 { 100.0 } else { 300.0 }), None);
    }

    #[test]
    fn ramps_falls_and_noise_have_no_steps() {
        assert_eq!(found(|index| 10.0 * number(index)), None);
        assert_eq!(found(|index| 1000.0 - 10.0 * number(index)), None);
        assert_eq!(found(|index| if index < 20 { 200.0 } else { 100.0 }), None);
        assert_eq!(found(|_| 7.0), None);
    }
}
