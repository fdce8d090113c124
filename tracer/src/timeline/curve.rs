//! The copy of a series that statistics read.

/// A stretch of time; values in bytes (or whatever was counted).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The middle of the stretch, in seconds on the timeline's axis.
    pub seconds: f64,
    /// The smallest value.
    pub low: f64,
    /// The mean of the values.
    pub mean: f64,
    /// The largest value.
    pub high: f64,
}

/// A series as points in the order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// The points.
    pub points: Vec<Point>,
    /// How many gaps are between them.
    pub gaps: usize,
}

impl Curve {
    /// From one sample a point.
    #[must_use]
    pub fn of(samples: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let point = |(seconds, value)| Point { seconds, low: value, mean: value, high: value };
        Self { points: samples.into_iter().map(point).collect(), gaps: 0 }
    }

    /// What is left without another curve, which is held to go straight from point to point, and to be nothing before its
    /// first. Never less than nothing.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let points = self.points.iter().map(|point| {
            let less = other.at(point.seconds);
            let rest = |value: f64| (value - less).max(0.0);
            Point { low: rest(point.low), mean: rest(point.mean), high: rest(point.high), ..*point }
        });
        Self { points: points.collect(), gaps: self.gaps }
    }

    fn at(&self, seconds: f64) -> f64 {
        let after = self.points.partition_point(|point| point.seconds <= seconds);
        let Some(before) = after.checked_sub(1).and_then(|before| self.points.get(before)) else { return 0.0 };
        let Some(after) = self.points.get(after) else { return before.mean };
        let share = (seconds - before.seconds) / (after.seconds - before.seconds);
        (after.mean - before.mean).mul_add(share, before.mean)
    }

    /// From the first point to the last, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        match self.points.as_slice() {
            [first, .., last] => last.seconds - first.seconds,
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_taken_out_where_it_was() {
        let all = Curve::of((0..5).map(|at| (f64::from(at), 10.0 + 10.0 * f64::from(at))));
        let known = Curve::of([(1.0, 8.0), (3.0, 28.0)]);
        let rest: Vec<f64> = all.without(&known).points.iter().map(|point| point.mean).collect();
        let expected = [10.0, 12.0, 12.0, 12.0, 22.0];
        assert!(rest.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-9), "{rest:?}");
        assert_eq!(all.without(&Curve::default()), all);
    }
}
