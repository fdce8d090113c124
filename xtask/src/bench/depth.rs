//! What a whole stack adds to an allocation, by its depth.
//!
//! The kernel measures the time in the programs. The same loop is recorded without stacks, with stacks by call frame
//! information, and (built with frame pointers) with the kernel's own `bpf_get_stack`; all else is the same.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::sys::{Stats, enable_stats};
use heaptide_tests::build;
use heaptide_tests::program::{Program, Stream};

use super::figure::Figure;
use super::recording::Recording;

/// How often each is measured: of these, the middle one counts.
const ROUNDS: usize = 3;

/// Probe hits of a pair of malloc and free: two entries and malloc's return.
const HITS_A_PAIR: f64 = 3.0;

/// The part of `bpf_get_stack`'s time that a whole stack may take, at 16 frames.
const MOST_OF_BPF_GET_STACK: f64 = 0.5;

/// What a further frame may take, in nanoseconds.
const MOST_A_FRAME: f64 = 10.0;

/// What stacks of one depth add, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Added {
    frames: f64,
    cfi: f64,
    bpf_get_stack: f64,
}

pub(crate) fn measure(heaptide: &Path, quick: bool) -> Result<Vec<Figure>> {
    // For as long as this is open, the kernel measures every run of every program.
    let _measured = enable_stats(Stats::RunTime).context("the kernel does not measure programs")?;
    let time = Duration::from_millis(if quick { 300 } else { 1000 });
    let names = [
        ["4 frames", "4 frames, bpf_get_stack"],
        ["16 frames", "16 frames, bpf_get_stack"],
        ["60 frames", "60 frames, bpf_get_stack"],
        ["200 frames", "200 frames, bpf_get_stack"],
    ];
    let mut figures = Vec::new();
    let mut all = Vec::new();
    for (frames, [cfi, fp]) in [4_u32, 16, 60, 200].into_iter().zip(names) {
        let added = at_depth(heaptide, frames, time)?;
        figures.push(Figure::new(cfi, added.cfi, "ns a stack"));
        figures.push(Figure::new(fp, added.bpf_get_stack, "ns a stack"));
        all.push(added);
    }
    let [_, at_16, at_60, at_200] = all[..] else { return Ok(figures) };
    let slope = |low: Added, high: Added| (high.cfi - low.cfi) / (high.frames - low.frames);
    let part = at_16.cfi / at_16.bpf_get_stack;
    figures.push(Figure::new("16 frames / bpf_get_stack", part, "times").at_most(MOST_OF_BPF_GET_STACK));
    figures.push(Figure::new("a further frame, 16 to 60", slope(at_16, at_60), "ns").at_most(MOST_A_FRAME));
    figures.push(Figure::new("a further frame, 60 to 200", slope(at_60, at_200), "ns").at_most(MOST_A_FRAME));
    Ok(figures)
}

fn at_depth(heaptide: &Path, frames: u32, time: Duration) -> Result<Added> {
    let without = build::without_frame_pointers("bench_depth", 2)?;
    let with = build::workload("bench_depth")?;
    let cost = |program: &Path, how: &str| median(|| pair(heaptide, program, frames, how, time));
    // The same build for a stack and for none: programs differ in more than frame pointers.
    let cfi = cost(&without, "cfi")? - cost(&without, "none")?;
    let bpf_get_stack = cost(&with, "fp")? - cost(&with, "none")?;
    Ok(Added { frames: f64::from(frames), cfi, bpf_get_stack })
}

fn median(measure: impl Fn() -> Result<f64>) -> Result<f64> {
    let mut measured = (0..ROUNDS).map(|_| measure()).collect::<Result<Vec<f64>>>()?;
    measured.sort_by(f64::total_cmp);
    measured.get(ROUNDS / 2).copied().context("nothing was measured")
}

/// Nanoseconds in programs for a pair of malloc and free.
fn pair(heaptide: &Path, program: &Path, frames: u32, how: &str, time: Duration) -> Result<f64> {
    let mut target = Program::start(Command::new(program).arg(frames.to_string()))?;
    target.hear(Stream::Out, "ready line", |line| line.starts_with("ready"))?;
    let recording = Recording::attach_with(heaptide, target.pid(), &["--stacks", how])?;
    thread::sleep(time);
    let report = recording.stop()?;
    if how == "cfi" {
        let (complete, walks) = (report.profile.unwinding("complete")?, report.profile.walks()?);
        ensure!(
            walks > 0 && complete == walks,
            "only {complete} of {walks} stacks are whole: the figure would be too low"
        );
        let stacks = report.profile.processes.iter().flat_map(|process| &process.stacks);
        let deepest = stacks.map(|stack| stack.frames.len()).max().unwrap_or_default();
        ensure!(deepest == frames as usize, "the stack has {deepest} frames instead of {frames}");
    }
    Ok(report.profile.cost.nanoseconds_a_hit()? * HITS_A_PAIR)
}
