//! A line through evenly spaced values whose errors depend on the one before.
//!
//! Least squares for errors with an autocorrelation of first order: D. Cochrane and G. H. Orcutt, Journal of the American
//! Statistical Association 44, 1949, with the first value kept as in S. J. Prais and C. B. Winsten, Cowles Commission
//! discussion paper 383, 1954. Each value less its share of the one before has errors of its own. The share is chosen by
//! the likelihood, which finds too little of it since the line follows the errors, too: what it misses on average,
//! (2 + 4 r) / n, is added (R. A. Stine and P. Shaman, Annals of Statistics 17, 1989).

use super::number;

/// Shares of the value before that are tried. The last is nearly a random walk.
const SHARES: [f64; 9] = [0.0, 0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 0.96, MOST];

const MOST: f64 = 0.985;

/// Values for which what the share misses on average is known.
const FEW: usize = 20;

/// A fitted `y = a + b x`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Fit {
    /// The value at x = 0.
    pub a: f64,
    /// The slope.
    pub b: f64,
    /// The standard error of the slope.
    pub error: f64,
    /// Twice the logarithm of the likelihood, but for a constant.
    pub likelihood: f64,
    /// The share of the value before in each error.
    pub share: f64,
    /// The sum of squares that is left.
    pub squares: f64,
}

/// Sums of products of two rows of values, from which those of what remains follow when each value is taken less its share
/// of the one before.
#[derive(Clone, Copy, Debug, Default)]
struct Products {
    /// Of values at the same time.
    whole: f64,
    /// Of values that are neighbours, both ways.
    neighbours: f64,
    /// Of values at the same time, without the last, less the first.
    inner: f64,
}

impl Products {
    fn of(one: &[f64], other: &[f64]) -> Self {
        let mut products = Self::default();
        let mut before: Option<(f64, f64)> = None;
        for (&x, &y) in one.iter().zip(other) {
            products.whole += x * y;
            match before {
                Some((x0, y0)) => {
                    products.neighbours += x * y0 + x0 * y;
                    products.inner += x0 * y0;
                }
                // The first value is kept, but counts less.
                None => products.inner -= x * y,
            }
            before = Some((x, y));
        }
        products
    }

    fn with(&self, share: f64) -> f64 {
        self.whole - share * self.neighbours + share * share * self.inner
    }
}

/// Values, ready for any regressor.
#[derive(Clone, Debug)]
pub(super) struct Values {
    y: Vec<f64>,
    constant: Vec<f64>,
    cc: Products,
    cy: Products,
    yy: Products,
    middle: f64,
    floor: f64,
}

impl Values {
    /// Of some values.
    pub fn of(y: &[f64]) -> Self {
        // Large values that differ little would lose their differences in the products.
        let middle = y.iter().sum::<f64>() / number(y.len().max(1));
        let y: Vec<f64> = y.iter().map(|value| value - middle).collect();
        let constant = vec![1.0; y.len()];
        Self {
            cc: Products::of(&constant, &constant),
            cy: Products::of(&constant, &y),
            yy: Products::of(&y, &y),
            floor: floor(&y),
            middle,
            constant,
            y,
        }
    }
}

/// Values and a regressor, ready for any share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Regression<'a> {
    values: &'a Values,
    cx: Products,
    xx: Products,
    xy: Products,
}

impl<'a> Regression<'a> {
    /// To a regressor of as many values.
    pub fn of(x: &[f64], values: &'a Values) -> Self {
        let cx = Products::of(&values.constant, x);
        Self { cx, xx: Products::of(x, x), xy: Products::of(x, &values.y), values }
    }

