//! Is there a trend, whatever its form?
//!
//! H. B. Mann, "Nonparametric tests against trend", Econometrica 13, 1945; M. G. Kendall, "Rank correlation methods", 1975.
//! Memory depends on what it was a moment ago, and the test would take that for a trend: so its variance is corrected as
//! in K. H. Hamed and A. R. Rao, "A modified Mann-Kendall trend test for autocorrelated data", Journal of Hydrology 204,
//! 1998, by the autocorrelation of the ranks of what Sen's slope leaves.

use super::normal::{Z95, two_sided};
use super::theil_sen::plain_slope;
use super::{Pair, number};

/// The outcome of the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Pairs that rise less pairs that fall.
    pub s: f64,
    /// The variance of `s` without a trend, corrected.
    pub variance: f64,
    /// How many times larger the correction made it. Less than 1 where neighbours alternate.
    pub inflation: f64,
    /// How many deviations `s` is from 0.
    pub z: f64,
    /// How likely that is without a trend.
    pub p: f64,
}

/// Tests points for a trend. `None` for fewer than four.
#[must_use]
pub fn mann_kendall(points: &[Pair]) -> Option<Trend> {
    if points.len() < 4 {
        return None;
    }
    let values: Vec<f64> = points.iter().map(|point| point.1).collect();
    let mut s = 0.0;
    for (index, later) in values.iter().enumerate() {
        for earlier in &values[..index] {
            s += f64::from(i8::from(later > earlier) - i8::from(later < earlier));
        }
    }
    let slope = plain_slope(points)?;
    let left: Vec<f64> = points.iter().map(|(time, value)| value - slope * time).collect();
    let inflation = inflation(&ranks(&left));
    let variance = variance(&values) * inflation;
    // Of the whole numbers that `s` can be, the nearer end of its own.
    let z = if s == 0.0 || variance <= 0.0 { 0.0 } else { (s - s.signum()) / variance.sqrt() };
    Some(Trend { s, variance, inflation, z, p: two_sided(z) })
}

/// The variance of `s` for independent values, corrected for those that are equal.
pub(super) fn variance(values: &[f64]) -> f64 {
    let term = |count: f64| count * (count - 1.0) * (2.0 * count + 5.0);
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let ties: f64 =
        sorted.chunk_by(|one, other| one.total_cmp(other).is_eq()).map(|equal| term(number(equal.len()))).sum();
    (term(number(values.len())) - ties) / 18.0
}

/// Hamed and Rao's factor, from the autocorrelations of ranks that are significant at 5 %.
fn inflation(ranks: &[f64]) -> f64 {
    let count = number(ranks.len());
    let mean = ranks.iter().sum::<f64>() / count;
    let product = |lag: usize| -> f64 {
        ranks.iter().zip(&ranks[lag..]).map(|(early, late)| (early - mean) * (late - mean)).sum()
    };
    let whole = product(0);
    if whole <= 0.0 {
        return 1.0;
    }
    let bound = Z95 / count.sqrt();
    let sum: f64 = (1..ranks.len())
        .map(|lag| (number(ranks.len() - lag), product(lag) / whole))
        .filter(|(_, correlation)| correlation.abs() > bound)
        .map(|(left, correlation)| left * (left - 1.0) * (left - 2.0) * correlation)
        .sum();
    let factor = 1.0 + 2.0 / (count * (count - 1.0) * (count - 2.0)) * sum;
    // The sum of estimates can be anything; a variance cannot. Below this, points would count four times.
    factor.max(0.25)
}

/// The place of each value among all, counted from 1; equal ones share theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&one, &other| values[one].total_cmp(&values[other]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|&one, &other| values[one].total_cmp(&values[other]).is_eq()) {
        let shared = number(2 * before + equal.len() + 1) / 2.0;
        for &index in equal {
            ranks[index] = shared;
        }
        before += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(values: &[f64]) -> Vec<Pair> {
        values.iter().enumerate().map(|(index, &value)| (number(index), value)).collect()
    }

    /// R's data set `Nile` from 1871 to 1910: the annual flow at Aswan in 10^8 cubic metres.
    const NILE: [f64; 40] = [
        1120.0, 1160.0, 963.0, 1210.0, 1160.0, 1160.0, 813.0, 1230.0, 1370.0, 1140.0, 995.0, 935.0, 1110.0, 994.0,
        1020.0, 960.0, 1180.0, 799.0, 958.0, 1140.0, 1100.0, 1210.0, 1150.0, 1250.0, 1260.0, 1220.0, 1030.0, 1100.0,
        774.0, 840.0, 874.0, 694.0, 940.0, 833.0, 701.0, 916.0, 692.0, 1020.0, 1050.0, 969.0,
    ];

    #[test]
    fn a_plain_test_is_the_one_of_the_reference() {
        let nile = pairs(&NILE);
        let trend = mann_kendall(&nile).unwrap();
        assert!((trend.s - REFERENCE[0]).abs() < 1e-9, "{trend:?}");
        assert!((variance(&NILE) - REFERENCE[1]).abs() < 1e-6, "{}", variance(&NILE));
    }

    #[test]
    fn the_corrected_test_is_the_one_of_the_reference() {
        let trend = mann_kendall(&pairs(&NILE)).unwrap();
        assert!((trend.variance / REFERENCE[2] - 1.0).abs() < 1e-9, "{trend:?}");
        assert!((trend.z - REFERENCE[3]).abs() < 1e-9 && (trend.p / REFERENCE[4] - 1.0).abs() < 1e-6, "{trend:?}");
    }

    /// pymannkendall 1.4.3: `original_test(nile)`: s, `var_s`; `hamed_rao_modification_test(nile)`: `var_s`, z, p.
    const REFERENCE: [f64; 5] =
        [-223.0, 7359.0, 6_632.910_341_698_886, -2.725_843_456_813_402, 0.006_413_740_924_689_604];

    #[test]
    fn equal_values_are_no_trend() {
        let trend = mann_kendall(&pairs(&[5.0; 10])).unwrap();
        assert!((trend.p - 1.0).abs() < 1e-12 && trend.s.abs() < 1e-12);
        assert_eq!(mann_kendall(&pairs(&[1.0, 2.0, 3.0])), None);
    }

    #[test]
    fn ranks_of_equals_are_shared() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
    }
}
