//! Code that programs make while they run has the names that they give it.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use heaptide_tests::heaptide::Recording;
use heaptide_tests::program::{Program, Stream};
use heaptide_tests::workload::Workload;
use heaptide_tests::{build, compare};
use tempfile::TempDir;

#[test]
fn made_code_is_named_while_its_process_lives() -> Result<()> {
    let mut workload = Workload::start("jit", &[])?;
    let recording = Recording::attach(&[workload.pid()], &[])?;
    workload.go()?;
    let accounts = workload.done()?;
    let report = recording.stop()?;
    workload.end()?;
    compare::same("jit", &accounts, &report.profile)
}

#[test]
fn made_code_is_named_after_the_end_of_its_process() -> Result<()> {
    let mut workload = Workload::start("jit", &["twice"])?;
    let recording = Recording::attach(&[workload.pid()], &[])?;
    workload.go()?;
    workload.hear("made")?;
    // heaptide looks for the map within some milliseconds; the machine may be busy.
    sleep(Duration::from_secs(1));
    workload.tell("go on")?;
    let accounts = workload.done()?;
    ensure!(workload.end()?.status.success(), "the target did not end well");
    compare::same("jit, ended", &accounts, &recording.end()?.profile)
}

/// The only child of process `pid`, which may not be there yet.
fn child(pid: u32) -> Result<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        let children = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        if let Some(child) = children.split_whitespace().next() {
            return child.parse().context("a pid is a number");
        }
        sleep(Duration::from_millis(10));
    }
    anyhow::bail!("process {pid} has no child")
}

#[test]
fn made_code_in_a_container_is_named_by_its_own_map() -> Result<()> {
    // With another pid inside than outside, and a /tmp that goes with its last process. The program is opened before
    // that /tmp hides it.
    let script = r#"exec 3<"$1" && mount -t tmpfs none /tmp && exec /proc/self/fd/3 wait twice"#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh"]).arg(build::workload("jit")?);
    let mut workload = Workload::run(&mut command)?;
    let pid = child(workload.pid())?;
    let recording = Recording::attach(&[pid], &[])?;
    workload.go()?;
    workload.hear("made")?;
    sleep(Duration::from_secs(1));
    workload.tell("go on")?;
    let mut accounts = workload.done()?;
    ensure!(workload.end()?.status.success(), "the target did not end well");
    for account in &mut accounts {
        ensure!(account.pid == 1, "the target should be the first process of its namespace");
        account.pid = pid;
    }
    compare::same("jit, in a container", &accounts, &recording.end()?.profile)
}

#[test]
fn a_map_of_another_user_is_not_believed() -> Result<()> {
    let mut workload = Workload::start("jit", &[])?;
    let recording = Recording::attach(&[workload.pid()], &[])?;
    workload.go()?;
    workload.done()?;
    let path = format!("/tmp/perf-{}.map", workload.pid());
    std::os::unix::fs::chown(&path, Some(65_534), None)?;
    let report = recording.stop()?;
    workload.end()?;
    let frames = report.profile.processes.iter().flat_map(|process| &process.stacks).flat_map(|stack| &stack.frames);
    let modules: Vec<_> = frames.filter_map(|frame| frame.module.as_deref()).collect();
    ensure!(!modules.contains(&"[jit]"), "the map was believed: {modules:?}");
    Ok(())
}

/// What keeps buffers, in a language whose engine makes code.
const SCRIPT: &str = r"
const kept = [];
function keepBuffers(count) { for (let i = 0; i < count; i++) kept.push(Buffer.allocUnsafeSlow(20000)); }
function handleRequest(count) { keepBuffers(count); return kept.length; }
console.log('ready');
process.stdin.once('data', () => {
    for (let round = 0; round < 100; round++) handleRequest(20);
    console.log('done');
    process.stdin.once('data', () => process.exit(0));
});
";

#[test]
fn functions_of_javascript_are_named() -> Result<()> {
    // Where there is no node, there is nothing to test.
    if Command::new("node").arg("--version").output().is_err() {
        return Ok(());
    }
    // The engine leaves a log of its own where it runs.
    let folder = TempDir::new()?;
    let mut command = Command::new("node");
    command.current_dir(&folder);
    command.args(["--perf-basic-prof", "--interpreted-frames-native-stack", "-e", SCRIPT]);
    let mut node = Program::start(&mut command)?;
    node.hear(Stream::Out, "ready line", |line| line == "ready")?;
    let recording = Recording::attach(&[node.pid()], &[])?;
    node.tell("go")?;
    node.hear(Stream::Out, "done line", |line| line == "done")?;
    let map = format!("/tmp/perf-{}.map", node.pid());
    node.tell("end")?;
    node.end()?;
    let report = recording.end()?;
    fs::remove_file(map)?;
    // Engines compile a function anew, with another mark before its name: each holds some of its 2000 buffers.
    let mut held = 0;
    for stack in report.profile.processes.iter().flat_map(|process| &process.stacks) {
        let named = |name: &str| stack.functions().any(|function| function.contains(name));
        // What is inlined has no frame of its own in optimized code.
        if named("keepBuffers") || named("handleRequest") {
            held += stack.totals.outstanding.blocks;
        }
    }
    ensure!(held >= 2000, "only {held} of 2000 buffers are known to be held by their function");
    Ok(())
}
