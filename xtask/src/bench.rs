//! `cargo xtask bench`: what tracing costs the target, and heaptide itself.
//!
//! A row is a program of `tests/workloads` or of [`stacks`], run with nothing attached and with heaptide attached, in
//! one process: so the two are compared on the same machine at the same time. What each figure means is told in
//! `docs/benchmark.md`.

mod bpftrace;
mod churn;
mod compiler;
mod depth;
mod figure;
mod growth;
mod live;
pub(crate) mod machine;
mod over_time;
mod pair;
mod paper;
mod programs;
mod recording;
mod rows;
mod sampled;
mod stacks;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};

use self::figure::{Bench, Figure, Outcome, Row};
use self::machine::Machine;
use self::rows::Phases;
use crate::plan::Needs;
use crate::workspace::Workspace;
use crate::{build, process, setup};

#[derive(Args)]
pub(crate) struct Options {
    /// Writes the figures as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A tenth of the live blocks, and shorter phases
    #[arg(long)]
    quick: bool,
    /// Only this row; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<Name>,
}

/// The rows, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    Churn1,
    Churn2,
    Pair,
    Sampled,
    Growth,
    Live,
    Report,
    Depth,
    Compiler,
    Tables,
    OverTime,
    Bpftrace,
    Programs,
}

/// Measures, and prints the table. Fails when something could not be measured, but not when a reach was missed: whether
/// that is the code's fault or the machine's, the table's reader decides.
pub(crate) fn run(options: &Options, workspace: &Workspace) -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "the bench attaches to processes, which needs root");
    build::build(&setup::run(Needs::Test)?, workspace)?;

    let mut bench = Bench::new(Machine::look()?, options.quick);
    for name in Name::value_variants().iter().filter(|name| options.only.is_empty() || options.only.contains(name)) {
        let what = name.what(options.quick);
        process::say(&format!("bench: {what}"));
        let outcome = name.measure(options.quick, workspace);
        bench.rows.push(Row { name: name.name(), what, outcome });
    }

    process::conclude(&paper::table(&bench))?;
    if let Some(path) = &options.json {
        write(path, &bench)?;
    }
    let failed = bench.failed();
    ensure!(failed.is_empty(), "could not be measured: {}", failed.join(", "));
    Ok(())
}

fn write(path: &Path, bench: &Bench) -> Result<()> {
    let mut text = serde_json::to_string_pretty(bench).context("cannot write figures as JSON")?;
    text.push('\n');
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

impl Name {
    fn name(self) -> &'static str {
        match self {
            Self::Churn1 => "churn1",
            Self::Churn2 => "churn2",
            Self::Pair => "pair",
            Self::Sampled => "sampled",
            Self::Growth => "growth",
            Self::Live => "live",
            Self::Report => "report",
            Self::Depth => "depth",
            Self::Compiler => "compiler",
            Self::Tables => "tables",
            Self::OverTime => "over-time",
            Self::Bpftrace => "bpftrace",
            Self::Programs => "programs",
        }
    }

    /// What it does, in words.
    fn what(self, quick: bool) -> String {
        match self {
            Self::Churn1 => "malloc and free at full speed on one thread".to_owned(),
            Self::Churn2 => "malloc and free at full speed on two threads".to_owned(),
            Self::Pair => "a pair of malloc and free, beside programs that do nothing".to_owned(),
            Self::Sampled => format!("churn1 with --sample {}", sampled::INTERVAL),
            Self::Growth => "malloc and free, and page faults, with --mode growth".to_owned(),
            Self::Live => {
                let millions: Vec<String> =
                    live::sizes(quick).iter().map(|blocks| format!("{}", blocks / 1_000_000)).collect();
                format!("10 thousand and {} million live blocks", millions.join(" and "))
            }
            Self::Report => format!("text, folded and JSON reports of {} distinct stacks", stacks::COUNT),
            Self::Depth => "malloc and free at 4, 16, 60 and 200 frames, by CFI and by bpf_get_stack".to_owned(),
            Self::Compiler => "clang compiling a large C++ file, with and without stacks".to_owned(),
            Self::Tables => format!("attaching to a process with {} libraries mapped", tables::LIBRARIES),
            Self::OverTime => "memory of 100,000 stacks over time, and the verdicts on it".to_owned(),
            Self::Bpftrace => "churn1 under bpftrace with three probes, and under heaptide".to_owned(),
            Self::Programs => "what is left of the speed of real programs, under heaptide and others".to_owned(),
        }
    }

    fn measure(self, quick: bool, workspace: &Workspace) -> Outcome {
        let heaptide = workspace.program();
        let measured = match self {
            Self::Churn1 => rows::churn(&heaptide, 1, phases(quick)),
            Self::Churn2 => rows::churn(&heaptide, 2, phases(quick)),
            Self::Pair => pair::measure(&heaptide, phases(quick)),
            Self::Sampled => sampled::measure(&heaptide, phases(quick)),
            Self::Growth => growth::measure(&heaptide, quick),
            Self::OverTime => over_time::measure(&heaptide, quick),
            Self::Live => live::measure(&heaptide, live::sizes(quick)),
            Self::Report => rows::report(&heaptide, &workspace.demo().with_file_name("bench")),
            Self::Depth => depth::measure(&heaptide, quick),
            Self::Compiler => match compiler::find() {
                Ok(()) => compiler::measure(&heaptide, quick),
                Err(reason) => return Outcome::Skipped(format!("{reason:#}")),
            },
            Self::Tables => tables::measure(&heaptide),
            Self::Bpftrace => match bpftrace::find() {
                Ok(()) => bpftrace::churn(&heaptide, phases(quick)),
                Err(reason) => return Outcome::Skipped(format!("{reason:#}")),
            },
            Self::Programs => match programs::find() {
                Ok(()) => programs::measure(&heaptide),
                Err(reason) => return Outcome::Skipped(format!("{reason:#}")),
            },
        };
        outcome(measured)
    }
}

fn outcome(measured: Result<Vec<Figure>>) -> Outcome {
    match measured {
        Ok(figures) => Outcome::Figures(figures),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

fn phases(quick: bool) -> Phases {
    let [untraced, traced] = if quick { [1, 3] } else { [3, 8] }.map(Duration::from_secs);
    Phases { untraced, traced }
}
