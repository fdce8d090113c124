//! The rows that measure heaptide.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use heaptide_tests::build;
use heaptide_tests::program::{Program, Stream};

use super::churn::{Churn, Pace, ratio};
use super::figure::Figure;
use super::recording::Recording;
use super::stacks;

/// What the user side may take for an event, in nanoseconds of CPU time.
const MOST_NANOSECONDS_AN_EVENT: f64 = 150.0;

/// What the table of live blocks may take for a block.
const MOST_BYTES_A_BLOCK: f64 = 48.0;

/// How long a report of 10,000 stacks may take.
const MOST_SECONDS_FOR_A_REPORT: f64 = 2.0;

/// Pairs of malloc and free whose records fill the default ring of 32 MiB once, and a half more.
const PAIRS_TO_USE_THE_RING: u64 = 500_000;

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

/// What heaptide's memory grows by while the target allocates `blocks` blocks and keeps them.
pub(crate) fn live(heaptide: &Path, blocks: u64) -> Result<Vec<Figure>> {
    let mut command = Command::new(build::workload("bench_live")?);
    let mut target = Program::start(command.args([blocks.to_string(), PAIRS_TO_USE_THE_RING.to_string()]))?;
    target.hear(Stream::Out, "ready line", |line| line.starts_with("ready"))?;
    let recording = Recording::attach(heaptide, target.pid())?;
    target.tell("warm up")?;
    target.hear(Stream::Out, "end of the warm-up", |line| line == "warm")?;
    thread::sleep(SETTLE);
    let before = recording.resident()?;

    target.tell("allocate")?;
    let mut steps = Vec::new();
    let mut most = 0.0_f64;
    while steps.last().is_none_or(|step: &Step| step.blocks < blocks) {
        let line = target.hear(Stream::Out, "step", |line| line.starts_with("blocks"))?;
        let step = Step::parse(&line).with_context(|| format!("not a step: {line}"))?;
        if step.blocks >= blocks / 10 {
            most = most.max(ratio(recording.resident()?.saturating_sub(before), step.blocks));
        }
        steps.push(step);
    }
    thread::sleep(SETTLE);
    let growth = recording.resident()?.saturating_sub(before);
    let report = recording.stop()?;

    let lost = report.profile.lost()?;
    let process = report.profile.processes.first().context("the report has no process")?;
    let outstanding = process.sums.get("heap").context("the report has no heap")?.outstanding.blocks;
    ensure!(outstanding + lost >= blocks, "{blocks} blocks were allocated, and {outstanding} are reported");
    let (Some(begin), Some(end)) = (steps.first(), steps.last()) else { return Ok(Vec::new()) };
    Ok(vec![
        Figure::count("live blocks", outstanding, "blocks"),
        Figure::new("table", ratio(growth, blocks), "bytes a block").at_most(MOST_BYTES_A_BLOCK),
        Figure::new("table, largest on the way", most.max(ratio(growth, blocks)), "bytes a block"),
        Figure::new("traced malloc", ratio(end.at - begin.at, end.blocks - begin.blocks), "ns by the clock"),
        Figure::count("lost", lost, "events").at_most(0.0),
        Figure::new("heaptide, peak of everything", ratio(report.profile.cost.memory_bytes, 1 << 20), "MiB"),
    ])
}

/// How far the target is.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    blocks: u64,
    /// Nanoseconds of the monotonic clock.
    at: u64,
}

impl Step {
    fn parse(line: &str) -> Option<Self> {
        let (blocks, at) = line.strip_prefix("blocks ")?.split_once(" at ")?;
        Some(Self { blocks: blocks.parse().ok()?, at: at.parse().ok()? })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_blocks_and_a_time() {
        assert_eq!(Step::parse("blocks 200000 at 17"), Some(Step { blocks: 200_000, at: 17 }));
        for line in ["live", "blocks", "blocks 1 at", "blocks at 1"] {
            assert_eq!(Step::parse(line), None, "{line}");
        }
    }
}
