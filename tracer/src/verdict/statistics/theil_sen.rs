//! A slope that a few wild points cannot move.
//!
//! H. Theil, "A rank-invariant method of linear and polynomial regression analysis", 1950; P. K. Sen, "Estimates of the
//! regression coefficient based on Kendall's tau", Journal of the American Statistical Association 63, 1968: the slope is
//! the median of the slopes between all pairs of points, and its interval lies between two of them, as far apart as
//! Kendall's statistic can be by chance.

use super::normal::Z95;
use super::{Pair, median};

/// A slope in units a second, with its interval of 95 %.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slope {
    /// The estimate.
    pub slope: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The line's value at time 0: the median of what the slope leaves.
    pub intercept: f64,
}

/// The slope of some points. `inflation` is how many times larger the variance of Kendall's statistic is than that of
/// independent points (see [`super::Trend::inflation`]); 1 for Sen's own interval. `None` for fewer than three moments.
#[must_use]
pub fn theil_sen(points: &[Pair], inflation: f64) -> Option<Slope> {
    let mut slopes = slopes(points)?;
    let values: Vec<f64> = points.iter().map(|point| point.1).collect();
    let half_width = Z95 * (super::mann_kendall::variance(&values) * inflation).sqrt();
    let slope = median(&slopes);
    let (low, high) = between(&mut slopes, half_width);
    let left: Vec<f64> = points.iter().map(|(time, value)| value - slope * time).collect();
    Some(Slope { slope, low, high, intercept: median(&left) })
}

/// The slope alone.
pub(in crate::verdict) fn plain_slope(points: &[Pair]) -> Option<f64> {
    Some(median(&slopes(points)?))
}

/// The slopes between all pairs of points at different times.
fn slopes(points: &[Pair]) -> Option<Vec<f64>> {
    let mut slopes = Vec::with_capacity(points.len() * points.len().saturating_sub(1) / 2);
    for (index, later) in points.iter().enumerate() {
        for earlier in &points[..index] {
            if earlier.0 < later.0 {
                slopes.push((later.1 - earlier.1) / (later.0 - earlier.0));
            }
        }
    }
    (slopes.len() >= 3).then_some(slopes)
}

/// The slopes of Sen's ranks `(N - C) / 2` and `(N + C) / 2 + 1`, counted from 1 and rounded as scipy does.
#[expect(clippy::cast_sign_loss, reason = "the ranks are clamped")]
fn between(slopes: &mut [f64], half_width: f64) -> (f64, f64) {
    let count = super::number(slopes.len());
    let upper = (f64::midpoint(count, half_width).round() as usize).min(slopes.len() - 1);
    let lower = (((count - half_width) / 2.0).round().max(1.0) as usize - 1).min(upper);
    let high = *slopes.select_nth_unstable_by(upper, f64::total_cmp).1;
    (*slopes.select_nth_unstable_by(lower, f64::total_cmp).1, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_sen() {
        // Sen 1968, section 6, and what scipy makes of it.
        let x = [1.0, 2.0, 3.0, 4.0, 10.0, 12.0, 18.0];
        let y = [9.0, 15.0, 19.0, 20.0, 45.0, 55.0, 78.0];
        let points: Vec<Pair> = x.into_iter().zip(y).collect();
        let slope = theil_sen(&points, 1.0).unwrap();
        assert!((slope.slope - 4.0).abs() < 1e-12, "{slope:?}");
        assert!((slope.intercept - SCIPY.0).abs() < 1e-9, "{slope:?}");
        assert!((slope.low - SCIPY.1).abs() < 1e-9 && (slope.high - SCIPY.2).abs() < 1e-9, "{slope:?}");
    }

    /// `scipy.stats.theilslopes(y, x, 0.95, method="joint")`: intercept, low, high.
    const SCIPY: (f64, f64, f64) = (6.0, 3.714_285_714_285_714_4, 4.375);

    #[test]
    fn a_wild_point_does_not_move_it_and_equal_times_are_passed_over() {
        let mut points: Vec<Pair> = (0..20).map(|second| (f64::from(second), 3.0 * f64::from(second))).collect();
        points[10].1 = 1e9;
        points.push((19.0, 57.0));
        let slope = theil_sen(&points, 1.0).unwrap();
        assert!((slope.slope - 3.0).abs() < 1e-9 && slope.low > 2.9 && slope.high < 3.1, "{slope:?}");
        assert_eq!(theil_sen(&points[..2], 1.0), None);
        assert_eq!(theil_sen(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)], 1.0), None);
    }
}
