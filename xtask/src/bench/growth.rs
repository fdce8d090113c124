//! The row of `--mode growth`: what it adds to a loop of malloc and free, which should be nothing, and to a page fault.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use heaptide_tests::build;

use super::churn::Churn;
use super::figure::Figure;
use super::recording::Recording;

const MODE: &[&str] = &["--mode", "growth"];

/// How often heaptide is attached, in turns with nothing.
const ROUNDS: usize = 6;

/// Looks of each round. Noise only ever adds time, so the quickest of many short looks is what the loop costs.
const LOOKS: usize = 16;

/// A look.
const LOOK: Duration = Duration::from_millis(60);

/// How much slower malloc and free may be.
const MOST: f64 = 1.01;

/// The quickest looks so far, in nanoseconds a turn of the loop.
struct Quickest {
    untraced: f64,
    traced: f64,
}

pub(crate) fn measure(heaptide: &Path, quick: bool) -> Result<Vec<Figure>> {
    let rounds = if quick { ROUNDS / 3 } else { ROUNDS };
    let mut churn = Churn::start(&build::workload("bench_churn")?, 1)?;
    let (pairs, hits, _) = compare(heaptide, &mut churn, rounds)?;
    drop(churn);
    let mut faulting = Churn::start(&build::workload("bench_faults")?, 1)?;
    let (faults, _, lost) = compare(heaptide, &mut faulting, rounds.div_ceil(2))?;
    Ok(vec![
        Figure::new("untraced", pairs.untraced, "ns a pair"),
        Figure::new("recorded", pairs.traced, "ns a pair"),
        Figure::new("recorded / untraced", pairs.traced / pairs.untraced, "times").at_most(MOST),
        Figure::count("probe hits", hits, "hits").at_most(0.0),
        Figure::new("a page fault, untraced", faults.untraced, "ns a page"),
        Figure::new("a page fault, recorded", faults.traced, "ns a page"),
        Figure::count("page faults lost", lost, "events").at_most(0.0),
    ])
}

/// The quickest looks with and without heaptide; all hits, and all that was lost.
fn compare(heaptide: &Path, churn: &mut Churn, rounds: usize) -> Result<(Quickest, u64, u64)> {
    let mut quickest = Quickest { untraced: f64::INFINITY, traced: f64::INFINITY };
    let (mut hits, mut lost) = (0, 0);
    for _ in 0..rounds {
        quickest.untraced = quickest.untraced.min(look(churn)?);
        let recording = Recording::attach_with(heaptide, churn.pid(), MODE)?;
        quickest.traced = quickest.traced.min(look(churn)?);
        let report = recording.stop()?;
        hits += report.profile.cost.hits;
        lost += report.profile.lost()?;
        let process = report.profile.processes.first().context("the report has no process")?;
        ensure!(process.growth.is_some(), "the report does not tell of growth");
    }
    // Whatever slows the machine down with time must not count for one alone.
    quickest.untraced = quickest.untraced.min(look(churn)?);
    Ok((quickest, hits, lost))
}

fn look(churn: &mut Churn) -> Result<f64> {
    let mut quickest = f64::INFINITY;
    for _ in 0..LOOKS {
        quickest = quickest.min(churn.watch(LOOK)?.nanoseconds);
    }
    Ok(quickest)
}
