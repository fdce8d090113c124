//! Marks: what was allocated between two, and is still there.

use std::fs;

use anyhow::{Context, Result, ensure};
use heaptide_tests::heaptide;
use heaptide_tests::profile::Profile;
use heaptide_tests::program::{Program, Stream};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::watch::resting;

/// heaptide while it records a process, and the file of its report.
struct Recording {
    heaptide: Program,
    folder: TempDir,
}

impl Recording {
    fn attach(pid: u32, options: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let report = folder.path().join("report");
        let report = report.to_str().context("a path is text")?;
        let pid = pid.to_string();
        let arguments = [&["record", "-p", &pid, "--json", report][..], options].concat();
        Ok(Self { heaptide: heaptide::attached(arguments)?, folder })
    }

    /// Waits until it has said that the mark is set.
    fn marked(&mut self, number: u32) -> Result<()> {
        let words = format!("mark {number} set at ");
        self.heaptide.hear(Stream::Err, &words, |line| line.starts_with(&words)).map(drop)
    }

    fn stop(self) -> Result<Profile> {
        self.heaptide.signal(Signal::SIGINT)?;
        let ended = self.heaptide.end()?;
        ensure!(ended.status.success(), "{ended:?}");
        Ok(serde_json::from_str(&fs::read_to_string(self.folder.path().join("report"))?)?)
    }
}

fn mark(arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let ended = heaptide::run([&["mark"], arguments].concat())?;
    Ok((ended.status.code(), [ended.out, ended.err].concat().join("\n")))
}

/// Bytes of each generation of what a function holds.
fn generations(profile: &Profile, function: &str) -> Vec<u64> {
    let stacks = profile.processes.iter().flat_map(|process| &process.stacks);
    let stack =
        stacks.into_iter().find(|stack| stack.memory == "heap" && stack.functions().any(|name| name == function));
    stack.map_or_else(Vec::new, |stack| stack.generations.iter().map(|usage| usage.bytes).collect())
}

#[test]
fn what_is_left_of_each_time_between_marks_is_told() -> Result<()> {
    let mut workload = resting()?;
    let pid = workload.pid().to_string();
    let mut recording = Recording::attach(workload.pid(), &[])?;
    workload.order("hold alpha 10 1000")?;
    workload.order("hold gamma_ 1 50")?;
    // By their time: a thousandth of a second and more lies between a mark and what comes before or after it.
    std::thread::sleep(MOMENT);
    let (code, said) = mark(&[])?;
    ensure!(code == Some(0) && said.starts_with("mark 1 set at "), "{said}");
    recording.marked(1)?;
    std::thread::sleep(MOMENT);
    workload.order("hold alpha 20 1000")?;
    workload.order("hold beta 5 300")?;
    workload.order("drop gamma_")?;
    std::thread::sleep(MOMENT);
    let (code, said) = mark(&["-p", &pid])?;
    ensure!(code == Some(0) && said.starts_with("mark 2 set at "), "{said}");
    recording.marked(2)?;
    std::thread::sleep(MOMENT);
    workload.order("hold alpha 30 1000")?;
    std::thread::sleep(MOMENT);
    recording.heaptide.signal(Signal::SIGUSR1)?;
    recording.marked(3)?;

    let profile = recording.stop()?;
    let numbers: Vec<u32> = profile.marks.iter().map(|mark| mark.number).collect();
    ensure!(numbers == [1, 2, 3] && profile.marks.is_sorted_by(|one, other| one.seconds <= other.seconds));
    ensure!(generations(&profile, "alpha") == [10_000, 20_000, 30_000, 0], "{:?}", generations(&profile, "alpha"));
    ensure!(generations(&profile, "beta") == [0, 1500, 0, 0], "{:?}", generations(&profile, "beta"));
    ensure!(generations(&profile, "gamma_").iter().sum::<u64>() == 0, "{:?}", generations(&profile, "gamma_"));
    Ok(())
}

/// Blocks and marks have their time in units of 1.05 ms.
const MOMENT: std::time::Duration = std::time::Duration::from_millis(3);

#[test]
fn marks_are_set_again_and_again_where_that_was_asked_for() -> Result<()> {
    let workload = resting()?;
    let mut recording = Recording::attach(workload.pid(), &["--mark-every", "150ms"])?;
    recording.marked(3)?;
    let profile = recording.stop()?;
    let seconds: Vec<f64> = profile.marks.iter().map(|mark| mark.seconds).collect();
    ensure!(seconds.len() >= 3 && seconds[0] >= 0.14 && seconds[2] - seconds[0] >= 0.28, "{seconds:?}");
    Ok(())
}

#[test]
fn a_mark_where_nothing_is_recorded_is_an_error_in_a_line() -> Result<()> {
    let (code, said) = mark(&[])?;
    ensure!(code == Some(1) && said.contains("nothing is being recorded (start: heaptide watch -p PID)"), "{said}");
    let workload = resting()?;
    let recording = Recording::attach(workload.pid(), &[])?;
    let (code, said) = mark(&["-p", "1"])?;
    ensure!(code == Some(1) && said.contains("process 1 is not being recorded"), "{said}");
    ensure!(recording.stop()?.marks.is_empty(), "a mark was set");
    Ok(())
}
