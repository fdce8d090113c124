//! Joins the pieces into a recording.
//!
//! A [`Session`] loads the kernel part, attaches it to processes and hands each ring to a thread of its own
//! ([`reader`]). What the rings tell of stacks and processes comes back as notices; [`processes`] keeps names and
//! mappings by them. At the end, [`assemble`] makes a [`crate::profile::Profile`] of everything.

mod assemble;
mod budget;
mod closing;
mod coverage;
mod cpu;
mod finish;
mod knowledge;
mod mailbox;
mod perf_maps;
mod planner;
mod processes;
mod reader;
mod resident;
mod session;
mod tables;
mod timelines;

pub use assemble::unknown;
pub use planner::Planner;
pub use processes::Processes;
pub use session::{Attached, Config, Current, Session, SessionError, Status};
