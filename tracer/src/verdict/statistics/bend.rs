//! Does growth slow down? A straight line against one that approaches a plateau.
//!
//! The model is `y = a + b (1 - exp(-k u)) / k` for times u from 0 to 1: for k = 0 it is a straight line, for k > 0 it heads
//! for the plateau `a + b / k`, for k < 0 it grows ever faster. So k, the *bend*, says how many time constants of a
//! saturating exponential have passed in what was watched. How far k can be from its estimate is told by the profile of
//! the likelihood (D. J. Venzon and S. H. Moolgavkar, Applied Statistics 37, 1988), with errors that depend on each other
//! (see `regression`); whether the third parameter is worth it by Akaike's criterion for small samples (C. M. Hurvich and
//! C.-L. Tsai, Biometrika 76, 1989).

use super::number;
use super::regression::{Fit, Regression, Values, corrected};

/// Bends that are tried: from growth by e^4 to a plateau that was reached at the begin.
const BENDS: [f64; 25] = [
    -4.0, -3.0, -2.0, -1.5, -1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0,
    5.0, 7.0, 10.0, 15.0, 25.0,
];

/// Of twice the logarithm of the likelihood: what is further below the best than this is outside the interval of 90 %,
/// so each of its ends is passed in 5 of 100 cases.
const WITHIN: f64 = 2.705_543;

/// The same for an interval of 99 %.
const WITHIN_SURELY: f64 = 6.634_897;

/// How growth bends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bend {
    /// The likeliest bend: time constants passed.
    pub bend: f64,
    /// The least bend that fits.
    pub low: f64,
    /// The largest bend that fits.
    pub high: f64,
    /// The least bend that fits at all: passed in less than 1 of 200 cases.
    pub least: f64,
    /// Growth over the whole length by that bend, in the values' unit.
    pub rise: f64,
    /// Growth over the whole length by a straight line, with its standard error.
    pub line: (f64, f64),
    /// Where it is heading: for a positive bend.
    pub plateau: Option<f64>,
    /// Slope at the end as a share of the mean slope: 1 for a straight line, less when growth slows down.
    pub end_share: f64,
    /// Akaike's criterion of: a constant, a straight line, the bend. The least is the best.
    pub criteria: [f64; 3],
    /// How much of each error is that of the value before.
    pub share: f64,
    /// Sum of squares that the likeliest bend leaves.
    pub squares: f64,
}

/// The bend of evenly spaced values. `None` for fewer than six.
#[must_use]
pub fn bend(values: &[f64]) -> Option<Bend> {
    if values.len() < 6 {
        return None;
    }
    let last = number(values.len() - 1);
    let times: Vec<f64> = (0..values.len()).map(|index| number(index) / last).collect();
    let count = values.len();
    let values = Values::of(values);
    let forms: Vec<Regression<'_>> = BENDS.iter().map(|&bend| Regression::of(&form(&times, bend), &values)).collect();
    // How the errors depend on each other is told by whatever form fits best; then it is the same for all forms.
    let likeliest = forms.iter().map(Regression::likeliest);
    let likeliest = likeliest.reduce(|best, fit| if fit.likelihood > best.likelihood { fit } else { best })?;
    let share = corrected(likeliest.share, count);
    let fits: Vec<(f64, Fit)> = BENDS.iter().zip(&forms).map(|(&bend, form)| (bend, form.fit(share))).collect();
    let (bend, best) =
        fits.iter().copied().reduce(|one, two| if two.1.likelihood > one.1.likelihood { two } else { one })?;
    let inside =
        |within: f64| fits.iter().filter(move |fit| fit.1.likelihood >= best.likelihood - within).map(|fit| fit.0);
    let line = fits.iter().find(|(bend, _)| *bend == 0.0)?.1;
    let constant = Regression::of(&vec![0.0; count], &values).fit(share);
    Some(Bend {
        bend,
        low: inside(WITHIN).next().unwrap_or(bend),
        high: inside(WITHIN).next_back().unwrap_or(bend),
        least: inside(WITHIN_SURELY).next().unwrap_or(bend),
        rise: best.b * approach(1.0, bend),
        line: (line.b, line.error),
        plateau: (bend > 0.0).then(|| best.a + best.b / bend),
        end_share: (-bend).exp() / approach(1.0, bend),
        // Parameters: the level, the errors' size and share, and what comes on top.
        criteria: [(constant, 3.0), (line, 4.0), (best, 5.0)]
            .map(|(fit, parameters)| criterion(&fit, parameters, count)),
        share,
        squares: forms.iter().map(|form| form.fit(0.0).squares).fold(f64::INFINITY, f64::min),
    })
}

