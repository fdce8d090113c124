//! `cargo xtask verdicts`: what heaptide says of real programs of known kinds, by many seeds.
//!
//! A batch is a program of each kind, all at once, by one seed, watched for half a minute. What comes of them goes into
//! `docs/verdicts-measured.md` ([`page`]), when all kinds ran.

mod page;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use heaptide_tests::kinds::{KINDS, Kind};
use heaptide_tests::verdicts::{self, Outcome};

use self::page::Measured;
use crate::bench::machine::Machine;
use crate::plan::Needs;
use crate::workspace::Workspace;
use crate::{build, process, setup};

/// Where the page lies.
const PAGE: &str = "docs/verdicts-measured.md";

/// Of the verdicts so many must be exactly right.
const RIGHT: f64 = 0.95;

#[derive(Args)]
pub(crate) struct Options {
    /// How many programs of each kind: a batch of half a minute each
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed; those before 21 were looked at while rules were made
    #[arg(long, value_name = "N", default_value_t = 21)]
    first: u64,
    /// Only this kind; may be repeated
    #[arg(long, value_name = "NAME", value_parser = names())]
    kind: Vec<String>,
}

fn names() -> clap::builder::PossibleValuesParser {
    KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().into()
}

/// Runs all batches, and prints the tables. Fails when a verdict was wrong, a leak was looked for in the wrong place, or too
/// few verdicts were right.
pub(crate) fn run(options: &Options, workspace: &Workspace) -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "verdicts are measured by attaching to processes, which needs root");
    build::build(&setup::run(Needs::Build)?, workspace)?;
    let kinds: Vec<&'static Kind> = KINDS.iter().filter(|kind| options.wants(kind)).collect();
    let mut measured = Measured { machine: Machine::look()?, outcomes: Vec::new() };
    for seed in options.first..options.first.saturating_add(options.seeds) {
        let outcomes = verdicts::watch(&kinds, seed).with_context(|| format!("seed {seed}"))?;
        say(seed, &outcomes);
        measured.outcomes.extend(outcomes);
    }
    process::conclude(&measured.table())?;
    if options.kind.is_empty() {
        let page = Path::new(PAGE);
        fs::write(page, measured.page()).with_context(|| format!("cannot write {}", page.display()))?;
    }
    let faults = measured.faults();
    ensure!(faults.is_empty(), "not as they must be:\n{}", faults.join("\n"));
    let right = verdicts::right(&measured.outcomes);
    ensure!(right >= RIGHT, "only {:.1} % of the verdicts are right", 100.0 * right);
    let found = measured.found();
    ensure!(found >= RIGHT, "only {:.1} % of the leaks are found where they are", 100.0 * found);
    Ok(())
}

/// What a batch came to, and each of its verdicts that is not right.
fn say(seed: u64, outcomes: &[Outcome]) {
    process::say(&format!("verdicts: seed {seed}: {:.1} % right", 100.0 * verdicts::right(outcomes)));
    for outcome in outcomes.iter().filter(|outcome| !outcome.is_right() || outcome.fault().is_some()) {
        if outcome.label.is_counted || outcome.fault().is_some() {
            process::say(&outcome.line());
        }
    }
}

impl Options {
    fn wants(&self, kind: &Kind) -> bool {
        self.kind.is_empty() || self.kind.iter().any(|name| name == kind.name)
    }
}
