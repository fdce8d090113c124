//! heaptide while it records, what it uses meanwhile, and what it reports.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use heaptide_tests::pace::deadline;
use heaptide_tests::profile::Process as Traced;
use heaptide_tests::program::{Program, Stream};
use nix::sys::signal::Signal;
use procfs::process::Process;
use serde::Deserialize;
use tempfile::TempDir;

/// How often a report is looked for.
const LOOK: Duration = Duration::from_millis(2);

/// heaptide, attached. It ends with this.
#[derive(Debug)]
pub(crate) struct Recording {
    heaptide: Program,
    folder: TempDir,
}

/// CPU time so far, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuTime {
    /// Of the threads that read rings.
    pub(crate) readers: u64,
    /// Of all threads, those included.
    pub(crate) all: u64,
}

impl CpuTime {
    /// What was used since `begin`. A thread that reads a ring has nothing behind it when it has just started, but
    /// never nothing between two moments of a recording: kernels that do not keep these times say 0.
    pub(crate) fn since(self, begin: Self) -> Result<Self> {
        ensure!(self.readers > begin.readers, "the kernel does not say what the threads that read rings have used");
        // A thread that has ended takes its time with it.
        Ok(Self { readers: self.readers - begin.readers, all: self.all.saturating_sub(begin.all) })
    }
}

/// What heaptide left.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) profile: Profile,
    /// From the signal until every report was complete.
    pub(crate) took: Duration,
    /// Size of the JSON report.
    pub(crate) bytes: u64,
}

/// The JSON report, as far as it is read here.
#[derive(Debug, Deserialize)]
pub(crate) struct Profile {
    pub(crate) processes: Vec<Traced>,
    unknown: BTreeMap<String, BTreeMap<String, u64>>,
    pub(crate) cost: Cost,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Cost {
    /// Records received.
    pub(crate) events: u64,
    /// Largest resident memory, in bytes.
    pub(crate) memory_bytes: u64,
    /// Probe hits.
    pub(crate) hits: u64,
    /// Time in the probes' programs; nothing when the kernel did not measure it.
    pub(crate) bpf_seconds: Option<f64>,
    /// Time in traps, at most.
    pub(crate) trap_seconds: f64,
    /// CPU time of the program.
    pub(crate) target_cpu_seconds: f64,
    /// CPU time and bytes for memory over time.
    pub(crate) timeline_seconds: f64,
    pub(crate) timeline_bytes: u64,
    pub(crate) rings: u64,
}

impl Cost {
    /// Time in the probes' programs for a hit, in nanoseconds.
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    pub(crate) fn nanoseconds_a_hit(&self) -> Result<f64> {
        let seconds = self.bpf_seconds.context("the kernel does not measure programs")?;
        ensure!(self.hits > 0, "no probe was hit");
        Ok(seconds * 1e9 / self.hits as f64)
    }
}

impl Profile {
    /// What it says of how stacks were walked, and of the tables for it.
    pub(crate) fn unwinding(&self, name: &str) -> Result<u64> {
        let unwinding = self.unknown.get("unwinding").context("the report does not tell of unwinding")?;
        unwinding.get(name).copied().with_context(|| format!("the report does not tell of unwinding's `{name}`"))
    }

    /// Walks of stacks, however they ended.
    pub(crate) fn walks(&self) -> Result<u64> {
        let unwinding = self.unknown.get("unwinding").context("the report does not tell of unwinding")?;
        let is_walks =
            |name: &str| !matches!(name, "files" | "rows" | "table_nanoseconds" | "files_failed" | "files_refused");
        Ok(unwinding.iter().filter(|(name, _)| is_walks(name)).map(|(_, count)| count).sum())
    }

    /// Events lost, of any kind.
    pub(crate) fn lost(&self) -> Result<u64> {
        Ok(self.unknown.get("lost").context("the report does not say what was lost")?.values().sum())
    }
}

/// How long a report may take, of as many stacks as a compiler has: it has names for all frames of all of them, and its JSON
/// is more than a gigabyte.
const LONGEST_REPORT: Duration = Duration::from_mins(3);

impl Recording {
    /// Attaches to process `pid`; returns when all probes are in and events are recorded.
    pub(crate) fn attach(program: &Path, pid: u32) -> Result<Self> {
        Self::attach_with(program, pid, &[])
    }

    /// The same with more options.
    pub(crate) fn attach_with(program: &Path, pid: u32, options: &[&str]) -> Result<Self> {
        let folder = TempDir::new().context("cannot create a temporary folder")?;
        let mut command = Command::new(program);
        command.args(["record", "-p", &pid.to_string()]).args(options);
        for format in ["folded", "json"] {
            command.arg(format!("--{format}")).arg(folder.path().join(format));
        }
        let mut heaptide = Program::start(&mut command)?;
        heaptide.hear(Stream::Err, "line that it is attached", |line| line.starts_with("attached to PID "))?;
        Ok(Self { heaptide, folder })
    }

    /// What its threads have used so far.
    pub(crate) fn cpu_time(&self) -> Result<CpuTime> {
        let mut time = CpuTime::default();
        for thread in self.process()?.tasks().context("cannot list heaptide's threads")?.flatten() {
            // One that has just ended has nothing to tell.
            let (Ok(stat), Ok(scheduled)) = (thread.stat(), thread.schedstat()) else { continue };
            time.all += scheduled.sum_exec_runtime;
            if stat.comm.starts_with("ring ") {
                time.readers += scheduled.sum_exec_runtime;
            }
        }
        Ok(time)
    }

    /// Bytes of resident memory.
    pub(crate) fn resident(&self) -> Result<u64> {
        let status = self.process()?.status().context("cannot ask for heaptide's memory")?;
        Ok(status.vmrss.context("the kernel does not say what heaptide's memory is")? << 10)
    }

    /// Waits until it has ended by itself, since its target has.
    pub(crate) fn ended(self) -> Result<()> {
        let ended = self.heaptide.end_within(LONGEST_REPORT)?;
        ensure!(ended.status.success(), "heaptide did not end well: {ended:?}");
        Ok(())
    }

    /// Ends it as Ctrl-C does, and reads its report.
    pub(crate) fn stop(self) -> Result<Report> {
        let begin = Instant::now();
        self.heaptide.signal(Signal::SIGINT)?;
        // The last of the reports to be written; it gets its name when it is complete.
        let json = self.folder.path().join("json");
        wait_for(&json)?;
        let took = begin.elapsed();
        let ended = self.heaptide.end()?;
        ensure!(ended.status.success() && !ended.out.is_empty(), "heaptide did not end well: {ended:?}");
        let text = fs::read(&json).context("cannot read heaptide's report")?;
        let profile = serde_json::from_slice(&text).context("heaptide's JSON is not a profile")?;
        Ok(Report { profile, took, bytes: text.len() as u64 })
    }

    fn process(&self) -> Result<Process> {
        let pid = i32::try_from(self.heaptide.pid()).context("a process id is positive")?;
        Process::new(pid).context("heaptide has ended")
    }
}

fn wait_for(path: &Path) -> Result<()> {
    let (limit, begin) = (deadline(), Instant::now());
    while !path.exists() {
        if begin.elapsed() > limit {
            bail!("heaptide wrote no report within {limit:?}");
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_had_just_started_is_measured_and_one_without_times_is_not() {
        let used = CpuTime { readers: 7, all: 9 }.since(CpuTime::default()).unwrap();
        assert_eq!((used.readers, used.all), (7, 9));
        assert!(CpuTime::default().since(CpuTime::default()).is_err());
    }
}
