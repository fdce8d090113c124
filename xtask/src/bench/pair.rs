//! What a pair of malloc and free costs, beside the same probes with programs that do nothing: what is left is heaptide's
//! own part, and what the probes cost is the machine's.

use std::path::Path;

use anyhow::{Context as _, Result};
use heaptide_tests::build;

use super::churn::Churn;
use super::figure::Figure;
use super::recording::Recording;
use super::rows::{Phases, mean};
use super::sampled::INTERVAL;

/// How often each is measured, in turns: of these, the middle one counts.
const ROUNDS: usize = 3;

/// What a pair may take, with whole stacks of 16 frames, as a part of what it takes with programs that do nothing.
const MOST: f64 = 1.3;

/// The same with sampling, when hardly a block is recorded.
const MOST_SAMPLED: f64 = 1.1;

/// What a pair may take on each of two processors, as a part of what it takes on one.
const MOST_ON_TWO: f64 = 1.15;

/// Puts in programs that do nothing.
const EMPTY: &[&str] = &["--empty-programs"];

pub(crate) fn measure(heaptide: &Path, phases: Phases) -> Result<Vec<Figure>> {
    let program = build::workload("bench_churn")?;
    let mut one = Churn::start(&program, 1)?;
    let (mut untraced, mut empty, mut traced) = (Vec::new(), Vec::new(), Vec::new());
    let (mut sampled, mut on_two) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = one.watch(phases.untraced)?;
        empty.push(pace(heaptide, &mut one, EMPTY, phases)?);
        traced.push(pace(heaptide, &mut one, &[], phases)?);
        sampled.push(pace(heaptide, &mut one, &["--sample", INTERVAL], phases)?);
        untraced.push(mean(before, one.watch(phases.untraced)?));
    }
    // The one would take its part of the processors of two more.
    drop(one);
    let mut two = Churn::start(&program, 2)?;
    for _ in 0..ROUNDS {
        on_two.push(pace(heaptide, &mut two, &[], phases)?);
    }
    let (untraced, empty, traced) = (median(untraced)?, median(empty)?, median(traced)?);
    let (sampled, on_two) = (median(sampled)?, median(on_two)?);
    Ok(vec![
        Figure::new("untraced", untraced, "ns a pair"),
        Figure::new("empty programs", empty, "ns a pair"),
        Figure::new("traced", traced, "ns a pair"),
        Figure::new("sampled", sampled, "ns a pair"),
        Figure::new("traced, on two processors", on_two, "ns a pair"),
        Figure::new("traced / empty programs", traced / empty, "times").at_most(MOST),
        Figure::new("sampled / empty programs", sampled / empty, "times").at_most(MOST_SAMPLED),
        Figure::new("on two processors / on one", on_two / traced, "times").at_most(MOST_ON_TWO),
    ])
}

/// Nanoseconds a pair while heaptide is attached with these options.
pub(super) fn pace(heaptide: &Path, churn: &mut Churn, options: &[&str], phases: Phases) -> Result<f64> {
    let recording = Recording::attach_with(heaptide, churn.pid(), options)?;
    let pace = churn.watch(phases.traced)?;
    recording.stop()?;
    Ok(pace.nanoseconds)
}

fn median(mut measured: Vec<f64>) -> Result<f64> {
    measured.sort_by(f64::total_cmp);
    measured.get(measured.len() / 2).copied().context("nothing was measured")
}