fn form(times: &[f64], bend: f64) -> Vec<f64> {
    times.iter().map(|&time| approach(time, bend)).collect()
}

/// `(1 - exp(-k u)) / k`, and its limit u for k = 0.
fn approach(time: f64, bend: f64) -> f64 {
    if bend == 0.0 { time } else { -(-bend * time).exp_m1() / bend }
}

fn criterion(fit: &Fit, parameters: f64, count: usize) -> f64 {
    let count = number(count);
    2.0 * parameters - fit.likelihood + 2.0 * parameters * (parameters + 1.0) / (count - parameters - 1.0).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values with a small error that repeats itself and follows no form.
    fn values(form: impl Fn(f64) -> f64) -> Vec<f64> {
        let error = |index: usize| [0.7, -0.4, 0.2, -0.9, 0.5, -0.1][index % 6];
        (0..40).map(|index| form(number(index) / 39.0) + error(index)).collect()
    }

    #[test]
    fn a_straight_line_has_no_bend() {
        let bend = bend(&values(|time| 100.0 * time)).unwrap();
        assert!(bend.low <= 0.0 && bend.high >= 0.0 && bend.high < 0.3, "{bend:?}");
        assert!((bend.line.0 - 100.0).abs() < 3.0 * bend.line.1, "{bend:?}");
        assert!(bend.criteria[1] < bend.criteria[0] && bend.criteria[1] < bend.criteria[2] + 1.0, "{bend:?}");
    }

    #[test]
    fn a_saturating_curve_tells_its_plateau() {
        // scipy.optimize.curve_fit finds these parameters again; the plateau is 20 + 100.
        let bend = bend(&values(|time| 20.0 + 100.0 * (1.0 - (-3.0 * time).exp()))).unwrap();
        assert!(bend.low <= 3.0 && bend.high >= 3.0 && bend.low > 2.0, "{bend:?}");
        assert!((bend.plateau.unwrap() - 120.0).abs() < 2.0, "{bend:?}");
        assert!(bend.end_share < 0.2 && bend.criteria[2] < bend.criteria[1] - 50.0, "{bend:?}");
    }

    #[test]
    fn growth_that_speeds_up_bends_the_other_way() {
        let bend = bend(&values(|time| 100.0 * time * time)).unwrap();
        assert!(bend.high < -1.0 && bend.plateau.is_none() && bend.end_share > 1.5, "{bend:?}");
    }

    #[test]
    fn nothing_but_errors_needs_no_more_than_a_constant() {
        let bend = bend(&values(|_| 50.0)).unwrap();
        assert!(bend.criteria[0] < bend.criteria[1] && bend.line.0.abs() < 2.0 * bend.line.1, "{bend:?}");
        assert_eq!(super::bend(&[1.0; 5]), None);
    }

    #[test]
    fn values_that_follow_a_line_exactly_are_no_trouble() {
        let exact: Vec<f64> = (0..40).map(|index| number(index) * 1000.0).collect();
        let bend = bend(&exact).unwrap();
        assert!(bend.bend.abs() < 1e-9 && bend.high < 0.3, "{bend:?}");
        assert!(super::bend(&[7.0; 40]).unwrap().line.0.abs() < 1e-9);
    }
}
