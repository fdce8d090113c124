//! `--mode growth`: memory that becomes resident is told where it is touched, and nothing slows malloc down.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use heaptide_tests::build;
use heaptide_tests::heaptide::{self, Recording, Report};
use heaptide_tests::profile::Process;
use heaptide_tests::program::{Program, Stream};
use heaptide_tests::workload::Workload;

const MODE: &[&str] = &["--mode", "growth"];

/// What a workload says of a place: `touched SITE MEMORY BYTES LEFT`.
#[derive(Debug)]
struct Touched {
    site: String,
    memory: String,
    bytes: u64,
    left: u64,
}

fn touched<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Vec<Touched>> {
    let mut all = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["touched", site, memory, bytes, left] = words[..] {
            let (bytes, left) = (bytes.parse()?, left.parse()?);
            all.push(Touched { site: site.to_owned(), memory: memory.to_owned(), bytes, left });
        }
    }
    ensure!(!all.is_empty(), "the workload said nothing of its memory");
    Ok(all)
}

/// Each place has what the workload says, in bytes; `checked`: also what was given back without being unmapped is known.
fn same(process: &Process, truth: &[Touched], checked: bool) -> Result<()> {
    let sites: Vec<&str> = truth.iter().map(|touched| touched.site.as_str()).collect();
    let sums = process.by_site(&sites);
    for Touched { site, memory, bytes, left } in truth {
        let found = sums.get(&(site.clone(), memory.clone())).copied().unwrap_or_default();
        let is_left = found.outstanding.bytes == *left || !checked && site == "advised";
        ensure!(
            found.allocated.bytes == *bytes && is_left,
            "{site} touched {bytes} bytes of {memory}, and {left} are left; heaptide says {found:?} of {sums:#?}"
        );
        ensure!(*bytes > 0, "{site} has touched nothing: the workload is wrong");
    }
    Ok(())
}

fn number(process: &Process, path: [&str; 2]) -> Result<u64> {
    let growth = process.growth.as_ref().context("the report does not tell of growth")?;
    let value = growth.get(path[0]).with_context(|| format!("no {} in {growth}", path[0]))?;
    let value = if path[1].is_empty() { Some(value) } else { value.get(path[1]) };
    value.and_then(serde_json::Value::as_u64).with_context(|| format!("no number {path:?} in {growth}"))
}

fn attached(options: &[&str]) -> Result<(Vec<Touched>, Report, u32)> {
    let mut workload = Workload::start("growth", &[])?;
    let recording = Recording::attach(&[workload.pid()], &[MODE, options].concat())?;
    workload.go()?;
    let truth = touched(workload.work()?)?;
    Ok((truth, recording.stop()?, workload.pid()))
}

#[test]
fn pages_are_counted_where_they_are_touched() -> Result<()> {
    let (truth, report, pid) = attached(&[])?;
    let process = report.profile.process(pid, 0).context("the process is not reported")?;
    same(process, &truth, true).with_context(|| format!("not known: {:?}", report.profile.unknown))?;
    // 100 pages were only read.
    let zeroes = number(process, ["zero_faults", ""])?;
    ensure!((100..200).contains(&zeroes), "{zeroes} faults of the page of zeroes");
    ensure!(process.sum("heap").allocated.blocks == 0, "blocks were recorded: {:?}", process.sum("heap"));
    let text = report.ended.out.join("\n");
    ensure!(text.contains("Exact: no event is missing") && text.contains("explained by what was touched"), "{text}");
    Ok(())
}

#[test]
fn what_was_touched_explains_what_the_process_grew_by() -> Result<()> {
    // The kernel sums its counters up by the batch: 32 pages for each processor and kind, and more on large machines.
    const TOLERANCE: u64 = 1 << 20;
    let (_, report, pid) = attached(&[])?;
    let process = report.profile.process(pid, 0).context("the process is not reported")?;
    let own = |when| Ok::<_, anyhow::Error>(number(process, [when, "anonymous"])? + number(process, [when, "shared"])?);
    let grown = own("end")?.checked_sub(own("begin")?).context("the process has shrunk")?;
    let kinds = ["touched_heap", "touched_anonymous", "touched_stack", "touched_file_copy", "touched_shared"];
    let is_own = |memory: &str| kinds.contains(&memory);
    let stacks = process.stacks.iter().filter(|stack| is_own(&stack.memory));
    let held: u64 = stacks.map(|stack| stack.totals.outstanding.bytes).sum();
    ensure!(grown > 4 << 20, "the workload grew by {grown} bytes only");
    ensure!(grown.abs_diff(held) <= TOLERANCE, "it grew by {grown} bytes, and {held} are told of");
    Ok(())
}

#[test]
fn pages_are_counted_from_the_first_instruction_on() -> Result<()> {
    let report = Recording::command("growth", &[], MODE)?.end()?;
    ensure!(report.ended.status.code() == Some(0), "{:?}", report.ended);
    let truth = touched(report.ended.out.iter().map(String::as_str))?;
    let process = report.profile.processes.first().context("no process is reported")?;
    same(process, &truth, false)?;
    ensure!(report.ended.out.iter().any(|line| line.contains("without being unmapped (madvise)")), "{report:?}");
    Ok(())
}

