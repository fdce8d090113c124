//! What a report says of its own cost.

use anyhow::{Context, Result, ensure};
use heaptide_tests::heaptide::{Recording, Report};
use heaptide_tests::pace;
use heaptide_tests::workload::Workload;
use procfs::process::Process;

fn cost(report: &Report, name: &str) -> Result<f64> {
    report.profile.cost.get(name).copied().flatten().with_context(|| format!("the report has no {name}"))
}

/// CPU time of process `pid`, in seconds.
#[expect(clippy::cast_precision_loss, reason = "a few thousand ticks")]
fn used(pid: u32) -> Result<f64> {
    let stat = Process::new(pid.cast_signed())?.stat()?;
    Ok((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
}

#[test]
fn the_targets_cpu_time_is_its_own() -> Result<()> {
    let turns = pace::times(200_000).to_string();
    let mut workload = Workload::start("reuse", &[&turns])?;
    let recording = Recording::attach(&[workload.pid()], &[])?;
    let before = used(workload.pid())?;
    workload.go()?;
    workload.done()?;
    let truth = used(workload.pid())? - before;
    let report = recording.stop()?;
    let told = cost(&report, "target_cpu_seconds")?;
    ensure!(truth > 0.1 && (told - truth).abs() < 0.05 + truth / 20.0, "told {told}, used {truth}");
    let text = report.ended.out.join("\n");
    let share = cost(&report, "cpu_seconds")? / told * 100.0;
    ensure!(
        text.contains(&format!("for heaptide itself: {share:.1} % of the target's CPU time")),
        "{share} in\n{text}"
    );
    ensure!(text.contains(" in the probes' programs, estimated from "), "{text}");
    Ok(())
}

#[test]
fn the_cpu_time_of_a_command_that_has_ended_is_known() -> Result<()> {
    let report = Recording::command("threads", &[], &[])?.end()?;
    let told = cost(&report, "target_cpu_seconds")?;
    ensure!(told > 0.1, "told {told}: 400,000 calls take longer");
    Ok(())
}
