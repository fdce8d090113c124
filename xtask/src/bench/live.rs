//! What live blocks cost: memory for each, and time for an event when there are many of them.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use heaptide_tests::build;
use heaptide_tests::program::{Program, Stream};

use super::churn::ratio;
use super::figure::Figure;
use super::recording::Recording;

/// What a block may take, in bytes.
const MOST_BYTES_A_BLOCK: f64 = 48.0;

/// How many times as much an event may cost as with few blocks.
const MOST_TIMES: f64 = 1.3;

/// So few blocks that all that is known of them is in the processor's caches.
const FEW: u64 = 10_000;

/// Pairs of malloc and free whose records fill the default ring of 32 MiB once, and a half more.
const PAIRS: u64 = 500_000;

/// Time for what was sent to arrive: the reader looks every 20 ms, and may have to wait for a processor.
const SETTLE: Duration = Duration::from_secs(1);

/// How many blocks are live, besides [`FEW`].
pub(crate) const fn sizes(quick: bool) -> &'static [u64] {
    if quick { &[1_000_000] } else { &[10_000_000, 50_000_000] }
}

/// What was measured with so many live blocks.
struct Grown {
    /// Bytes a block, at the end and at the most from a tenth on.
    bytes: [f64; 2],
    /// Nanoseconds of the target's malloc, by the clock.
    malloc: f64,
    /// Nanoseconds of the readers for an event of a random block.
    event: f64,
    lost: u64,
    /// Bytes of heaptide at its largest.
    peak: u64,
}

pub(crate) fn measure(heaptide: &Path, sizes: &[u64]) -> Result<Vec<Figure>> {
    let few = grow(heaptide, FEW)?;
    let mut figures = vec![Figure::new("user side, 10 thousand blocks", few.event, "ns an event")];
    for &blocks in sizes {
        let Grown { bytes: [bytes, most], malloc, event, lost, peak } = grow(heaptide, blocks)?;
        let of = |what: &str| format!("{what}, {} million", blocks / 1_000_000);
        figures.extend([
            Figure::new(of("table"), bytes, "bytes a block").at_most(MOST_BYTES_A_BLOCK),
            Figure::new(of("table, largest on the way"), most, "bytes a block").at_most(MOST_BYTES_A_BLOCK),
            Figure::new(of("user side"), event, "ns an event"),
            Figure::new(of("user side / with 10 thousand"), event / few.event, "times").at_most(MOST_TIMES),
            Figure::new(of("traced malloc"), malloc, "ns by the clock"),
            Figure::count(of("lost"), lost, "events").at_most(0.0),
            Figure::new(of("heaptide, peak of everything"), ratio(peak, 1 << 20), "MiB"),
        ]);
    }
    Ok(figures)
}

/// Records a target that allocates `blocks` blocks, keeps them, and then frees and allocates some at random.
fn grow(heaptide: &Path, blocks: u64) -> Result<Grown> {
    let mut command = Command::new(build::workload("bench_live")?);
    let mut target = Program::start(command.args([blocks.to_string(), PAIRS.to_string()]))?;
    target.hear(Stream::Out, "ready line", |line| line.starts_with("ready"))?;
    let room = (blocks + blocks / 10).to_string();
    let recording = Recording::attach_with(heaptide, target.pid(), &["--max-live", &room])?;
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
    let bytes = ratio(recording.resident()?.saturating_sub(before), blocks);

    let cpu = recording.cpu_time()?;
    target.tell("turn over")?;
    target.hear(Stream::Out, "end of the turn-over", |line| line == "turned")?;
    thread::sleep(SETTLE);
    let used = recording.cpu_time()?.since(cpu)?;
    let report = recording.stop()?;

    let lost = report.profile.lost()?;
    let process = report.profile.processes.first().context("the report has no process")?;
    let outstanding = process.sums.get("heap").context("the report has no heap")?.outstanding.blocks;
    ensure!(outstanding + lost >= blocks, "{blocks} blocks were allocated, and {outstanding} are reported");
    let (Some(begin), Some(end)) = (steps.first(), steps.last()) else { anyhow::bail!("no step was made") };
    Ok(Grown {
        bytes: [bytes, most.max(bytes)],
        malloc: ratio(end.at - begin.at, end.blocks - begin.blocks),
        event: ratio(used.readers, 2 * PAIRS),
        lost,
        peak: report.profile.cost.memory_bytes,
    })
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
