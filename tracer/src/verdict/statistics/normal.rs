//! The standard normal distribution.

/// How likely a value is to be at least as far from 0 as `z`, on either side.
pub(super) fn two_sided(z: f64) -> f64 {
    libm::erfc(z.abs() / std::f64::consts::SQRT_2)
}

/// 95 of 100 values lie within as many deviations of the mean.
pub(super) const Z95: f64 = 1.959_963_984_540_054;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_quantiles() {
        // scipy.stats.norm.sf(z) * 2
        for (z, p) in [(0.0, 1.0), (Z95, 0.05), (-2.575_829_303_548_901, 0.01), (5.0, 5.733_031_437_583_869e-7)] {
            assert!((two_sided(z) / p - 1.0).abs() < 1e-12, "{z}");
        }
    }
}
