//! The same loop under bpftrace, for orientation: what the usual script with three probes costs the target.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use heaptide_tests::build;
use heaptide_tests::program::{Program, Stream};
use nix::sys::signal::Signal;
use procfs::process::{MMapPath, Process};

use super::churn::Churn;
use super::figure::Figure;
use super::pair;
use super::rows::{Phases, mean};
use crate::process;

const TOOL: &str = "bpftrace";

/// How long the probes are in before the measurement begins.
const SETTLE: Duration = Duration::from_millis(500);

/// Sees to it that bpftrace is there: installs Debian's package when this is root. The error says why it cannot be had.
pub(crate) fn find() -> Result<()> {
    if which::which(TOOL).is_ok() {
        return Ok(());
    }
    if which::which("apt-get").is_err() {
        bail!("there is no {TOOL}: see your distribution's packages");
    }
    process::say(&format!("bench installs {TOOL}, to compare with"));
    let apt_get = || {
        let mut apt_get = Command::new("apt-get");
        apt_get.env("DEBIAN_FRONTEND", "noninteractive");
        apt_get
    };
    process::read(apt_get().arg("update"))?;
    process::read(apt_get().args(["install", "--yes", "--no-install-recommends", "--no-remove", TOOL]))?;
    which::which(TOOL).with_context(|| format!("{TOOL} was installed, and yet is not there"))?;
    Ok(())
}

/// What heaptide may cost of what bpftrace does.
const MOST_OF_BPFTRACE: f64 = 1.0 / 6.0;

/// Untraced, traced by bpftrace, untraced again, and traced by heaptide, in one process.
pub(crate) fn churn(heaptide: &Path, phases: Phases) -> Result<Vec<Figure>> {
    let mut churn = Churn::start(&build::workload("bench_churn")?, 1)?;
    let before = churn.watch(phases.untraced)?;
    let tool = attach(churn.pid())?;
    let traced = churn.watch(phases.traced)?;
    tool.signal(Signal::SIGINT)?;
    tool.end()?;
    let after = churn.watch(phases.untraced)?;

    let by_heaptide = pair::pace(heaptide, &mut churn, &[], phases)?;

    let untraced = mean(before, after);
    Ok(vec![
        Figure::new("untraced", untraced, "ns a pair"),
        Figure::new("traced", traced.nanoseconds, "ns a pair"),
        Figure::new("traced / untraced", traced.nanoseconds / untraced, "times"),
        Figure::new("heaptide", by_heaptide, "ns a pair"),
        Figure::new("heaptide / bpftrace", by_heaptide / traced.nanoseconds, "times").at_most(MOST_OF_BPFTRACE),
    ])
}

/// bpftrace with the script, attached to process `pid`.
pub(super) fn attach(pid: u32) -> Result<Program> {
    let mut tool = Command::new(TOOL);
    // Only this process: its probes must not cost anybody else.
    tool.args(["-p", &pid.to_string(), "-e", &script(&allocators_library(pid)?)]);
    let mut tool = Program::start(&mut tool)?;
    tool.hear(Stream::Out, "line of its script", |line| line == "tick")?;
    std::thread::sleep(SETTLE);
    Ok(tool)
}

/// Outstanding bytes by stack. The ticks tell that all probes are in.
fn script(library: &str) -> String {
    format!(
        "uprobe:{library}:malloc {{ @size[tid] = arg0; }}
         uretprobe:{library}:malloc /@size[tid]/ {{
             @size_of[retval] = @size[tid]; @stack_of[retval] = ustack;
             @outstanding[ustack] = @outstanding[ustack] + @size[tid]; delete(@size[tid]);
         }}
         uprobe:{library}:free /@size_of[arg0]/ {{
             @outstanding[@stack_of[arg0]] = @outstanding[@stack_of[arg0]] - @size_of[arg0];
             delete(@size_of[arg0]); delete(@stack_of[arg0]);
         }}
         interval:s:1 {{ printf(\"tick\\n\"); }}
         END {{ clear(@size); clear(@size_of); clear(@stack_of); clear(@outstanding); }}"
    )
}

/// Where the process has its allocator from: jemalloc, or the C library.
fn allocators_library(pid: u32) -> Result<String> {
    let pid = i32::try_from(pid).context("a process id is positive")?;
    let maps =
        Process::new(pid).and_then(|process| process.maps()).context("cannot read what the target has mapped")?;
    let files: Vec<_> = maps
        .into_iter()
        .filter_map(|map| match map.pathname {
            MMapPath::Path(path) => Some(path),
            _ => None,
        })
        .collect();
    let named = |begin: &[u8]| {
        let is_it = |path: &&PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(begin));
        files.iter().find(is_it)
    };
    let library = named(b"libjemalloc.").or_else(|| named(b"libc.")).or_else(|| named(b"libc-"));
    Ok(library.context("the target has no C library mapped")?.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_programs_own_c_library_is_found() {
        let library = allocators_library(std::process::id()).unwrap();
        assert!(library.starts_with('/') && library.contains("libc"), "{library}");
    }

    #[test]
    fn every_probe_of_the_script_is_in_the_library() {
        let script = script("/lib/c");
        assert_eq!(script.matches("probe:/lib/c:").count(), 3);
    }
}
