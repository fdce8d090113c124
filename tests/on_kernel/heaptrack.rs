//! heaptide and heaptrack agree on what a program never freed.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use heaptide_tests::build;
use heaptide_tests::heaptide::Recording;
use heaptide_tests::program::Program;
use heaptide_tests::truth::{self, Account};
use tempfile::TempDir;

/// Sites whose function heaptrack 1.4 does not hook.
const UNKNOWN_TO_HEAPTRACK: [&str; 2] = ["by_memalign", "by_pvalloc"];

/// The bytes that heaptrack reports as leaked, by function, for each of `sites`; and the account of that run.
fn by_heaptrack(name: &str) -> Result<(BTreeMap<String, u64>, Vec<Account>)> {
    let folder = TempDir::new()?;
    let data = folder.path().join("data");
    let ended = Program::start(Command::new("heaptrack").arg("-o").arg(&data).arg(build::workload(name)?))?.end()?;
    ensure!(ended.status.success(), "heaptrack failed: {ended:?}");
    let accounts = truth::parse(ended.out.iter().map(String::as_str))?;
    let data = fs::read_dir(folder.path())?.flatten().next().context("heaptrack wrote nothing")?.path();

    let stacks = folder.path().join("stacks");
    let mut print = Command::new("heaptrack_print");
    print.arg("-f").arg(data).args(["--flamegraph-cost-type", "leaked", "-F"]).arg(&stacks);
    let ended = Program::start(&mut print)?.end()?;
    ensure!(ended.status.success(), "heaptrack_print failed: {ended:?}");

    // `main (file.c);site (file.c); 420480`
    let mut leaked = BTreeMap::new();
    for line in fs::read_to_string(&stacks)?.lines() {
        let (frames, bytes) = line.rsplit_once(' ').with_context(|| format!("no number in {line:?}"))?;
        let bytes: u64 = bytes.parse().with_context(|| format!("no number in {line:?}"))?;
        let leaf = frames.trim_end_matches(';').rsplit(';').next().unwrap_or("");
        *leaked.entry(leaf.split(" (").next().unwrap_or("").to_owned()).or_default() += bytes;
    }
    Ok((leaked, accounts))
}

#[test]
fn heaptrack_finds_the_same_bytes_at_the_same_functions() -> Result<()> {
    let (leaked, accounts) = by_heaptrack("functions")?;
    let report = Recording::command("functions", &[], &[])?.end()?;
    let process = report.profile.processes.first().context("no process is reported")?;
    let sites: Vec<&str> = accounts[0].sites.iter().map(|site| site.function.as_str()).collect();
    let reported = process.by_site(&sites);
    ensure!(sites.len() > UNKNOWN_TO_HEAPTRACK.len(), "no sites");
    for site in sites {
        let heaptide = reported.get(&(site.to_owned(), "heap".to_owned())).map(|totals| totals.outstanding.bytes);
        let heaptrack = leaked.get(site).copied();
        if UNKNOWN_TO_HEAPTRACK.contains(&site) {
            ensure!(heaptrack.is_none(), "heaptrack has learned to hook the function of {site}: compare it");
        } else {
            ensure!(heaptide.is_some() && heaptide == heaptrack, "{site}: {heaptide:?}, heaptrack: {heaptrack:?}");
        }
    }
    Ok(())
}
