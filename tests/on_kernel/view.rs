//! What is shown of a recording, and where: interim reports, ages, the number of stacks, standard output, the terminal.

use std::fs::{File, OpenOptions};
use std::io::PipeReader;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use heaptide_tests::heaptide::{self, Recording};
use heaptide_tests::profile::Profile;
use heaptide_tests::program::{Program, Stream};
use heaptide_tests::workload::Workload;
use heaptide_tests::{build, pace};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::loaded::Loaded;

/// What one command makes the workload `commands` allocate.
const COMMANDED: u64 = 100 * 1000;

/// The workload that allocates when it is told to.
fn commands() -> Result<Workload> {
    Workload::run(&mut Command::new(build::workload("commands")?))
}

fn command(workload: &mut Workload, word: &str) -> Result<()> {
    workload.tell(word)?;
    workload.hear("done").map(drop)
}

/// Outstanding bytes in the last line of an interim report, when `line` is one.
fn outstanding(line: &str) -> Option<u64> {
    let words = line.trim().strip_suffix(" outstanding in all")?;
    // `97.7 KiB (100000 bytes) in …`, or `0 bytes in …`.
    let exact = words.split_once('(').map_or(words, |(_, exact)| exact);
    exact.split(' ').next()?.parse().ok()
}

#[test]
fn interim_reports_follow_what_is_allocated() -> Result<()> {
    let mut workload = commands()?;
    let mut recording = Recording::attach(&[workload.pid()], &["-i", "300ms"])?;
    for round in 1..=3 {
        command(&mut workload, "more")?;
        let is_up_to_date = |line: &str| outstanding(line) == Some(round * COMMANDED);
        recording.program().hear(Stream::Out, "interim report with all that was allocated", is_up_to_date)?;
    }
    let report = recording.stop()?;
    let text = report.ended.out.join("\n");
    let stack = format!("    {} bytes in 300 allocations from stack", 3 * COMMANDED);
    ensure!(text.contains(&stack) && text.contains("Top 1 stacks with outstanding allocations:"), "{text}");
    Ok(())
}

#[test]
fn young_blocks_are_counted_but_not_shown() -> Result<()> {
    let mut workload = commands()?;
    // Longer than a busy machine takes from the young blocks to the end.
    let recording = Recording::attach(&[workload.pid()], &["--older", "6s"])?;
    command(&mut workload, "old")?;
    thread::sleep(Duration::from_millis(6500));
    command(&mut workload, "young")?;
    let report = recording.stop()?;

    let text = report.ended.out.join("\n");
    ensure!(text.contains(" old+0x") && !text.contains(" young+0x"), "{text}");
    ensure!(text.contains("1 stack, by what is outstanding, and older than 6 s:"), "{text}");
    let process = report.profile.process(workload.pid(), 0).context("the process is not reported")?;
    ensure!(process.sum("heap").outstanding.bytes == 2 * COMMANDED, "{:?}", process.sum("heap"));
    for (site, shown) in [("old", COMMANDED), ("young", 0)] {
        let of_site = |stack: &&_| heaptide_tests::profile::Stack::functions(stack).any(|function| function == site);
        let heap = process.stacks.iter().filter(|stack| stack.memory == "heap");
        let stack = { heap }.find(of_site).with_context(|| format!("no stack of {site}"))?;
        ensure!((stack.shown.bytes, stack.totals.outstanding.bytes) == (shown, COMMANDED), "{stack:?}");
    }
    Ok(())
}

#[test]
fn as_many_stacks_are_shown_as_were_asked_for() -> Result<()> {
    let mut workload = commands()?;
    let recording = Recording::attach(&[workload.pid()], &["--top", "1"])?;
    for word in ["old", "young", "more"] {
        command(&mut workload, word)?;
    }
    let report = recording.stop()?;
    let shown = report.ended.out.iter().filter(|line| line.contains(" allocations from stack")).count();
    let text = report.ended.out.join("\n");
    ensure!(shown == 1 && text.contains("The largest 1 of 3 stacks"), "{text}");
    ensure!(text.contains("Not shown: 2 more stacks with 195.3 KiB (200000 bytes) in 200 allocations."), "{text}");
    // The limit is the text's alone.
    let process = report.profile.process(workload.pid(), 0).context("the process is not reported")?;
    let of_the_program = process.stacks.iter().filter(|stack| stack.memory != "allocator").count();
    ensure!(of_the_program == 3, "{:?}", process.stacks);
    Ok(())
}

