//! The statistics behind a verdict, each from its paper. All are pure and take points in the order of time.

mod bend;
mod mann_kendall;
mod normal;
mod order;
mod phases;
mod regression;
mod theil_sen;

pub use bend::{Bend, bend};
pub use mann_kendall::{Trend, mann_kendall};
pub use order::{median, quantile, spread};
pub use phases::{Over, Phases, Stairs, over, phases, stairs};
pub(super) use theil_sen::plain_slope;
pub use theil_sen::{Slope, theil_sen};

/// A point: time in seconds, and a value.
pub type Pair = (f64, f64);

#[expect(clippy::cast_precision_loss, reason = "counts of points")]
pub(crate) const fn number(count: usize) -> f64 {
    count as f64
}
