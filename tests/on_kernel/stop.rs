//! The ways to end a recording, and its other reports.

use std::fs;

use anyhow::{Context, Result, ensure};
use heaptide_tests::compare;
use heaptide_tests::heaptide::Recording;
use heaptide_tests::workload::Workload;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::loaded::Loaded;

#[test]
fn a_stopped_recording_leaves_nothing_behind() -> Result<()> {
    let before = Loaded::now()?;
    let mut workload = Workload::start("middle", &[])?;
    let recording = Recording::attach(&[workload.pid()], &[])?;
    ensure!(before.added()? > 0, "an attached recording is not seen among the loaded programs");
    workload.go()?;
    workload.done()?;
    recording.stop()?;
    before.nothing_added()?;
    ensure!(workload.end()?.status.success(), "the target did not end well");
    Ok(())
}

#[test]
fn a_termination_signal_ends_with_a_report() -> Result<()> {
    let mut workload = Workload::start("middle", &[])?;
    let recording = Recording::attach(&[workload.pid()], &[])?;
    workload.go()?;
    let accounts = workload.done()?;
    let report = recording.stop_by(Signal::SIGTERM)?;
    compare::same("middle, ended by SIGTERM", &accounts, &report.profile)
}

#[test]
fn a_duration_ends_with_a_report() -> Result<()> {
    let mut workload = Workload::start("middle", &[])?;
    let recording = Recording::attach(&[workload.pid()], &["-d", "2s"])?;
    workload.go()?;
    let accounts = workload.done()?;
    let report = recording.end()?;
    ensure!(report.ended.status.code() == Some(0), "{:?}", report.ended);
    compare::same("middle, for two seconds", &accounts, &report.profile)
}

#[test]
fn a_second_recording_starts_from_nothing() -> Result<()> {
    let mut workload = Workload::start("functions", &[])?;
    let first = Recording::attach(&[workload.pid()], &[])?.stop()?;
    let process = first.profile.process(workload.pid(), 0).context("the process is not reported")?;
    ensure!(process.stacks.is_empty(), "the waiting workload allocates nothing: {:?}", process.stacks);

    let second = Recording::attach(&[workload.pid()], &[])?;
    workload.go()?;
    let accounts = workload.done()?;
    compare::same("functions, recorded twice", &accounts, &second.stop()?.profile)
}

#[test]
fn two_recordings_of_one_process_agree() -> Result<()> {
    let mut workload = Workload::start("realloc", &[])?;
    let first = Recording::attach(&[workload.pid()], &[])?;
    let second = Recording::attach(&[workload.pid()], &[])?;
    workload.go()?;
    let accounts = workload.done()?;
    compare::same("realloc, the first of two", &accounts, &first.stop()?.profile)?;
    compare::same("realloc, the second of two", &accounts, &second.stop()?.profile)
}

#[test]
fn folded_stacks_hold_the_outstanding_bytes() -> Result<()> {
    let folder = TempDir::new()?;
    let path = folder.path().join("stacks");
    let mut workload = Workload::start("functions", &[])?;
    let options = ["--folded", path.to_str().context("a temporary path is text")?];
    let recording = Recording::attach(&[workload.pid()], &options)?;
    workload.go()?;
    let accounts = workload.done()?;
    recording.stop()?;

    let text = fs::read_to_string(&path).context("no folded stacks were written")?;
    for site in &accounts[0].sites {
        let lines = text.lines().filter(|line| line.split([';', ' ']).any(|frame| frame == site.function));
        let bytes = lines.map(|line| line.rsplit(' ').next().unwrap_or("").parse::<u64>());
        let bytes: u64 = bytes.sum::<Result<_, _>>().with_context(|| format!("not a number:\n{text}"))?;
        ensure!(Some(bytes) == site.numbers[4], "{site:?}: {bytes} in\n{text}");
    }
    Ok(())
}

#[test]
fn what_the_size_limits_refuse_is_counted() -> Result<()> {
    let mut workload = Workload::start("functions", &[])?;
    let recording = Recording::attach(&[workload.pid()], &["--min-size", "1000", "--max-size", "200000"])?;
    workload.go()?;
    let accounts = workload.done()?;
    let profile = recording.stop()?.profile;
    let sites = profile.process(workload.pid(), 0).context("the process is not reported")?.by_site(&["by_malloc"]);

    // Twenty rounds of the seven sizes within the limits.
    let within = [1000_u64, 1032, 4096, 10_000, 65_536, 131_072, 200_000];
    let by_malloc = sites[&("by_malloc".to_owned(), "heap".to_owned())].allocated;
    ensure!((by_malloc.bytes, by_malloc.blocks) == (20 * within.iter().sum::<u64>(), 140), "{by_malloc:?}");

    // What is not reported was refused, and nothing else was.
    let of_all = |number: usize| accounts[0].sites.iter().filter_map(|site| site.numbers[number]).sum::<u64>();
    let heap = sites.iter().filter(|((_, memory), _)| memory == "heap").map(|(_, totals)| totals.allocated);
    let reported = heap.fold((0, 0), |sum, usage| (sum.0 + usage.bytes, sum.1 + usage.blocks));
    let refused = &profile.unknown["refused"];
    ensure!(reported.0 + refused["by_size_bytes"] == of_all(0), "{reported:?} {refused:?}");
    ensure!(reported.1 + refused["by_size"] == of_all(1), "{reported:?} {refused:?}");
    Ok(())
}
