//! heaptide's numbers are the workloads' own, whichever allocator they have and however they got it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use heaptide_tests::build::{self, Linked};
use heaptide_tests::heaptide::{Recording, Report};
use heaptide_tests::workload::Workload;
use heaptide_tests::{compare, truth};

pub(crate) const JEMALLOC: &str = "libjemalloc.so.2";
pub(crate) const TCMALLOC: &str = "libtcmalloc_minimal.so.4";
pub(crate) const MIMALLOC: &str = "libmimalloc.so.2.0";

/// The file of a library of this machine.
pub(crate) fn library(name: &str) -> Result<String> {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    let mut files = folders.iter().map(|folder| format!("{folder}/{name}"));
    files.find(|file| fs::exists(file).unwrap_or(false)).with_context(|| format!("{name} is not installed"))
}

/// Attached to a waiting workload, stopped when its work is done: with a family that must have been traced.
fn attached(command: &mut Command, family: &str, options: &[&str]) -> Result<()> {
    let mut workload = Workload::run(command.arg("wait"))?;
    let recording = Recording::attach(&[workload.pid()], options)?;
    workload.go()?;
    let accounts = workload.done()?;
    let report = recording.stop()?;
    compare::same(&format!("{command:?}, attached"), &accounts, &report.profile)?;
    let process = report.profile.process(workload.pid(), 0).context("the process is not reported")?;
    let families: Vec<&str> = process.allocators.iter().map(|allocator| allocator.family.as_str()).collect();
    ensure!(families.contains(&family), "traced: {families:?}, not {family}");
    Ok(())
}

/// Started by heaptide, recorded from its first instruction to its end.
fn from_start(program: &Path, preloaded: Option<&str>, options: &[&str]) -> Result<()> {
    let environment: Vec<_> = preloaded.map(|library| ("LD_PRELOAD", library)).into_iter().collect();
    let report = Recording::command_with(program, &[], options, &environment)?.end()?;
    ensure!(report.ended.status.code() == Some(0), "{:?}", report.ended);
    let accounts = truth::parse(report.ended.out.iter().map(String::as_str))?;
    compare::same(&format!("{} with {preloaded:?}, from its start", program.display()), &accounts, &report.profile)
}

/// A preloaded allocator takes over what the program calls.
fn preloaded(name: &str, family: &str, news: &[&str]) -> Result<()> {
    let library = library(name)?;
    let (any, news_program) = (build::workload("any")?, build::workload("news")?);
    let with = |program: &Path| {
        let mut command = Command::new(program);
        command.env("LD_PRELOAD", &library);
        command
    };
    attached(&mut with(&any), family, &[])?;
    attached(&mut with(&any), family, &["--stacks", "fp"])?;
    attached(with(&news_program).args(news), family, &[])?;
    from_start(&any, Some(&library), &[])?;
    from_start(&any, Some(&library), &["--follow"])?;
    from_start(&news_program, Some(&library), &[])
}

/// A program that was linked so.
fn linked(workload: &str, linked: Linked, family: &str) -> Result<()> {
    let program = build::linked(workload, linked)?;
    attached(&mut Command::new(&program), family, &[])?;
    from_start(&program, None, &[])
}

#[test]
fn jemalloc_preloaded() -> Result<()> {
    preloaded(JEMALLOC, "jemalloc", &["fail"])
}

#[test]
fn tcmalloc_preloaded() -> Result<()> {
    preloaded(TCMALLOC, "tcmalloc", &["fail"])
}

#[test]
fn mimalloc_preloaded() -> Result<()> {
    // Its `new` ends the program where others throw.
    preloaded(MIMALLOC, "mimalloc", &[])
}

#[test]
fn jemalloc_linked_and_called_by_its_own_interface() -> Result<()> {
    linked("own_jemalloc", Linked::To(JEMALLOC), "jemalloc")
}

#[test]
fn tcmalloc_linked_and_called_by_its_own_interface() -> Result<()> {
    linked("own_tcmalloc", Linked::To(TCMALLOC), "tcmalloc")
}

#[test]
fn mimalloc_linked_and_called_by_its_own_interface() -> Result<()> {
    linked("own_mimalloc", Linked::To(MIMALLOC), "mimalloc")
}

#[test]
fn operators_of_cpp_whoever_has_written_them() -> Result<()> {
    attached(Command::new(build::workload("news")?).arg("fail"), "glibc", &[])?;
    for (library, family) in [(JEMALLOC, "jemalloc"), (TCMALLOC, "tcmalloc"), (MIMALLOC, "mimalloc")] {
        linked("news", Linked::To(library), family)?;
    }
    linked("news", Linked::Static, "glibc")
}

#[test]
fn glibc_linked_into_the_program() -> Result<()> {
    linked("any", Linked::Static, "glibc")?;
    linked("any", Linked::StaticPie, "glibc")
}

#[test]
fn musl_linked_into_the_program_and_as_a_library() -> Result<()> {
    linked("any", Linked::Musl, "musl")?;
    linked("any", Linked::MuslLibrary, "musl")
}

/// The first of the sizes of that workload's blocks; the others follow.
const LARGE: u64 = 100_000;

/// A workload takes a block each millisecond from a library that it has just loaded: what was seen of them, and when each
/// was taken, in microseconds since the library was there.
fn late(options: &[&str]) -> Result<(Report, u32, Vec<u64>)> {
    let folder = tempfile::TempDir::new()?;
    let copy = folder.path().join("liballocator.so");
    fs::copy(library(MIMALLOC)?, &copy)?;
    let mut workload = Workload::run(Command::new(build::workload("late")?).arg("wait").arg(&copy))?;
    let least = LARGE.to_string();
    let options = [&["--min-size", &least], options].concat();
    let recording = Recording::attach(&[workload.pid()], &options)?;
    workload.go()?;
    let lines = workload.work()?.filter_map(|line| line.strip_prefix("moment ")?.parse().ok()).collect();
    Ok((recording.stop()?, workload.pid(), lines))
}

fn found_in_time(options: &[&str]) -> Result<()> {
    let (report, pid, moments) = late(options)?;
    let process = report.profile.process(pid, 0).context("the process is not reported")?;
    let seen = process.sum("heap").allocated;
    let missed = (moments.len() as u64).checked_sub(seen.blocks).context("more blocks than there were")?;
    let Some(&moment) = moments.get(missed as usize) else { bail!("none of the blocks was seen: {:?}", report.ended) };
    let bytes: u64 = (missed..moments.len() as u64).map(|number| LARGE + number).sum();
    ensure!(seen.bytes == bytes, "{} bytes in {} blocks, not {bytes}", seen.bytes, seen.blocks);
    ensure!(moment <= 100_000, "the library was found only {moment} µs after it was loaded");
    ensure!(report.profile.unknown["unmatched"]["late_libraries"] == 1, "{:?}", report.profile.unknown);
    Ok(())
}

#[test]
fn a_library_that_is_loaded_later_is_found_within_a_tenth_of_a_second() -> Result<()> {
    found_in_time(&[])
}

#[test]
fn a_library_that_is_loaded_later_is_found_without_stacks_as_well() -> Result<()> {
    found_in_time(&["--stacks", "none"])
}
