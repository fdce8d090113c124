//! The limit of a control group, and when it is reached.

use std::fs;

use anyhow::{Context, Result, ensure};
use heaptide_tests::group::Group;
use heaptide_tests::watch::{self, Watch, number};
use serde_json::Value;
use tempfile::TempDir;

use super::watch::{leaking, resting};

const MIB: u64 = 1 << 20;

/// The limit that an interval tells of a process.
fn limit(interval: &Value, pid: u32) -> Result<&Value> {
    Ok(&watch::process(interval, pid)?["limit"])
}

#[test]
fn a_groups_limit_is_the_one_that_its_process_reaches() -> Result<()> {
    let group = Group::with_limit(64 * MIB)?;
    let mut workload = resting()?;
    let pid = workload.pid();
    group.take(pid)?;
    let mut watch = Watch::attach(&[pid], &[])?;
    let interval = watch.fresh_interval()?;
    let told = limit(&interval, pid)?;
    ensure!(told["whose"] == "control_group" && number(told, "bytes")? == 64 * MIB, "{interval}");
    let before = number(told, "used")?;

    workload.order("hold alpha 200 100000")?;
    // Some of it lies where the process had touched memory before.
    let has_grown = |interval: &Value| {
        let used = limit(interval, pid).and_then(|limit| number(limit, "used"));
        used.is_ok_and(|used| used >= before + 19_000_000)
    };
    let interval = watch.interval("use that has grown by what is held", has_grown)?;
    let (told, used) = (number(limit(&interval, pid)?, "used")?, group.used()?);
    // The kernel counts in portions for each processor.
    ensure!(told.abs_diff(used) <= 2 * MIB, "{told} bytes are told to be in use, and the group says {used}");

    group.limit(48 * MIB)?;
    let is_less = |interval: &Value| limit(interval, pid).is_ok_and(|limit| limit["bytes"] == 48 * MIB);
    watch.interval("another limit", is_less)?;
    watch.stop()?;
    Ok(())
}

#[test]
fn it_is_told_when_a_leak_reaches_its_groups_limit() -> Result<()> {
    let (group, folder) = (Group::with_limit(64 * MIB)?, TempDir::new()?);
    let workload = leaking()?;
    group.take(workload.pid())?;
    let facts = folder.path().join("facts");
    let command = format!("env | grep ^HEAPTIDE_LIMIT > {}", facts.display());
    let options = ["--for", "12s", "--when", "cgroup>2%limit", &command];
    let watched = Watch::attach(&[workload.pid()], &options)?.end()?;
    let used = group.used()?;
    let conclusion = watched.conclusion()?;
    let value = |name: &str| conclusion[name].as_f64().with_context(|| format!("no {name}: {conclusion}"));
    let (seconds, growth) = (value("seconds_to_limit")?, value("growth_bytes_per_second")?);
    let wanted = f64::from(u32::try_from(64 * MIB - used)?) / growth;
    ensure!(conclusion["verdict"] == "growing", "{conclusion}");
    ensure!((0.8 * wanted..=1.25 * wanted).contains(&seconds), "in {seconds} s; {used} bytes are used: in {wanted} s");
    let said = conclusion["explanation"].as_str().context("no explanation")?;
    ensure!(said.contains(" The limit of 64 MiB is reached in about "), "{said}");

    let facts = fs::read_to_string(facts).context("the command was not run")?;
    let has = |line: String| facts.lines().any(|fact| fact == line);
    ensure!(has("HEAPTIDE_LIMIT_OF=cgroup".to_owned()) && has(format!("HEAPTIDE_LIMIT_BYTES={}", 64 * MIB)), "{facts}");
    Ok(())
}
