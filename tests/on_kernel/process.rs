//! Forks, execs and ends.

use anyhow::{Context, Result, ensure};
use heaptide_tests::heaptide::{self, Recording, Report};
use heaptide_tests::program::Stream;
use heaptide_tests::workload::Workload;
use heaptide_tests::{build, compare, truth};

fn forked(options: &[&str]) -> Result<(Vec<truth::Account>, Report)> {
    let mut workload = Workload::start("fork", &[])?;
    let recording = Recording::attach(&[workload.pid()], options)?;
    workload.go()?;
    let accounts = workload.done()?;
    ensure!(accounts.len() == 2, "two accounts are wanted: {accounts:?}");
    Ok((accounts, recording.stop()?))
}

#[test]
fn a_followed_child_starts_with_the_blocks_of_its_parent() -> Result<()> {
    // Probes can reach the child of a process that was attached to only when it runs already: this one waits for them.
    let mut workload = Workload::start("fork", &["hold"])?;
    let mut recording = Recording::attach(&[workload.pid()], &["--follow"])?;
    workload.go()?;
    let pid = workload.hear("forked ")?;
    let attached = format!("attached to PID {pid}: ");
    recording.program().hear(Stream::Err, &attached, |line| line.starts_with(&attached))?;
    workload.tell("go")?;
    let accounts = workload.done()?;
    ensure!(accounts.len() == 2, "two accounts are wanted: {accounts:?}");
    let report = recording.stop()?;
    ensure!(report.profile.unknown["unmatched"]["late_processes"] >= 1, "{:?}", report.profile.unknown);
    compare::same("fork", &accounts, &report.profile)?;
    let parent = accounts.iter().find(|account| account.role == "parent").context("no parent")?;
    let child = accounts.iter().find(|account| account.role == "child").context("no child")?;
    let reported = report.profile.process(child.pid, child.generation).context("the child is not reported")?;
    ensure!(reported.forked_from == Some(parent.pid), "{:?}", reported.forked_from);
    ensure!(reported.end.as_deref() == Some("exited"), "{:?}", reported.end);
    Ok(())
}

#[test]
fn a_child_that_is_not_followed_changes_nothing_in_its_parent() -> Result<()> {
    let (mut accounts, report) = forked(&[])?;
    accounts.retain(|account| account.role == "parent");
    compare::same("fork, parent only", &accounts, &report.profile)?;
    ensure!(report.profile.processes.len() == 1, "{} processes are reported", report.profile.processes.len());
    Ok(())
}

#[test]
fn a_child_is_followed_from_the_start() -> Result<()> {
    let report = Recording::command("fork", &[], &["--follow"])?.end()?;
    let accounts = truth::parse(report.ended.out.iter().map(String::as_str))?;
    ensure!(accounts.len() == 2, "two accounts are wanted: {accounts:?}");
    compare::same("fork, from its start", &accounts, &report.profile)
}

#[test]
fn an_exec_ends_one_account_and_begins_another() -> Result<()> {
    let mut workload = Workload::start("exec", &[])?;
    let recording = Recording::attach(&[workload.pid()], &[])?;
    workload.go()?;
    let accounts = workload.done()?;
    let report = recording.stop()?;
    compare::same("exec", &accounts, &report.profile)?;
    let replaced = report.profile.process(workload.pid(), 0).context("the first program is not reported")?;
    ensure!(replaced.end.as_deref() == Some("replaced"), "{:?}", replaced.end);
    Ok(())
}

#[test]
fn an_exec_is_seen_from_the_start() -> Result<()> {
    let report = Recording::command("exec", &[], &[])?.end()?;
    let accounts = truth::parse(report.ended.out.iter().map(String::as_str))?;
    compare::same("exec, from its start", &accounts, &report.profile)
}

/// The target's end ends the recording; the report is whole, with the names of its functions.
fn ended_by(way: &[&str]) -> Result<()> {
    let mut workload = Workload::start("exits", way)?;
    let pid = workload.pid();
    let recording = Recording::attach(&[pid], &[])?;
    workload.go()?;
    let ended = workload.end()?;
    let report = recording.end()?;
    ensure!(report.ended.status.code() == Some(0), "{:?}", report.ended);
    let accounts = truth::parse(ended.out.iter().map(String::as_str))?;
    compare::same(&format!("exits {way:?}"), &accounts, &report.profile)?;
    let process = report.profile.process(pid, 0).context("the process is not reported")?;
    ensure!(process.end.as_deref() == Some("exited"), "{:?}", process.end);
    let text = report.ended.out.join("\n");
    ensure!(text.contains("222500 bytes in 5000 allocations from stack"), "{text}");
    ensure!(text.contains("last_block"), "{text}");
    Ok(())
}

#[test]
fn a_target_that_returns_from_main_is_reported_whole() -> Result<()> {
    ended_by(&[])
}

#[test]
fn a_target_that_exits_at_once_is_reported_whole() -> Result<()> {
    ended_by(&["_exit"])
}

#[test]
fn a_target_that_aborts_is_reported_whole() -> Result<()> {
    ended_by(&["abort"])
}

#[test]
fn a_target_that_is_killed_is_reported_whole() -> Result<()> {
    ended_by(&["kill"])
}

fn passed_on(way: &[&str], code: i32) -> Result<()> {
    let report = Recording::command("exits", way, &[])?.end()?;
    ensure!(report.ended.status.code() == Some(code), "{code} is wanted: {:?}", report.ended);
    let accounts = truth::parse(report.ended.out.iter().map(String::as_str))?;
    compare::same(&format!("exits {way:?}, from its start"), &accounts, &report.profile)
}

#[test]
fn the_exit_code_of_the_command_is_passed_on() -> Result<()> {
    passed_on(&["exit"], 7)?;
    passed_on(&["_exit"], 8)
}

#[test]
fn the_signal_that_ended_the_command_is_passed_on() -> Result<()> {
    passed_on(&["abort"], 128 + 6)?;
    passed_on(&["kill"], 128 + 9)
}

#[test]
fn a_command_that_does_not_exist_is_127() -> Result<()> {
    let ended = heaptide::run(["record", "--", "/nonexistent/program"])?;
    ensure!(ended.status.code() == Some(127), "{ended:?}");
    ensure!(ended.err.len() == 1 && ended.err[0].starts_with("heaptide: "), "{ended:?}");
    Ok(())
}

#[test]
fn a_command_that_cannot_be_executed_is_126() -> Result<()> {
    let program = build::workload("exits")?;
    let folder = program.parent().context("a program is in a folder")?;
    let ended = heaptide::run(["record".as_ref(), "--".as_ref(), folder.as_os_str()])?;
    ensure!(ended.status.code() == Some(126), "{ended:?}");
    ensure!(ended.err.len() == 1 && ended.err[0].starts_with("heaptide: "), "{ended:?}");
    Ok(())
}
