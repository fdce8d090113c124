//! Order statistics.

/// The value below which a share of the values lies, linear between neighbours (type 7 of Hyndman and Fan, 1996, as R and
/// numpy have it). 0 of none.
#[must_use]
#[expect(clippy::cast_sign_loss, reason = "the share is clamped")]
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let at = super::number(last) * share.clamp(0.0, 1.0);
    // Without sorting all: what is above the lower neighbour has the upper one as its least.
    let (_, below, above) = values.select_nth_unstable_by(at as usize, f64::total_cmp);
    let next = above.iter().copied().min_by(f64::total_cmp).unwrap_or(*below);
    *below + (next - *below) * at.fract()
}

/// The middle value.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The standard deviation as the median absolute deviation tells it (Hampel 1974), for values that are normal but for some.
#[must_use]
pub fn spread(values: &[f64]) -> f64 {
    const NORMAL: f64 = 1.482_602_218_505_602;
    let middle = median(values);
    let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    NORMAL * median(&distances)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        let values = [3.0, 1.0, 2.0, 10.0];
        // numpy.quantile([3, 1, 2, 10], [0, .25, .5, .9, 1])
        for (share, value) in [(0.0, 1.0), (0.25, 1.75), (0.5, 2.5), (0.9, 7.9), (1.0, 10.0)] {
            assert!((quantile(&values, share) - value).abs() < 1e-12);
        }
        assert!(quantile(&[], 0.5).abs() < 1e-12);
    }

    #[test]
    fn one_wild_value_does_not_change_the_spread() {
        // scipy.stats.median_abs_deviation([1, 2, 3, 4, 1000], scale="normal")
        assert!((spread(&[1.0, 2.0, 3.0, 4.0, 1000.0]) - 1.482_602_218_505_602).abs() < 1e-12);
    }
}
