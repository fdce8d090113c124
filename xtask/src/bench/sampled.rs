//! The row of a recording by sampling: what it leaves of the cost of a pair that is not recorded.

use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use heaptide_tests::build;

use super::churn::{Churn, ratio};
use super::figure::Figure;
use super::recording::Recording;
use super::rows::{Phases, mean};

/// The interval that the row is about.
pub(crate) const INTERVAL: &str = "512KiB";

/// Untraced, sampled and untraced again, in one process.
pub(crate) fn measure(heaptide: &Path, phases: Phases) -> Result<Vec<Figure>> {
    let mut churn = Churn::start(&build::workload("bench_churn")?, 1)?;
    let before = churn.watch(phases.untraced)?;
    let recording = Recording::attach_with(heaptide, churn.pid(), &["--sample", INTERVAL])?;
    let (begin, cpu_before) = (churn.mark()?, recording.cpu_time()?);
    thread::sleep(phases.traced);
    let (end, cpu_after) = (churn.mark()?, recording.cpu_time()?);
    let report = recording.stop()?;
    let after = churn.watch(phases.untraced)?;

    let traced = end.since(begin)?;
    let process = report.profile.processes.first().context("the report has no process")?;
    let sampled = process.sampled.context("the report does not say that it is by sampling")?;
    let counted = sampled.exact.context("the report does not tell what was counted")?.allocations;
    ensure!(counted >= traced.pairs, "{} pairs were made, and only {counted} counted", traced.pairs);
    ensure!(sampled.recorded > 0, "of {counted} allocations, none was recorded");
    let cost = &report.profile.cost;
    let untraced = mean(before, after);
    Ok(vec![
        Figure::new("untraced", untraced, "ns a pair"),
        Figure::new("sampled", traced.nanoseconds, "ns a pair"),
        Figure::new("sampled / untraced", traced.nanoseconds / untraced, "times"),
        Figure::new("in the programs", cost.nanoseconds_a_hit()? * ratio(cost.hits, counted), "ns a pair"),
        Figure::new("allocations a recorded block", ratio(counted, sampled.recorded), "allocations"),
        Figure::count("received", cost.events, "events"),
        Figure::count("lost", report.profile.lost()?, "events").at_most(0.0),
        Figure::new(
            "heaptide, all threads",
            ratio(cpu_after.all.saturating_sub(cpu_before.all), traced.pairs) / 1e3,
            "CPU seconds a million pairs",
        ),
    ])
}
