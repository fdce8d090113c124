//! Helpers of the tests that run heaptide as its users do.
//!
//! A test builds a workload ([`build`]), starts it ([`workload`]), lets heaptide record it ([`heaptide`]), and compares
//! what the workload knows of its own memory ([`truth`]) with what heaptide says ([`profile`], [`compare`]).
//!
//! Every wait has a deadline, and every process that a test starts ends with the value that stands for it.

pub mod build;
pub mod compare;
pub mod heaptide;
pub mod profile;
pub mod program;
pub mod truth;
pub mod workload;

use std::time::Duration;

/// How long any single step may take before it counts as hanging.
pub const DEADLINE: Duration = Duration::from_secs(40);
