//! The row of memory over time: what series of 100,000 stacks and the verdicts on them cost, in time and memory.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use heaptide_tests::build;
use heaptide_tests::program::{Program, Stream};

use super::figure::Figure;
use super::recording::Recording;

/// Distinct stacks of the workload.
const STACKS: usize = 100_000;

/// So long that the series are full: 40 bins a stack, of a few seconds each.
const FULL: Duration = Duration::from_mins(3);

/// What series and verdicts may take of the CPU time that the program uses.
const MOST_SHARE: f64 = 0.01;

/// Memory that they may take, in MiB.
const MOST_MEMORY: f64 = 64.0;

pub(crate) fn measure(heaptide: &Path, quick: bool) -> Result<Vec<Figure>> {
    let mut target = Program::start(&mut Command::new(build::workload("bench_many_stacks")?))?;
    target.hear(Stream::Out, "ready line", |line| line.starts_with("ready "))?;
    let recording = Recording::attach(heaptide, target.pid())?;
    thread::sleep(if quick { FULL / 6 } else { FULL });
    let report = recording.stop()?;
    let cost = &report.profile.cost;
    let stacks = report.profile.processes.first().context("the report has no process")?.stacks.len();
    ensure!(stacks >= STACKS, "{STACKS} stacks were expected, and {stacks} met");
    let own = cost.target_cpu_seconds - cost.trap_seconds - cost.bpf_seconds.unwrap_or(0.0);
    let mebibytes = mebibytes(cost.timeline_bytes);
    Ok(vec![
        Figure::count("distinct stacks", stacks as u64, "stacks"),
        Figure::new("the program, with probes", cost.target_cpu_seconds, "CPU seconds"),
        Figure::new("of it, without probes and traps", own, "CPU seconds"),
        Figure::new("series and verdicts", cost.timeline_seconds, "CPU seconds"),
        Figure::new("series and verdicts / the program", cost.timeline_seconds / cost.target_cpu_seconds, "of 1")
            .at_most(MOST_SHARE),
        Figure::new("memory of series", mebibytes, "MiB").at_most(MOST_MEMORY),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "a size far below 2^52")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
