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

    /// From the first point to the last, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        match self.points.as_slice() {
            [first, .., last] => last.seconds - first.seconds,
            _ => 0.0,
        }
    }
}
