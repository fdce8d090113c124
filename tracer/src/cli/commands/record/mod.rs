//! `heaptide record`: attach or launch, watch until the end, report.

mod launch;
mod report;
mod rows;
mod signals;
mod status;
mod watch;

use std::{os::fd::AsFd, process::ExitCode};

use anyhow::{Context, bail};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use tokio::process::Child;

use self::{
    report::Reports,
    signals::Signals,
    status::{Naming, StatusLine},
    watch::Watch,
};
use crate::{
    budget,
    cli::{
        args::Mode,
        config::{Recording, Targets},
        exit,
    },
    kernel::{Features, Options},
    pipeline::{Attached, Config, Session, SessionError},
    process::Target,
    symbols::Debuginfod,
};

/// Rings for every so many CPUs: one thread reads what several CPUs can make, and takes its time from the target.
const CPUS_PER_RING: usize = 8;

/// Most rings.
const MAX_RINGS: u32 = 8;

/// Records, and reports.
pub fn run(recording: &Recording) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(record(recording))
}

async fn record(recording: &Recording) -> anyhow::Result<ExitCode> {
    // What can fail without touching anybody comes first.
    let reports = Reports::open(recording)?;
    let targets = checked_targets(recording)?;
    if let Some(missing) = Features::ask().missing_for_recording() {
        bail!(missing);
    }
    let debuginfod = if recording.debuginfod { servers() } else { None };
    let signals = Signals::catch()?;
    let mut session = Session::new(config(recording))?;
    hear_diagnostics(&mut session)?;
    let mut command = None;
    if let Targets::Command { program, args } = &recording.targets {
        command = Some(launch::launch(&mut session, program, args, recording).await?);
    } else {
        attach(&mut session, &targets)?;
    }
    let status = StatusLine::new();
    let watched = Watch { session: &mut session, recording, command: command.as_mut(), targets: &targets, status };
    let exited = watched.until_the_end(signals).await?;
    let naming = Naming::watch();
    let (profile, detaching) = session.finish(debuginfod, naming.progress())?;
    drop(naming);
    reports.write(&profile, recording)?;
    // The exit of heaptide says that nothing is left attached.
    drop(detaching);
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

fn checked_targets(recording: &Recording) -> anyhow::Result<Vec<Target>> {
    let Targets::Pids(pids) = &recording.targets else { return Ok(Vec::new()) };
    pids.iter().map(|&pid| Ok(Target::check(pid)?)).collect()
}

/// Attaches to all targets before the recording begins for any.
fn attach(session: &mut Session, targets: &[Target]) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for target in targets {
        all.push(session.attach(target.pid).map_err(|error| refused(target, error))?);
    }
    session.start()?;
    for attached in &all {
        announce(attached);
    }
    Ok(())
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
        status::say(&format!("no function of {name} found in PID {pid}: it has nothing of it mapped from {files}"));
    }
    // Where growth is recorded, a process need not have an allocator.
    let files = if files.is_empty() { "page faults alone".to_owned() } else { files.join(", ") };
    status::say(&format!("attached to PID {pid}: {files}"));
}

/// What is done to keep the budget.
fn announce_mode(mode: budget::Mode) {
    status::say(&match mode {
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

fn config(recording: &Recording) -> Config {
    Config {
        kernel: Options {
            ring_bytes: recording.ring_bytes,
            shards: recording.shards.unwrap_or_else(shards_for_this_machine),
            follow: recording.follow,
            min_size: recording.sizes.min,
            max_size: recording.sizes.max,
            rows: rows::for_recording(recording),
            stacks: recording.stacks,
            // With a budget, sampling may begin at any time.
            sample: recording.sample.or(recording.max_overhead.map(|_| 1)),
            growth: recording.mode == Mode::Growth,
            empty: recording.empty_programs,
            log_level: log_level(),
        },
        max_live: recording.max_live,
        older: recording.older,
        named: recording.named.clone(),
        budget: recording.max_overhead.map(|millionths| f64::from(millionths) / 1e6),
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
