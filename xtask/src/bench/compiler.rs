//! What stacks cost in a real program with deep ones: clang, which is over 100 MB of code.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::sys::{Stats, enable_stats};
use heaptide_tests::program::Program;
use tempfile::TempDir;

use super::figure::Figure;
use super::recording::{Profile, Recording};
use crate::completeness;

/// What the stack of an event may take, in nanoseconds.
const MOST_A_STACK: f64 = 1300.0;

/// Installs what is missing; fails with the reason when it cannot be had.
pub(crate) fn find() -> Result<()> {
    completeness::install(&["clang-14", "clang"])
}

pub(crate) fn measure(heaptide: &Path, quick: bool) -> Result<Vec<Figure>> {
    // For as long as this is open, the kernel measures every run of every program.
    let _measured = enable_stats(Stats::RunTime).context("the kernel does not measure programs")?;
    let time = Duration::from_millis(if quick { 500 } else { 2000 });
    let [without, with] = [record(heaptide, "none", time)?, record(heaptide, "cfi", time)?];
    let (walks, whole) = (with.walks()?, with.unwinding("complete")? + with.unwinding("guessed")?);
    ensure!(walks > 0, "no stack was taken");
    // Hits and what they are hits of come in the same proportion in both recordings: the compiler does the same.
    let added = with.cost.nanoseconds_a_hit()? - without.cost.nanoseconds_a_hit()?;
    Ok(vec![
        Figure::count("stacks", walks, "stacks"),
        Figure::new("frames", mean_frames(&with), "frames a stack"),
        Figure::new("whole", percent(whole, walks), "%"),
        Figure::new("without stacks", without.cost.nanoseconds_a_hit()?, "ns a hit"),
        Figure::new("a stack", added * percent(with.cost.hits, walks) / 100.0, "ns").at_most(MOST_A_STACK),
        Figure::count("lost", with.lost()?, "events").at_most(0.0),
    ])
}

/// Frames of a stack, by how many allocations have it.
fn mean_frames(profile: &Profile) -> f64 {
    let (mut allocations, mut frames) = (0, 0);
    for stack in profile.processes.iter().flat_map(|process| &process.stacks) {
        let blocks = stack.totals.allocated.blocks;
        allocations += blocks;
        frames += blocks * stack.frames.len() as u64;
    }
    percent(frames, allocations) / 100.0
}

#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}

/// Records the compiler for `time`, soon after its start.
fn record(heaptide: &Path, how: &str, time: Duration) -> Result<Profile> {
    let folder = TempDir::new().context("cannot create a temporary folder")?;
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("completeness").join("templates.cpp");
    let words = command(&source, &folder.path().join("object"))?;
    let (program, arguments) = words.split_first().context("clang++ names no compiler")?;
    let target = Program::start(Command::new(program).args(arguments))?;
    let recording = Recording::attach_with(heaptide, target.pid(), &["--stacks", how])?;
    thread::sleep(time);
    Ok(recording.stop()?.profile)
}

/// The command line with which clang's driver starts the compiler.
pub(crate) fn command(source: &Path, object: &Path) -> Result<Vec<String>> {
    let mut driver = Command::new("/usr/bin/clang++");
    driver.args(["-###", "-std=c++17", "-O1", "-c", "-o"]).arg(object).arg(source);
    let output = driver.output().context("cannot run clang++")?;
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find(|line| line.contains("\"-cc1\"")).context("clang++ does not say how it compiles")?;
    // Each word is in quotes, and none of these has one inside.
    Ok(line.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}
