//! A recording, from the first probe to the finished profile: what `heaptide record` and `heaptide watch` have in common.

mod course;
mod launch;
pub(super) mod marks;
mod rows;
mod signals;
mod status;

use std::{os::fd::AsFd, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use tokio::process::Child;

use self::{course::Course, marks::MarkRequests, signals::Signals, status::Naming};
pub(super) use self::{
    course::Onlooker,
    status::{StatusLine, say},
};
use crate::{
    budget,
    cli::{
        args::Mode,
        config::{Capture, Targets},
        exit,
    },
    kernel::{Features, Options},
    pipeline::{Attached, Config, Session, SessionError},
    process::{self, Target, printable},
    symbols::Debuginfod,
};

/// Rings for every so many CPUs: one thread reads what several CPUs can make, and takes its time from the target.
const CPUS_PER_RING: usize = 8;

/// Most rings.
const MAX_RINGS: u32 = 8;

/// How a recording is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looks {
    /// How often it is looked at what is held.
    pub(super) interval: Duration,
    /// Younger blocks are not shown.
    pub(super) older: Duration,
    /// How often the onlooker reports; `None`: never.
    pub(super) reports: Option<Duration>,
}

/// Records, and has the onlooker look on. Gives heaptide's exit code, which is the command's where there is one.
pub(super) fn run(capture: &Capture, looks: Looks, onlooker: impl Onlooker) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(record(capture, looks, onlooker))
}

async fn record(capture: &Capture, looks: Looks, mut onlooker: impl Onlooker) -> anyhow::Result<ExitCode> {
    // What can fail without touching anybody comes first.
    let targets = checked_targets(capture)?;
    if let Some(missing) = Features::ask().missing_for_recording() {
        bail!(missing);
    }
    let debuginfod = if capture.debuginfod { servers() } else { None };
    let signals = Signals::catch()?;
    let marks = MarkRequests::listen()?;
    let mut session = Session::new(config(capture, looks.interval, looks.older))?;
    hear_diagnostics(&mut session)?;
    let mut command = None;
    if let Targets::Command { program, args } = &capture.targets {
        command = Some(launch::launch(&mut session, program, args, capture).await?);
    } else {
        attach(&mut session, &targets, capture.follow)?;
    }
    let status = StatusLine::new();
    let course = Course { session: &mut session, capture, looks, command: command.as_mut(), targets: &targets, status };
    let exited = course.until_the_end(signals, marks, &mut onlooker).await?;
    let naming = Naming::watch();
    let (profile, detaching) = session.finish(debuginfod, naming.progress())?;
    drop(naming);
    let code = onlooker.end(&profile).await?;
    // The exit of heaptide says that nothing is left attached.
    drop(detaching);
    if let Some(code) = code {
        return Ok(code);
    }
    match (exited, command) {
        (Some(status), _) => Ok(exit::of_command(status)),
        (None, Some(command)) => outlast(command).await,
        (None, None) => Ok(ExitCode::SUCCESS),
    }
}

/// The debuginfod servers. A report with fewer names is better than none, so it is only said when there are none.
fn servers() -> Option<Debuginfod> {
    Debuginfod::from_environment().inspect_err(|error| log::warn!("--debuginfod: {error}")).ok()
}

/// The processes to record that run already.
fn checked_targets(capture: &Capture) -> anyhow::Result<Vec<Target>> {
    let pids = match &capture.targets {
        Targets::Pids(pids) => pids.clone(),
        Targets::Named(name) => {
            let pids = process::named(name);
            if pids.is_empty() {
                bail!("no process is called {} (see: ps -e)", printable(name));
            }
            pids
        }
        Targets::Command { .. } => Vec::new(),
    };
    pids.iter().map(|&pid| Ok(Target::check(pid)?)).collect()
}

/// Attaches to all targets before the recording begins for any; with `follow`, to their descendants, too.
fn attach(session: &mut Session, targets: &[Target], follow: bool) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for target in targets {
        all.push(session.attach(target.pid).map_err(|error| refused(target, error))?);
    }
    if follow {
        attach_descendants(session, targets, &mut all);
    }
    session.start()?;
    for attached in &all {
        announce(attached);
    }
    Ok(())
}

