//! What cannot be recorded: one clear line, the right exit code, and nothing left attached.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, ensure};
use heaptide_tests::program::{Ended, Program, Stream};
use heaptide_tests::workload::Workload;
use heaptide_tests::{build, heaptide};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, gettid};
use tempfile::TempDir;

use crate::loaded::Loaded;

const FAILURE: i32 = 1;
const WRONG_USAGE: i32 = 2;

/// Exit code 1, and exactly one line of heaptide's own that holds all of `words`.
fn is_failure(ended: &Ended, words: &[&str]) -> Result<()> {
    ensure!(ended.status.code() == Some(FAILURE), "exit code 1 is wanted: {ended:?}");
    let others = ended.err.iter().filter(|line| !line.starts_with("attached to PID "));
    let lines: Vec<&String> = others.collect();
    ensure!(lines.len() == 1 && lines[0].starts_with("heaptide: "), "one line `heaptide: …` is wanted: {ended:?}");
    for word in words {
        ensure!(lines[0].contains(word), "{word:?} is missing in {:?}", lines[0]);
    }
    Ok(())
}

fn fails(arguments: &[&str], words: &[&str]) -> Result<()> {
    let before = Loaded::now()?;
    is_failure(&heaptide::run(arguments)?, words)?;
    before.nothing_added()
}

#[test]
fn a_process_that_does_not_exist_is_named() -> Result<()> {
    // The largest process id that Linux can be told to use is 4,194,304.
    fails(&["record", "-p", "4194305"], &["4194305"])
}

#[test]
fn a_kernel_thread_is_refused() -> Result<()> {
    let kernel_thread = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line.split_whitespace().eq(["Kthread:", "1"]))
            || *pid == 2 && status.starts_with("Name:\tkthreadd\n")
    };
    let pids = fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let pid: u32 = pids.into_iter().find(kernel_thread).context("no kernel thread can be seen on this machine")?;
    fails(&["record", "-p", &pid.to_string()], &["kernel thread"])
}

#[test]
fn a_zombie_is_refused() -> Result<()> {
    let mut child = Command::new("true").spawn()?;
    let pid = child.id();
    // Waits for its end and leaves it a zombie.
    waitid(Id::Pid(Pid::from_raw(i32::try_from(pid)?)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
    let result = fails(&["record", "-p", &pid.to_string()], &[&pid.to_string()]);
    child.wait()?;
    result
}

#[test]
fn a_thread_is_not_a_process() -> Result<()> {
    let (tid_sender, tid) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        // Lives until `end` is dropped.
        let _ = tid_sender.send(gettid());
        let _ = ended.recv();
    });
    let tid = tid.recv()?.to_string();
    let process = std::process::id().to_string();
    let result = fails(&["record", "-p", &tid], &[&tid, &process]);
    drop(end);
    thread.join().ok().context("the thread panicked")?;
    result
}

#[test]
fn a_program_without_an_allocator_is_refused() -> Result<()> {
    let mut program = Program::start(&mut Command::new(build::workload("bare")?))?;
    program.hear(Stream::Out, "ready line", |line| line == "ready")?;
    fails(&["record", "-p", &program.pid().to_string()], &["allocator"])
}

#[test]
fn one_process_that_does_not_exist_stops_all() -> Result<()> {
    let workload = Workload::start("middle", &[])?;
    fails(&["record", "-p", &workload.pid().to_string(), "-p", "4194305"], &["4194305"])
}

#[test]
fn wrong_usage_is_told_before_anything_is_done() -> Result<()> {
    let workload = Workload::start("middle", &[])?;
    let pid = workload.pid().to_string();
    let wrong: [&[&str]; 9] = [
        &["record"],
        &["record", "-p", "abc"],
        &["record", "-p", &pid, "-d", "banana"],
        &["record", "-p", &pid, "-d", "0"],
        &["record", "-p", &pid, "--min-size", "banana"],
        &["record", "-p", &pid, "--max-size", "-5"],
        &["record", "-p", &pid, "--min-size", "2K", "--max-size", "1K"],
        &["record", "-p", &pid, "--", "true"],
        &["record", "-p", &pid, "--no-such-option"],
    ];
    let before = Loaded::now()?;
    for arguments in wrong {
        let ended = heaptide::run(arguments)?;
        ensure!(ended.status.code() == Some(WRONG_USAGE), "{arguments:?}: {ended:?}");
        ensure!(ended.out.is_empty() && !ended.err.is_empty(), "{arguments:?}: {ended:?}");
        ensure!(!ended.err.iter().any(|line| line.starts_with("attached")), "{arguments:?}: {ended:?}");
    }
    before.nothing_added()
}

#[test]
fn an_output_that_cannot_be_created_is_told_before_attaching() -> Result<()> {
    let workload = Workload::start("middle", &[])?;
    let pid = workload.pid().to_string();
    for option in ["--json", "--folded"] {
        let before = Loaded::now()?;
        let ended = heaptide::run(["record", "-p", &pid, option, "/nonexistent/folder/out"])?;
        is_failure(&ended, &["/nonexistent/folder"])?;
        ensure!(ended.err.len() == 1, "it attached first: {ended:?}");
        before.nothing_added()?;
    }
    Ok(())
}

#[test]
fn a_full_disk_is_a_failure() -> Result<()> {
    for option in ["--json", "--folded"] {
        let before = Loaded::now()?;
        let mut workload = Workload::start("middle", &[])?;
        let recording = heaptide::attached(["record", "-p", &workload.pid().to_string(), option, "/dev/full"])?;
        workload.go()?;
        workload.done()?;
        recording.signal(Signal::SIGINT)?;
        is_failure(&recording.end()?, &["/dev/full", "No space left"])?;
        before.nothing_added()?;
    }
    Ok(())
}

#[test]
fn a_report_that_cannot_be_printed_is_a_failure() -> Result<()> {
    let mut workload = Workload::start("middle", &[])?;
    let pid = workload.pid().to_string();
    let full = File::options().write(true).open("/dev/full")?;
    let mut command = Command::new(heaptide::program()?);
    command.args(["record", "-p", &pid, "-d", "1s"]).stdin(Stdio::null()).stdout(full).stderr(Stdio::piped());
    // Ends by its duration.
    let child = command.spawn()?;
    workload.go()?;
    workload.done()?;
    let output = child.wait_with_output()?;
    let err = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
    is_failure(&Ended { status: output.status, out: Vec::new(), err }, &["No space left"])
}

/// heaptide, run by a user without any privileges. The program is copied to where that user can read it.
fn unprivileged(arguments: &[&str]) -> Result<Ended> {
    let folder = TempDir::with_prefix("unprivileged")?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    let program = folder.path().join("heaptide");
    fs::copy(heaptide::program()?, &program)?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    let words: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    Program::start(as_nobody().arg(program).args(words))?.end()
}

fn as_nobody() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).current_dir("/");
    command
}

#[test]
fn missing_privileges_for_a_process_of_ones_own_are_told() -> Result<()> {
    let target = Program::start(as_nobody().arg("cat"))?;
    is_failure(&unprivileged(&["record", "-p", &target.pid().to_string()])?, &[])
}

#[test]
fn missing_privileges_for_a_process_of_another_user_are_told() -> Result<()> {
    let workload = Workload::start("middle", &[])?;
    is_failure(&unprivileged(&["record", "-p", &workload.pid().to_string()])?, &[])
}
