//! The kernel: what it offers, the probes, and its counters. The only place that imports aya.

pub mod features;