/// All that heaptide prints when it records `more` blocks and is interrupted.
fn printed(options: &[&str]) -> Result<Vec<String>> {
    let mut workload = commands()?;
    let pid = workload.pid().to_string();
    let recording = heaptide::attached([&["record", "-p", &pid], options].concat())?;
    command(&mut workload, "more")?;
    recording.signal(Signal::SIGINT)?;
    let ended = recording.end()?;
    ensure!(ended.status.code() == Some(0), "{ended:?}");
    Ok(ended.out)
}

#[test]
fn folded_stacks_on_standard_output_are_alone_there() -> Result<()> {
    let lines = printed(&["--folded", "-"])?;
    ensure!(lines.len() == 1, "{lines:?}");
    ensure!(lines[0].starts_with("commands;") && lines[0].ends_with(";main;more 100000"), "{lines:?}");
    Ok(())
}

#[test]
fn json_on_standard_output_is_alone_there() -> Result<()> {
    let lines = printed(&["--json", "-"])?;
    let profile: Profile = serde_json::from_str(&lines.join("\n")).context("it is no profile")?;
    ensure!(
        profile.processes.len() == 1 && profile.processes[0].sum("heap").outstanding.bytes == COMMANDED,
        "{lines:?}"
    );
    Ok(())
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() -> Result<()> {
    let before = Loaded::now()?;
    let workload = commands()?;
    let folder = TempDir::new()?;
    let json = folder.path().join("json");
    let (reader, writer): (PipeReader, _) = std::io::pipe()?;
    // As after `| head -1`: what is written comes to nobody.
    drop(reader);
    let mut child = Command::new(heaptide::program()?)
        .args(["record", "-d", "500ms", "-p", &workload.pid().to_string(), "--json"])
        .arg(&json)
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()?;
    let status = child.wait()?;
    let err = std::io::read_to_string(child.stderr.take().context("no standard error")?)?;
    ensure!(status.code() == Some(0) && !err.contains("heaptide:"), "{status:?}: {err}");
    let _: Profile = serde_json::from_reader(File::open(&json).context("the other report was not written")?)?;
    before.nothing_added()
}

#[test]
fn a_second_interrupt_leaves_at_once() -> Result<()> {
    let before = Loaded::now()?;
    let mut workload = Workload::start("functions", &[])?;
    let folder = TempDir::new()?;
    let path = folder.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU)?;
    // Open for writing too, so that neither side waits for the other; and so small that the report does not fit.
    let pipe = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(&path)?;
    fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(4096))?;
    let path = path.to_str().context("a temporary path is text")?;
    let recording = heaptide::attached(["record", "-p", &workload.pid().to_string(), "--json", path])?;
    workload.go()?;
    workload.done()?;

    recording.signal(Signal::SIGINT)?;
    let timeout = PollTimeout::try_from(pace::deadline())?;
    let written = poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], timeout)?;
    ensure!(written == 1, "no report begins");
    recording.signal(Signal::SIGINT)?;
    let ended = recording.end()?;
    ensure!(ended.status.code() == Some(130), "{ended:?}");
    before.nothing_added()?;
    ensure!(workload.end()?.status.success(), "the target did not end well");
    Ok(())
}

/// A recording of half a second whose three streams are a terminal, as `script` makes one.
#[test]
fn the_status_line_is_for_terminals() -> Result<()> {
    let mut workload = commands()?;
    command(&mut workload, "more")?;
    let words = format!("{} record -d 1500ms -p {}", heaptide::program()?.display(), workload.pid());
    let on_terminal = Program::start(Command::new("script").args(["-qec", &words, "/dev/null"]))?.end()?;
    ensure!(on_terminal.status.success(), "{on_terminal:?}");
    let text = on_terminal.out.join("\n");
    ensure!(text.contains("events/s") && text.contains("(Ctrl-C ends the recording)"), "{text}");

    let piped = heaptide::run(["record", "-d", "1500ms", "-p", &workload.pid().to_string()])?;
    let all = [piped.out, piped.err].concat().join("\n");
    ensure!(!all.contains("events/s") && !all.contains('\r') && !all.contains('\u{1b}'), "{all}");
    Ok(())
}
