//! Reports: one file a format. Each is made from a finished [`crate::profile::Profile`] alone.

mod budget;
mod coverage;
mod culprit;
mod marks;
mod page;
mod process;
mod stack;
mod sums;
mod trust;
mod verdicts;
pub mod watch;
mod wholeness;
mod words;

pub mod curve;
pub mod explain;
pub mod folded;
mod growth;
pub mod interim;
pub mod json;
pub mod text;