#[test]
fn pages_that_a_child_copies_are_its_own() -> Result<()> {
    let report = Recording::command("growth", &["fork"], &[MODE, &["--follow"]].concat())?.end()?;
    let truth = touched(report.ended.out.iter().map(String::as_str))?;
    let (child, parent): (Vec<_>, Vec<_>) = truth.into_iter().partition(|touched| touched.site == "copied");
    let is_child = |process: &&Process| process.forked_from.is_some();
    let process = report.profile.processes.iter().find(is_child).context("the child is not reported")?;
    same(process, &child, true)?;
    let process = report.profile.processes.iter().find(|process| !is_child(process)).context("no parent")?;
    same(process, &parent, true)
}

#[test]
fn a_child_that_is_not_followed_counts_nowhere() -> Result<()> {
    let report = Recording::command("growth", &["fork"], MODE)?.end()?;
    ensure!(report.profile.processes.len() == 1, "{:?}", report.profile.processes);
    let copied = report.profile.processes[0].by_site(&["copied"]);
    ensure!(copied.keys().all(|(site, _)| site != "copied"), "{copied:?}");
    Ok(())
}

#[test]
fn a_program_without_an_allocator_is_recorded() -> Result<()> {
    let mut bare = Program::start(&mut std::process::Command::new(build::workload("bare")?))?;
    bare.hear(Stream::Out, "ready line", |line| line == "ready")?;
    let recording = Recording::attach(&[bare.pid()], MODE)?;
    let report = recording.stop()?;
    let process = report.profile.process(bare.pid(), 0).context("the process is not reported")?;
    let resident = number(process, ["end", "file"])?;
    ensure!(resident > 0, "a program has at least its code in memory");
    ensure!(report.ended.err.iter().any(|line| line.ends_with(": page faults alone")), "{:?}", report.ended);
    Ok(())
}

#[test]
fn new_threads_are_watched_and_older_ones_too() -> Result<()> {
    // It begins with one thread, and makes more when it is told to go.
    let (truth, report, pid) = attached(&["--stacks", "none"])?;
    let process = report.profile.process(pid, 0).context("the process is not reported")?;
    let of = |memory: &str| truth.iter().filter(|site| site.memory == memory).map(|site| site.bytes).sum::<u64>();
    let stacks = process.sum("touched_stack").allocated.bytes;
    ensure!(
        stacks >= of("touched_stack"),
        "{stacks} bytes of stacks, and a thread has touched {}",
        of("touched_stack")
    );
    // One thread was there, in a loop, before heaptide came: the first one waits.
    let mut faulting = Program::start(&mut std::process::Command::new(build::workload("bench_faults")?))?;
    faulting.hear(Stream::Out, "ready line", |line| line.starts_with("ready"))?;
    let recording = Recording::attach(&[faulting.pid()], MODE)?;
    std::thread::sleep(Duration::from_millis(300));
    let report = recording.stop()?;
    let process = report.profile.process(faulting.pid(), 0).context("the process is not reported")?;
    let found = process.by_site(&["touch"]);
    let touched = found.get(&("touch".to_owned(), "touched_anonymous".to_owned())).copied().unwrap_or_default();
    ensure!(touched.allocated.blocks > 1_000, "an older thread is not watched: {touched:?}");
    // 256 pages, however often they were given back and touched again.
    ensure!(touched.outstanding.blocks <= 256, "{touched:?}");
    Ok(())
}

#[test]
fn a_loop_of_malloc_and_free_meets_no_probe() -> Result<()> {
    let mut churn = Program::start(std::process::Command::new(build::workload("bench_churn")?).arg("1"))?;
    churn.hear(Stream::Out, "ready line", |line| line.starts_with("ready"))?;
    let recording = Recording::attach(&[churn.pid()], MODE)?;
    let mut pairs = || {
        churn.tell("")?;
        let line = churn.hear(Stream::Out, "answer", |line| line.starts_with("pairs"))?;
        line.split(' ').nth(1).and_then(|pairs| pairs.parse::<u64>().ok()).context("not an answer")
    };
    let before = pairs()?;
    std::thread::sleep(Duration::from_secs(1));
    let made = pairs()? - before;
    let report = recording.stop()?;
    let hits = report.profile.cost["hits"].context("the report does not tell of hits")?;
    let faults = number(report.profile.processes.first().context("no process")?, ["faults", ""])?;
    ensure!(made > 1_000_000, "only {made} pairs were made");
    ensure!(hits == 0.0 && faults < 100, "{made} pairs of malloc and free made {hits} hits and {faults} faults");
    Ok(())
}

#[test]
fn folded_and_interim_reports_tell_of_what_was_touched() -> Result<()> {
    let mut workload = Workload::start("growth", &[])?;
    let pid = workload.pid().to_string();
    let mut heaptide = heaptide::attached(["record", "--mode", "growth", "-p", &pid, "-i", "300ms", "--top", "50"])?;
    workload.go()?;
    drop(workload.work()?);
    let header = |line: &str| line.contains("stacks with touched memory that is still there");
    heaptide.hear(Stream::Out, "interim report", header)?;
    heaptide.hear(Stream::Out, "site", |line| line.contains(" whole+0x"))?;
    heaptide.signal(nix::sys::signal::Signal::SIGINT)?;
    ensure!(heaptide.end()?.status.success(), "heaptide did not end well");
    let folded = heaptide::start(["record", "--mode", "growth", "-p", &pid, "-d", "300ms", "--folded", "-"])?.end()?;
    ensure!(folded.status.success(), "{folded:?}");
    Ok(())
}
