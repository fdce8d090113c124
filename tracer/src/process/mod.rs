//! Processes: who is alive, and what is mapped where.

pub mod target;
