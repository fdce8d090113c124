//! What a pair of malloc and free costs, beside the same probes with programs that do nothing: what is left is heaptide's
//! own part, and what the probes cost is the machine's.

use std::path::Path;

use anyhow::{Context as _, Result};
use heaptide_tests::build;

use super::churn::Churn;
use super::figure::Figure;
use super::recording::Recording;
use super::rows::{Phases, mean};

/// How often each is measured, in turns: of these, the middle one counts.
const ROUNDS: usize = 3;

/// What a pair may take, with whole stacks of 16 frames, as a part of what it takes with programs that do nothing.
const MOST: f64 = 1.3;

/// Puts in programs that do nothing.
const EMPTY: &[&str] = &["--empty-programs"];

pub(crate) fn measure(heaptide: &Path, phases: Phases) -> Result<Vec<Figure>> {
    let mut churn = Churn::start(&build::workload("bench_churn")?, 1)?;
    let (mut untraced, mut empty, mut traced) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = churn.watch(phases.untraced)?;
        empty.push(pace(heaptide, &mut churn, EMPTY, phases)?);
        traced.push(pace(heaptide, &mut churn, &[], phases)?);
        untraced.push(mean(before, churn.watch(phases.untraced)?));
    }
    let (untraced, empty, traced) = (median(untraced)?, median(empty)?, median(traced)?);
    Ok(vec![
        Figure::new("untraced", untraced, "ns a pair"),
        Figure::new("empty programs", empty, "ns a pair"),
        Figure::new("traced", traced, "ns a pair"),
        Figure::new("traced / empty programs", traced / empty, "times").at_most(MOST),
    ])
}

/// Nanoseconds a pair while heaptide is attached with these options.
fn pace(heaptide: &Path, churn: &mut Churn, options: &[&str], phases: Phases) -> Result<f64> {
    let recording = Recording::attach_with(heaptide, churn.pid(), options)?;
    let pace = churn.watch(phases.traced)?;
    recording.stop()?;
    Ok(pace.nanoseconds)
}

fn median(mut measured: Vec<f64>) -> Result<f64> {
    measured.sort_by(f64::total_cmp);
    measured.get(measured.len() / 2).copied().context("nothing was measured")
}
