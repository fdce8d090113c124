//! heaptide tells which code of a running process holds its memory.
//!
//! The pipeline, in the order in which data flows through it:
//!
//! ```text
//! allocator ─> kernel ─> ring ─> live ─┬─> profile ─> report
//!     ▲                   └──> stacks ─┤
//!  process ──────────────────> symbols ┘
//! ```
//!
//! What was held over time goes another way: [`timeline`] to [`verdict`] to [`report`]; [`watch`] tells when to act on it.
//!
//! Each arrow goes one way: a report sees a finished [`profile::Profile`] and can reach neither the kernel nor a live
//! table. [`pipeline`] joins the pieces; [`cli`] turns what was typed into what it is asked to do.

pub mod allocator;
pub mod budget;
pub mod cli;
pub mod kernel;
pub mod live;
mod numbers;
pub mod pipeline;
pub mod process;
pub mod profile;
pub mod report;
pub mod ring;
pub mod sites;
pub mod stacks;
pub mod symbols;
pub mod timeline;
mod units;
pub mod unwind;
pub mod verdict;
pub mod watch;
