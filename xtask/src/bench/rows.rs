//! The rows that measure heaptide.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use heaptide_tests::build;
use heaptide_tests::program::{Program, Stream};

use super::churn::{Churn, Pace, ratio};
use super::figure::Figure;
use super::recording::Recording;
use super::stacks;

/// What the user side may take for an event, in nanoseconds of CPU time.
const MOST_NANOSECONDS_AN_EVENT: f64 = 150.0;

/// How long a report of 10,000 stacks may take.
const MOST_SECONDS_FOR_A_REPORT: f64 = 2.0;

/// Time for what was sent to arrive: the reader looks every 20 ms, and may have to wait for a processor.
const SETTLE: Duration = Duration::from_secs(1);

/// How long the phases of the churn rows are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phases {
    pub(crate) untraced: Duration,
    pub(crate) traced: Duration,
}

/// Untraced, traced and untraced again, in one process.
pub(crate) fn churn(heaptide: &Path, threads: u32, phases: Phases) -> Result<Vec<Figure>> {
    let mut churn = Churn::start(&build::workload("bench_churn")?, threads)?;
    let before = churn.watch(phases.untraced)?;
    let recording = Recording::attach(heaptide, churn.pid())?;
    let (begin, cpu_before) = (churn.mark()?, recording.cpu_time()?);
    thread::sleep(phases.traced);
    let (end, cpu_after) = (churn.mark()?, recording.cpu_time()?);
    let report = recording.stop()?;
    let after = churn.watch(phases.untraced)?;

    let traced = end.since(begin)?;
    let events = traced.pairs * 2;
    let lost = report.profile.lost()?;
    let received = report.profile.cost.events;
    ensure!(received + lost >= events, "{events} events were made, and only {received} received");
    let used = cpu_after.since(cpu_before)?;
    let untraced = mean(before, after);
    Ok(vec![
        Figure::new("untraced", untraced, "ns a pair"),
        Figure::new("traced", traced.nanoseconds, "ns a pair"),
        Figure::new("traced / untraced", traced.nanoseconds / untraced, "times"),
        Figure::new("pace", per_second(events, traced.seconds), "events a second"),
        Figure::count("received", received, "events"),
        Figure::count("lost", lost, "events").at_most(0.0),
        Figure::new("user side", ratio(used.readers, events), "ns an event").at_most(MOST_NANOSECONDS_AN_EVENT),
        Figure::new("heaptide, all threads", ratio(used.all, events) / 1e3, "CPU seconds a million events"),
        Figure::count("rings", report.profile.cost.rings, "rings"),
    ])
}

/// Nanoseconds a pair, before and after the trace.
pub(crate) fn mean(one: Pace, other: Pace) -> f64 {
    f64::midpoint(one.nanoseconds, other.nanoseconds)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
fn per_second(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// How long the reports take when there are 10,000 distinct stacks, names, lines and all.
pub(crate) fn report(heaptide: &Path, folder: &Path) -> Result<Vec<Figure>> {
    let mut target = Program::start(&mut Command::new(stacks::program(folder)?))?;
    target.hear(Stream::Out, "ready line", |line| line == "ready")?;
    let recording = Recording::attach(heaptide, target.pid())?;
    target.tell("allocate")?;
    target.hear(Stream::Out, "end of its work", |line| line == "done")?;
    thread::sleep(SETTLE);
    let report = recording.stop()?;

    let lost = report.profile.lost()?;
    let stacks = report.profile.processes.iter().flat_map(|process| &process.stacks);
    let named = stacks.filter(|stack| stack.functions().next().is_some_and(|leaf| leaf.starts_with(stacks::LEAF)));
    let named = named.count() as u64;
    ensure!(named >= stacks::COUNT, "only {named} of {} stacks are reported by name", stacks::COUNT);
    Ok(vec![
        Figure::count("distinct stacks", named, "stacks"),
        Figure::new("report", report.took.as_secs_f64(), "seconds").at_most(MOST_SECONDS_FOR_A_REPORT),
        Figure::count("lost", lost, "events").at_most(0.0),
        Figure::new("JSON report", ratio(report.bytes, 1 << 20), "MiB"),
        Figure::new("heaptide, peak of everything", ratio(report.profile.cost.memory_bytes, 1 << 20), "MiB"),
    ])
}
