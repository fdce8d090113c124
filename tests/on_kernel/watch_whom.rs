//! Whom `heaptide watch` watches: processes by name, those that begin later, and workers that are there already.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use heaptide_tests::watch::{self, Watch, number};
use heaptide_tests::workload::Workload;
use heaptide_tests::{build, heaptide};
use serde_json::Value;
use tempfile::TempDir;

use super::watch::resting;

/// A copy of the workload under a name that nobody else has.
fn copy(folder: &TempDir) -> Result<(PathBuf, String)> {
    let name = format!("obeys-{}", std::process::id() % 100_000);
    let path = folder.path().join(&name);
    fs::copy(build::workload("obeys")?, &path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok((path, name))
}

fn run(program: &Path) -> Result<Workload> {
    let mut workload = Workload::run(Command::new(program).arg("wait"))?;
    workload.go()?;
    workload.order("rest")?;
    Ok(workload)
}

fn has(interval: &Value, pid: u32) -> bool {
    watch::process(interval, pid).is_ok()
}

#[test]
fn a_service_is_watched_by_its_name_also_after_it_was_restarted() -> Result<()> {
    let folder = TempDir::new()?;
    let (program, name) = copy(&folder)?;
    let (first, second) = (run(&program)?, run(&program)?);
    let mut watch = Watch::start(["--name", &name])?;
    let both =
        watch.interval("both processes", |interval| has(interval, first.pid()) && has(interval, second.pid()))?;
    ensure!(both["processes"].as_array().is_some_and(|all| all.len() == 2), "{both}");

    // One that begins later, and then the others end.
    let mut third = run(&program)?;
    watch.interval("the third process", |interval| has(interval, third.pid()))?;
    let ended = [first.pid(), second.pid()];
    first.end()?;
    second.end()?;
    watch.interval("the third alone", |interval| has(interval, third.pid()) && !has(interval, ended[0]))?;
    third.order("hold alpha 10 1000")?;
    let interval = watch.fresh_interval()?;
    ensure!(number(watch::process(&interval, third.pid())?, "outstanding_bytes")? == 10_000, "{interval}");

    // Nobody is left for a while: the watch goes on.
    let pid = third.pid();
    third.end()?;
    let mut fourth = run(&program)?;
    ensure!(fourth.pid() != pid, "a number was used twice");
    watch.interval("the fourth process", |interval| has(interval, fourth.pid()))?;
    fourth.order("hold beta 7 500")?;
    let interval = watch.fresh_interval()?;
    ensure!(number(watch::process(&interval, fourth.pid())?, "outstanding_bytes")? == 3500, "{interval}");
    let watched = watch.stop()?;
    let all = watched.conclusion()?["processes"].as_array().context("no processes")?.len();
    ensure!(all == 4, "{:?}", watched.conclusion());
    Ok(())
}

#[test]
fn a_name_that_nobody_has_is_an_error_in_a_line() -> Result<()> {
    let ended = heaptide::run(["watch", "--name", "no-such-service"])?;
    let said = ended.err.join("\n");
    ensure!(ended.status.code() == Some(1) && ended.err.len() == 1, "{said}");
    ensure!(said.contains("no process is called no-such-service"), "{said}");
    Ok(())
}

#[test]
fn workers_that_are_there_already_are_a_family() -> Result<()> {
    let mut workload = resting()?;
    workload.tell("workers 3")?;
    let mut pids = vec![workload.pid()];
    for _ in 0..3 {
        pids.push(workload.hear("worker ")?.parse()?);
    }
    workload.hear("done")?;
    let mut watch = Watch::attach(&[workload.pid()], &["--follow"])?;
    let all = watch.interval("all workers", |interval| pids.iter().all(|&pid| has(interval, pid)))?;
    let sum = |name: &str| pids.iter().map(|&pid| number(watch::process(&all, pid)?, name)).sum::<Result<u64>>();
    let (rss, pss, uss) = (sum("rss")?, sum("pss")?, sum("uss")?);
    // Each has the 4 MiB of its parent, which are there once.
    ensure!(uss < pss && pss + (8 << 20) < rss, "{rss} {pss} {uss}: {all}");
    ensure!(number(&all, "rss")? == pss && number(&all, "shared")? > 3 << 20, "{all}");

    workload.order("work")?;
    let interval = watch.fresh_interval()?;
    // 50 blocks of 3000 bytes and more, as the workload has it.
    let expected: u64 = (0..50).map(|block| 3000 + block).sum();
    for &pid in &pids[1..] {
        let process = watch::process(&interval, pid)?;
        ensure!(number(process, "outstanding_bytes")? == expected, "{process}");
    }
    ensure!(number(&interval, "outstanding_bytes")? == 3 * expected, "{interval}");
    watch.stop()?;
    Ok(())
}
