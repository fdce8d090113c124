//! Helpers of the tests that run heaptide as its users do.
//!
//! A test builds a workload ([`build`]), starts it ([`workload`]), lets heaptide record it ([`heaptide`]), and compares
//! what the workload knows of its own memory ([`truth`]) with what heaptide says ([`profile`], [`compare`]).
//!
//! Every wait has a deadline ([`pace`]), and every process that a test starts ends with the value that stands for it.

pub mod build;
pub mod compare;
pub mod completeness;
pub mod group;
pub mod heaptide;
pub mod kinds;
pub mod leaks;
pub mod pace;
pub mod profile;
pub mod program;
pub mod stacks;
pub mod truth;
pub mod verdicts;
pub mod watch;
pub mod workload;
