//! What a process and its stacks held over time, in fixed memory.
//!
//! ```text
//! clock ─> timeline (a series for each metric) ─┐
//!      └─> stacks (a compact series each) ──────┴─> curve ─> verdict
//! ```
//!
//! A [`Series`] keeps a bounded number of bins and doubles their width whenever it is full, so that a minute is kept to
//! the second, and a week to the quarter of an hour. A [`Curve`] is the copy of one that `verdict` reads.
//! Nothing here reads a clock or a file: whoever samples passes times and values.

mod clock;
mod curve;
mod metric;
mod process;
mod series;
mod stacks;
mod thrift;

pub use clock::{Clock, Gap, Reading, Tick};
pub use curve::{Curve, Point};
pub use metric::Metric;
pub use process::{Sample, Timeline};
pub use series::{Bin, Series};
pub use stacks::{StackSeries, StacksTimeline};
pub use thrift::Thrift;

/// Nanoseconds in a second.
const SECOND: f64 = 1e9;
