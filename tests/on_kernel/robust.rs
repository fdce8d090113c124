//! Rough treatment: of heaptide, and by its targets.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use heaptide_tests::heaptide::{self, Recording};
use heaptide_tests::program::{Program, Stream};
use heaptide_tests::workload::Workload;
use heaptide_tests::{build, compare};
use nix::sys::signal::Signal;

use crate::loaded::Loaded;

/// A target that allocates on `threads` threads until it is told to stop.
fn busy(threads: u32, options: &[&str]) -> Result<Workload> {
    Workload::run(Command::new(build::workload("busy")?).arg(threads.to_string()).args(options))
}

/// It still does its work, and ends as it should.
fn ends_well(mut target: Workload) -> Result<()> {
    target.tell("stop")?;
    target.hear("done")?;
    ensure!(target.end()?.status.success(), "the target did not end well");
    Ok(())
}

#[test]
fn a_target_killed_under_load_is_reported() -> Result<()> {
    let before = Loaded::now()?;
    let mut workload = Workload::start("reuse", &[])?;
    let pid = workload.pid();
    let recording = Recording::attach(&[pid], &[])?;
    workload.go()?;
    thread::sleep(Duration::from_millis(300));
    workload.signal(Signal::SIGKILL)?;
    let report = recording.end()?;
    ensure!(report.ended.status.code() == Some(0), "{:?}", report.ended);
    let process = report.profile.process(pid, 0).context("the process is not reported")?;
    ensure!(process.end.as_deref() == Some("exited"), "{:?}", process.end);
    let heap = process.sum("heap");
    ensure!(heap.allocated.blocks > 0 && heap.allocated.bytes == heap.freed.bytes + heap.outstanding.bytes, "{heap:?}");
    before.nothing_added()
}

#[test]
fn a_target_that_forks_without_end_is_followed() -> Result<()> {
    let before = Loaded::now()?;
    let target = busy(1, &["forks"])?;
    let pid = target.pid();
    let recording = Recording::attach(&[pid], &["--follow"])?;
    thread::sleep(Duration::from_secs(2));
    let report = recording.stop()?;
    let children = report.profile.processes.iter().filter(|process| process.forked_from == Some(pid));
    let ended = children.filter(|child| child.end.as_deref() == Some("exited")).count();
    ensure!(ended > 5, "{ended} children are reported to have ended");
    ensure!(report.profile.unknown["lost"].values().all(|&lost| lost == 0), "{:?}", report.profile.unknown);
    before.nothing_added()?;
    ends_well(target)
}

#[test]
fn a_thousand_threads_are_recorded() -> Result<()> {
    let target = busy(1000, &[])?;
    let recording = Recording::attach(&[target.pid()], &[])?;
    thread::sleep(Duration::from_secs(2));
    let report = recording.stop()?;
    let process = report.profile.process(target.pid(), 0).context("the process is not reported")?;
    let churned = process.by_site(&["churned"]);
    let churned = churned.get(&("churned".to_owned(), "heap".to_owned())).context("nothing is reported")?;
    // Sixteen blocks a thread are held at one time.
    ensure!(churned.allocated.blocks > 1000 && churned.outstanding.blocks <= 16_000, "{churned:?}");
    ensure!(report.profile.unknown["lost"]["calls"] == 0, "{:?}", report.profile.unknown);
    ends_well(target)
}

#[test]
fn thirty_processes_are_recorded_at_once() -> Result<()> {
    let before = Loaded::now()?;
    let mut workloads = (0..30).map(|_| Workload::start("realloc", &[])).collect::<Result<Vec<_>>>()?;
    let pids: Vec<u32> = workloads.iter().map(Workload::pid).collect();
    let recording = Recording::attach(&pids, &[])?;
    let mut accounts = Vec::new();
    for workload in &mut workloads {
        workload.go()?;
        accounts.extend(workload.done()?);
    }
    let report = recording.stop()?;
    compare::same("thirty processes", &accounts, &report.profile)?;
    ensure!(report.profile.processes.len() == pids.len(), "{} are reported", report.profile.processes.len());
    before.nothing_added()
}

/// heaptide, under a shell's limit of open files.
fn limited(files: u32, arguments: &[&str]) -> Result<Program> {
    let script = format!("ulimit -n {files} && exec \"$@\"");
    Program::start(Command::new("sh").args(["-c", &script, "sh"]).arg(heaptide::program()?).args(arguments))
}

#[test]
fn few_open_files_are_enough_or_the_limit_is_named() -> Result<()> {
    let before = Loaded::now()?;
    let mut workload = Workload::start("realloc", &[])?;
    let pid = workload.pid().to_string();
    let mut recording = limited(64, &["record", "-p", &pid])?;
    let attached = recording.hear(Stream::Err, "line that it is attached", |line| line.starts_with("attached to PID "));
    if attached.is_ok() {
        workload.go()?;
        workload.done()?;
        recording.signal(Signal::SIGINT)?;
        let ended = recording.end()?;
        ensure!(ended.status.code() == Some(0), "{ended:?}");
    } else {
        let ended = recording.end()?;
        ensure!(ended.status.code() == Some(1) && ended.err.len() == 1, "{ended:?}");
        ensure!(ended.err[0].contains("open files"), "{ended:?}");
    }
    before.nothing_added()
}

#[test]
fn a_limit_of_open_files_that_is_too_small_is_told() -> Result<()> {
    let before = Loaded::now()?;
    let workload = Workload::start("realloc", &[])?;
    let ended = limited(16, &["record", "-d", "1s", "-p", &workload.pid().to_string()])?.end()?;
    ensure!(ended.status.code() == Some(1) && ended.err.len() == 1, "{ended:?}");
    ensure!(ended.err[0].starts_with("heaptide: ") && ended.err[0].contains("open files"), "{ended:?}");
    before.nothing_added()
}

#[test]
fn a_target_outlasts_ten_recordings() -> Result<()> {
    let before = Loaded::now()?;
    let target = busy(2, &[])?;
    let files = || Ok::<_, anyhow::Error>(fs::read_dir(format!("/proc/{}/fd", target.pid()))?.count());
    let held = files()?;
    for _ in 0..10 {
        let report = Recording::attach(&[target.pid()], &["-d", "200ms"])?.end()?;
        ensure!(report.ended.status.code() == Some(0), "{:?}", report.ended);
        let process = report.profile.process(target.pid(), 0).context("the process is not reported")?;
        ensure!(process.sum("heap").allocated.blocks > 0, "nothing was recorded");
    }
    before.nothing_added()?;
    ensure!(files()? == held, "the target holds {} files open, {held} before", files()?);
    ends_well(target)
}
