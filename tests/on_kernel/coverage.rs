//! How often each allocator of each process was called is counted to the call, and silence is told.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use heaptide_tests::build;
use heaptide_tests::heaptide::{Recording, Report};
use heaptide_tests::profile::{Allocator, Calls, Process};
use heaptide_tests::program::Stream;
use heaptide_tests::workload::Workload;

use crate::allocators::library;

const JEMALLOC: &str = "libjemalloc.so.2";

const WARNING: &str = "warning: it called none of these functions.";

/// Lets a workload do its work; gives the calls that it says it has made.
fn done(workload: &mut Workload) -> Result<u64> {
    workload.go()?;
    told(workload.work()?)
}

fn told<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<u64> {
    let number = lines.into_iter().find_map(|line| line.strip_prefix("calls ")).context("it says no calls")?;
    number.parse().context("not a number of calls")
}

fn allocator<'a>(process: &'a Process, family: &str) -> Result<&'a Allocator> {
    let found = process.allocators.iter().find(|allocator| allocator.family == family);
    found.with_context(|| format!("no {family} in {:?}", process.allocators))
}

fn calls(report: &Report, pid: u32, family: &str) -> Result<Calls> {
    let process = report.profile.process(pid, 0).context("the process is not reported")?;
    allocator(process, family)?.calls.context("nobody has counted")
}

fn text(report: &Report) -> String {
    report.ended.out.join("\n")
}

/// The words behind the file of an allocator in the text.
fn words(report: &Report, family: &str) -> Result<String> {
    let of = format!(" of {family} traced in ");
    let line = report.ended.out.iter().find(|line| line.contains(&of)).context("no line tells of it")?;
    Ok(line.split_once(": ").context("the line ends with the file")?.1.to_owned())
}

#[test]
fn each_call_of_each_process_is_counted() -> Result<()> {
    let mut workloads = [Workload::start("calls", &[])?, Workload::start("calls", &[])?];
    let pids = workloads.each_ref().map(Workload::pid);
    for options in [&[][..], &["--sample", "512KiB"], &["--min-size", "1MiB"]] {
        let mut workload = Workload::start("calls", &[])?;
        let recording = Recording::attach(&[workload.pid(), pids[0]], options)?;
        let made = done(&mut workload)?;
        let report = recording.stop()?;
        let (busy, idle) = (calls(&report, workload.pid(), "glibc")?, calls(&report, pids[0], "glibc")?);
        ensure!(busy.count == made && !busy.shared, "{options:?}: {busy:?}, not {made}");
        ensure!(idle.count == 0 && !idle.shared, "{options:?}: {idle:?} of a process that waits");
        let hits = report.profile.cost["hits"].context("no hits")?;
        // In each of the rounds, 4 of 8 calls take two hits: three have a return that is probed as well, and a malloc fails
        // deep in the allocator. Another malloc takes one or two.
        let least = f64::from(u32::try_from(made / 8 * 12)?);
        ensure!(hits >= least, "{hits} hits in all, and {made} calls");
    }
    let recording = Recording::attach(&pids, &[])?;
    let made = [done(&mut workloads[0])?, done(&mut workloads[1])?];
    let report = recording.stop()?;
    for (pid, made) in pids.into_iter().zip(made) {
        let calls = calls(&report, pid, "glibc")?;
        ensure!(calls.count == made && !calls.shared, "{calls:?}, not {made}");
    }
    Ok(())
}

/// What a command was seen to call, from its first instruction to its end, beyond the calls that it knows of.
fn before_main(options: &[&str]) -> Result<u64> {
    let report = Recording::command("calls", &[], options)?.end()?;
    let made = told(report.ended.out.iter().map(String::as_str))?;
    let process = report.profile.processes.first().context("no process")?;
    let calls = allocator(process, "glibc")?.calls.context("nobody has counted")?;
    ensure!(!calls.shared, "{calls:?}");
    calls.count.checked_sub(made).with_context(|| format!("{calls:?}, and {made} were made"))
}

#[test]
fn the_launcher_s_calls_are_not_the_program_s() -> Result<()> {
    // Probes on a private copy do not see the launcher.
    let (own, private) = (before_main(&[])?, before_main(&["--follow"])?);
    ensure!(own == private, "{own} calls before the program's own, not {private}");
    Ok(())
}

#[test]
fn a_preloaded_allocator_explains_the_silence_of_the_other() -> Result<()> {
    let mut command = Command::new(build::workload("calls")?);
    let mut workload = Workload::run(command.arg("wait").env("LD_PRELOAD", library(JEMALLOC)?))?;
    let recording = Recording::attach(&[workload.pid()], &[])?;
    let made = done(&mut workload)?;
    let report = recording.stop()?;
    let (jemalloc, glibc) = (calls(&report, workload.pid(), "jemalloc")?, calls(&report, workload.pid(), "glibc")?);
    ensure!(jemalloc.count == made && glibc.count == 0, "{jemalloc:?}, {glibc:?}, not {made} and none");
    let words = words(&report, "glibc")?;
    ensure!(words.starts_with("no call in ") && words.ends_with(", jemalloc is called instead"), "{words}");
    ensure!(!text(&report).contains("warning"), "{}", text(&report));
    Ok(())
}

#[test]
fn a_process_that_calls_nothing_is_said_to_be_silent() -> Result<()> {
    let workload = Workload::start("calls", &[])?;
    let mut recording = Recording::attach(&[workload.pid()], &["-d", "1500ms", "-i", "1200ms"])?;
    let interim = format!("(pid {}) has called no traced function so far", workload.pid());
    recording.program().hear(Stream::Out, "warning in an interim report", |line| line.contains(&interim))?;
    let report = recording.end()?;
    ensure!(calls(&report, workload.pid(), "glibc")?.count == 0, "{:?}", report.profile);
    let words = words(&report, "glibc")?;
    ensure!(words.starts_with("no call in 1.5") && text(&report).contains(WARNING), "{}", text(&report));
    Ok(())
}

#[test]
fn programs_with_the_same_probes_are_told_that_they_share_a_number() -> Result<()> {
    let report = Recording::command("calls", &["children", "2"], &["--follow"])?.end()?;
    let calls: Vec<Calls> = report
        .profile
        .processes
        .iter()
        .map(|process| allocator(process, "glibc")?.calls.context("nobody has counted"))
        .collect::<Result<_>>()?;
    ensure!(calls.len() == 3 && calls.iter().all(|its| its.shared && its.count == calls[0].count), "{calls:?}");
    ensure!(words(&report, "glibc")?.ends_with(" in all programs that have it"), "{}", text(&report));
    Ok(())
}

#[test]
fn hundreds_of_processes_one_after_the_other_have_numbers_of_their_own() -> Result<()> {
    let mut workload = Workload::start("calls", &["children", "300"])?;
    let recording = Recording::attach(&[workload.pid()], &["--follow", "--stacks", "none"])?;
    done(&mut workload)?;
    let report = recording.stop()?;
    let glibc = |process| allocator(process, "glibc").ok()?.calls;
    let counted: Vec<Calls> = report.profile.processes.iter().filter_map(glibc).collect();
    ensure!(counted.len() > 256, "only {} processes have probes of their own", counted.len());
    ensure!(!counted.iter().any(|calls| calls.shared), "{counted:?}");
    // The parent is silent, and what others have called before is not a child's.
    ensure!(counted[0].count == 0, "{:?}", counted[0]);
    let long = counted.iter().filter(|calls| calls.count > 0).count();
    ensure!(long > 256, "only {long} children have called anything");
    Ok(())
}