/// Those that fork while it is looked at them are found by the next look; a descendant that cannot be traced is told of and
/// left alone.
fn attach_descendants(session: &mut Session, targets: &[Target], all: &mut Vec<Attached>) {
    let mut known: Vec<u32> = targets.iter().map(|target| target.pid).collect();
    loop {
        let found = targets.iter().flat_map(|target| process::descendants(target.pid));
        let new: Vec<u32> = found.filter(|pid| !known.contains(pid)).collect();
        if new.is_empty() {
            return;
        }
        for pid in new {
            known.push(pid);
            match session.attach(pid) {
                Ok(attached) => all.push(attached),
                Err(error) => log::warn!("process {pid} is not traced: {error}"),
            }
        }
    }
}

/// A process that ends while probes go in is an ordinary event, told in plain words.
fn refused(target: &Target, error: SessionError) -> anyhow::Error {
    let pid = target.pid;
    if target.has_ended().unwrap_or(false) {
        return anyhow::anyhow!("process {pid} ended before the recording began (is it restarting? try its new PID)");
    }
    anyhow::Error::from(error).context(format!("cannot record process {pid}"))
}

/// The line that scripts wait for.
fn announce(attached: &Attached) {
    let files: Vec<String> = attached
        .files
        .iter()
        .map(|(file, probes)| format!("{} probe{} in {file}", probes.probes, if probes.probes == 1 { "" } else { "s" }))
        .collect();
    let pid = attached.pid;
    for (name, files) in &attached.missing {
        say(&format!("no function of {name} found in PID {pid}: it has nothing of it mapped from {files}"));
    }
    // Where growth is recorded, a process need not have an allocator.
    let files = if files.is_empty() { "page faults alone".to_owned() } else { files.join(", ") };
    say(&format!("attached to PID {pid}: {files}"));
}

/// What is done to keep the budget.
fn announce_mode(mode: budget::Mode) {
    say(&match mode {
        budget::Mode::Full => "budget: all blocks are recorded again".to_owned(),
        budget::Mode::Sampled(interval) => {
            format!("budget: one block in {} KiB is recorded from here on", interval >> 10)
        }
        budget::Mode::Pulse(_) | budget::Mode::Pause(_) => {
            "budget: the allocators' probes alone cost more; blocks are recorded in pulses from here on".to_owned()
        }
        budget::Mode::Stopped => {
            "budget: the allocators' probes alone cost more; only mappings are recorded from here on".to_owned()
        }
    });
}

/// The recording is over, the command is not: its exit code is still owed.
async fn outlast(mut command: Child) -> anyhow::Result<ExitCode> {
    let status = command.wait().await.context("cannot wait for the command")?;
    Ok(exit::of_command(status))
}

fn config(capture: &Capture, interval: Duration, older: Duration) -> Config {
    Config {
        kernel: Options {
            ring_bytes: capture.ring_bytes,
            shards: capture.shards.unwrap_or_else(shards_for_this_machine),
            follow: capture.follow,
            min_size: capture.sizes.min,
            max_size: capture.sizes.max,
            rows: rows::for_capture(capture),
            stacks: capture.stacks,
            // With a budget, sampling may begin at any time.
            sample: capture.sample.or(capture.max_overhead.map(|_| 1)),
            growth: capture.mode == Mode::Growth,
            empty: capture.empty_programs,
            log_level: log_level(),
        },
        max_live: capture.max_live,
        older,
        named: capture.named.clone(),
        budget: capture.max_overhead.map(|millionths| f64::from(millionths) / 1e6),
        interval,
        suppressions: capture.suppressions.clone(),
    }
}

fn shards_for_this_machine() -> u32 {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let rings = u32::try_from(cpus / CPUS_PER_RING).unwrap_or(MAX_RINGS).clamp(1, MAX_RINGS);
    1 << rings.ilog2()
}

/// Hands what the kernel part has to say to the log, on a thread of its own, until the end.
fn hear_diagnostics(session: &mut Session) -> anyhow::Result<()> {
    if log_level() == 0 {
        return Ok(());
    }
    let Some(mut diagnostics) = session.diagnostics() else { return Ok(()) };
    std::thread::Builder::new().name("diagnostics".to_owned()).spawn(move || {
        loop {
            let mut readable = [PollFd::new(diagnostics.as_fd(), PollFlags::POLLIN)];
            match poll(&mut readable, PollTimeout::NONE) {
                Ok(_) => diagnostics.flush(),
                Err(Errno::EINTR) => {}
                Err(error) => {
                    log::warn!("the kernel part can no longer be heard: {error}");
                    return;
                }
            }
        }
    })?;
    Ok(())
}

/// The kernel part speaks only to those who asked (`-v`): even an unread word costs the target.
fn log_level() -> u8 {
    match log::max_level() {
        level if level < log::LevelFilter::Info => 0,
        level => level as u8,
    }
}
