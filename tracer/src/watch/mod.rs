//! Watching: when something is to be done about a process, and the doing of it.
//!
//! ```text
//! sample, verdict, limit ─> facts ─┬─> condition ─> trigger ─┐
//!                                  └─> environment ──────────┴─> hook
//! ```
//!
//! A [`Condition`] says whether something holds now, a [`Trigger`] whether that is a reason to act, and [`Hooks`] run
//! the user's commands beside the recording, which they never hold up.

mod condition;
mod facts;
mod hook;
mod trigger;

pub use condition::{Condition, ConditionError, Unknown};
pub use facts::Facts;
pub use hook::{Finished, Hooks, Outcome, Run, Started};
pub use trigger::Trigger;