    /// The best fit for one share.
    pub fn fit(&self, share: f64) -> Fit {
        let values = self.values;
        let [cc, cy, yy] = [values.cc, values.cy, values.yy].map(|products| products.with(share));
        let [cx, xx, xy] = [self.cx, self.xx, self.xy].map(|products| products.with(share));
        let count = number(values.y.len());
        let determinant = cc * xx - cx * cx;
        // A regressor without any change leaves the constant alone.
        let changes = determinant > 1e-12 * cc * xx;
        let b = if changes { (cc * xy - cx * cy) / determinant } else { 0.0 };
        let a = if cc > 0.0 { (cy - b * cx) / cc } else { 0.0 };
        let squares = (yy - a * cy - b * xy).max(0.0);
        let variance = (squares / (count - 2.0).max(1.0)).max(values.floor);
        let error = if changes { (variance * cc / determinant).sqrt() } else { 0.0 };
        let likelihood = (1.0 - share * share).ln() - count * variance.ln();
        Fit { a: a + values.middle, b, error, likelihood, share, squares }
    }

    /// The likeliest fit of all shares.
    pub fn likeliest(&self) -> Fit {
        let fits = SHARES.iter().map(|&share| self.fit(share));
        fits.reduce(|best, fit| if fit.likelihood > best.likelihood { fit } else { best }).unwrap_or_default()
    }
}

/// A likeliest share with what it misses on average.
pub(super) fn corrected(share: f64, count: usize) -> f64 {
    // The term is the first of a series, which is of no use for few values.
    if share > 0.0 && count >= FEW { (share + (2.0 + 4.0 * share) / number(count)).min(MOST) } else { 0.0 }
}

/// A variance below which nothing is told apart: values that follow a model exactly would have a likelihood without end.
/// A part in 10,000 of their range is the error that any of them may have.
pub(super) fn floor(y: &[f64]) -> f64 {
    let (low, high) = y.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &y| (low.min(y), high.max(y)));
    ((high - low).max(1.0) * 1e-4).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_autocorrelation_it_is_plain_least_squares() {
        // scipy.stats.linregress([0, 1, 2, 3, 4], [1, 3, 2, 5, 6]): slope 1.2, intercept 1.0, stderr 0.30550...
        let values = Values::of(&[1.0, 3.0, 2.0, 5.0, 6.0]);
        let fit = Regression::of(&[0.0, 1.0, 2.0, 3.0, 4.0], &values).fit(0.0);
        // The squares are 2.8.
        assert!((fit.squares - 2.8).abs() < 1e-9, "{fit:?}");
        assert!((fit.b - 1.2).abs() < 1e-12 && (fit.a - 1.0).abs() < 1e-12, "{fit:?}");
        assert!((fit.error - 0.305_505_046_330_389).abs() < 1e-12, "{fit:?}");
    }

    /// Of 400 series of 60 errors without a trend, each with a share of the one before: how many have a slope of more than
    /// twice its standard error.
    fn mistaken(share: f64) -> usize {
        let mut state = 7_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from((state >> 32) as u32) / f64::from(u32::MAX) - 0.5
        };
        let x: Vec<f64> = (0..60).map(number).collect();
        let mut mistaken = 0;
        for _ in 0..400 {
            let mut error = 0.0;
            let mut next = || {
                error = share * error + uniform() + uniform() + uniform();
                error
            };
            let y: Vec<f64> = (0..160).map(|_| next()).skip(100).collect();
            let values = Values::of(&y);
            let regression = Regression::of(&x, &values);
            let fit = regression.fit(corrected(regression.likeliest().share, y.len()));
            mistaken += usize::from(fit.b.abs() > 2.0 * fit.error);
        }
        mistaken
    }

    #[test]
    fn a_slope_that_is_none_is_found_seldom_also_among_errors_that_depend_on_each_other() {
        // 5 of 100 would be ideal; without the correction the last is more than twice as many as here.
        let mistaken = [0.0, 0.5, 0.8, 0.95].map(mistaken);
        assert!(mistaken.iter().zip([28, 40, 48, 64]).all(|(found, bound)| *found <= bound), "{mistaken:?}");
    }
}
