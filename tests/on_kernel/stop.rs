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
