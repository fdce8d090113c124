//! What is lost or refused is counted and told, and what is kept stays right.

use anyhow::{Context, Result, ensure};
use heaptide_tests::heaptide::Recording;
use heaptide_tests::profile::{Process, Totals, Usage};
use heaptide_tests::workload::Workload;
use nix::sys::signal::Signal;

/// Every sum of the heap says what it must whatever is missing, and the process's sum is that of its stacks.
fn adds_up(process: &Process) -> Result<()> {
    let is_sound = |totals: &Totals| {
        let Totals { allocated, freed, outstanding, .. } = totals;
        let bytes = allocated.bytes == freed.bytes + outstanding.bytes;
        bytes && allocated.blocks == freed.blocks + outstanding.blocks
    };
    let mut sum = Totals::default();
    for stack in process.stacks.iter().filter(|stack| stack.memory == "heap") {
        ensure!(is_sound(&stack.totals), "{stack:?}");
        sum += stack.totals;
    }
    ensure!(sum == process.sum("heap"), "stacks: {sum:?}, process: {:?}", process.sum("heap"));
    ensure!(is_sound(&sum) && sum.allocated.blocks > 0, "{sum:?}");
    Ok(())
}

#[test]
fn events_that_found_the_ring_full_are_told_and_the_rest_adds_up() -> Result<()> {
    let mut workload = Workload::start("reuse", &[])?;
    let mut recording = Recording::attach(&[workload.pid()], &["--ring", "256KiB"])?;
    // Nobody reads while the workload makes more events than the ring holds.
    recording.program().signal(Signal::SIGSTOP)?;
    workload.go()?;
    let done = workload.done();
    recording.program().signal(Signal::SIGCONT)?;
    done?;

    let report = recording.stop()?;
    let lost = &report.profile.unknown["lost"];
    ensure!(lost["allocations"] > 0 && lost["releases"] > 0, "{lost:?}");
    let text = report.ended.out.join("\n");
    ensure!(text.contains("Not exact"), "{text}");
    for (name, noun) in [("allocations", "allocation"), ("releases", "release")] {
        let line = format!("  {} {noun}{} lost, a ring was full", lost[name], if lost[name] == 1 { "" } else { "s" });
        ensure!(text.contains(&line), "{line:?} is missing in\n{text}");
    }
    adds_up(report.profile.process(workload.pid(), 0).context("the process is not reported")?)
}

#[test]
fn blocks_beyond_the_limit_are_refused_and_counted() -> Result<()> {
    const MOST: u64 = 60;
    let mut workload = Workload::start("functions", &[])?;
    let recording = Recording::attach(&[workload.pid()], &["--max-live", "60", "--shards", "1"])?;
    workload.go()?;
    let accounts = workload.done()?;
    let report = recording.stop()?;
    let process = report.profile.process(workload.pid(), 0).context("the process is not reported")?;
    adds_up(process)?;

    let refused = &report.profile.unknown["refused"];
    let heap = process.sum("heap");
    ensure!(refused["live_blocks"] > 0 && heap.outstanding.blocks <= MOST, "{refused:?} {heap:?}");
    // What the workload allocated was kept or refused, and nothing else was.
    let sites = accounts[0].sites.iter().filter(|site| site.memory == "heap");
    let truth = sites.fold(Usage::default(), |mut sum, site| {
        sum += Usage { bytes: site.numbers[0].unwrap_or(0), blocks: site.numbers[1].unwrap_or(0) };
        sum
    });
    let known = Usage {
        bytes: heap.allocated.bytes + refused["live_blocks_bytes"],
        blocks: heap.allocated.blocks + refused["live_blocks"],
    };
    ensure!(known == truth, "{heap:?} {refused:?}, allocated: {truth:?}");
    let text = report.ended.out.join("\n");
    ensure!(text.contains("Not exact") && text.contains("the table of live blocks was full"), "{text}");
    Ok(())
}
