//! `heaptide watch`: what its lines say is so, and it ends when and how it was told.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use heaptide_tests::program::Ended;
use heaptide_tests::truth::Account;
use heaptide_tests::watch::{self, Watch, number};
use heaptide_tests::workload::Workload;
use heaptide_tests::{build, heaptide};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Blocks of 4 KiB, 200 a second: growing is the verdict some 7 s later, when a good part of it has become old.
const LEAK: &str = "leak 4096 5";

const SOON: &str = "20s";

fn obeys() -> Result<Workload> {
    let mut workload = Workload::start("obeys", &[])?;
    workload.go()?;
    // The first word that it is told is obeyed when it has begun a new account.
    workload.order("rest")?;
    Ok(workload)
}

/// One that leaks.
pub fn leaking() -> Result<Workload> {
    let mut workload = obeys()?;
    workload.order(LEAK)?;
    Ok(workload)
}

/// One that holds what it took before anybody looked, and takes and gives back blocks ever since.
pub fn steady() -> Result<Workload> {
    let mut workload = obeys()?;
    workload.order("hold alpha 100 10000")?;
    workload.order("churn 4096 5")?;
    Ok(workload)
}

/// One that rests until it is told more.
pub fn resting() -> Result<Workload> {
    obeys()
}

/// `VmRSS` of a process as the kernel says it now, in bytes.
fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

fn same_as(interval: &Value, pid: u32, account: &Account) -> Result<()> {
    let process = watch::process(interval, pid)?;
    for (name, of) in [("outstanding_bytes", 4), ("outstanding_blocks", 5)] {
        let (found, wanted) = (number(process, name)?, account.sum(of));
        ensure!(found == wanted, "{name}: {found}, and the workload says {wanted}: {interval}");
        ensure!(number(interval, name)? == wanted, "all and the only process differ: {interval}");
    }
    Ok(())
}

#[test]
fn intervals_say_what_the_process_holds_at_their_time() -> Result<()> {
    let mut workload = resting()?;
    let pid = workload.pid();
    let mut watch = Watch::attach(&[pid], &[])?;
    for orders in [["hold alpha 300 5000", "hold beta 7 300000"], ["drop alpha", "hold gamma_ 50 100"]] {
        orders.iter().try_for_each(|order| workload.order(order))?;
        let account = workload.account()?;
        ensure!(account.sum(4) > 0, "the workload holds nothing");
        let interval = watch.fresh_interval()?;
        same_as(&interval, pid, &account)?;
        let (told, read) = (number(&interval, "rss")?, resident(pid)?);
        ensure!(told.abs_diff(read) <= 1 << 20, "{told} bytes are resident, and /proc says {read}");
    }
    let account = workload.account()?;
    let watched = watch.stop()?;
    ensure!(watched.ended.status.success(), "{watched:?}");

    let conclusion = watched.conclusion()?;
    same_as_conclusion(watch::process(conclusion, pid)?, &account)?;
    let others = watched.objects.iter().filter(|object| object["type"] != "interval").count();
    ensure!(others == 1, "something else than intervals and the conclusion was said: {:?}", watched.objects);
    let times: Vec<f64> = watched.of_type("interval").filter_map(|interval| interval["seconds"].as_f64()).collect();
    ensure!(times.len() + 1 == watched.objects.len() && times.is_sorted(), "{times:?}");
    for (name, of) in [("allocated_bytes", 0), ("freed_bytes", 2)] {
        let sum: u64 = watched.of_type("interval").map(|interval| number(interval, name)).sum::<Result<u64>>()?;
        ensure!(sum == account.sum(of), "{name}: {sum} in all, and the workload says {}", account.sum(of));
    }
    Ok(())
}

fn same_as_conclusion(process: &Value, account: &Account) -> Result<()> {
    let held = (number(process, "outstanding_bytes")?, number(process, "outstanding_blocks")?);
    ensure!(held == (account.sum(4), account.sum(5)), "{held:?} is held in the end: {account:?}");
    Ok(())
}

#[test]
fn a_leak_ends_a_watch_until_it_grows() -> Result<()> {
    let mut workload = leaking()?;
    let watch = Watch::attach(&[workload.pid()], &["--for", SOON, "--until", "growing", "--sure", "50%"])?;
    let watched = watch.end()?;
    ensure!(watched.ended.status.code() == Some(0), "{watched:?}");
    let conclusion = watched.conclusion()?;
    let seconds = conclusion["seconds"].as_f64().context("no time")?;
    ensure!(conclusion["verdict"] == "growing" && seconds < 15.0, "{conclusion}");

    // It is the function that leaks that is named, where it does.
    let suspect = &watch::process(conclusion, workload.pid())?["suspects"][0];
    let frame = &suspect["frames"][0];
    ensure!(frame["function"] == "keep_for_ever" && suspect["verdict"] == "growing", "{suspect}");
    let source = build::workload_source("obeys")?;
    let line = source.lines().position(|line| line == "TAKES(keep_for_ever)").context("the workload was changed")? + 1;
    ensure!(frame["file"].as_str().is_some_and(|file| file.ends_with("obeys.c")), "{frame}");
    ensure!(frame["line"] == line && frame["module"] == "obeys", "{frame}, and it is line {line}");

    // 4 KiB every 5 ms, less what a busy machine delays.
    let rate = suspect["growth_bytes_per_second"].as_f64().context("no growth")?;
    let account = workload.account()?;
    ensure!((600e3..=860e3).contains(&rate), "grows by {rate} bytes a second; the workload says {account:?}");
    Ok(())
}

#[test]
fn growth_that_is_not_sure_yet_ends_no_watch_and_runs_no_command() -> Result<()> {
    let workload = leaking()?;
    let options = ["--for", "12s", "--until", "growing", "--on", "growing", "true"];
    let watched = Watch::attach(&[workload.pid()], &options)?.end()?;
    // It is said to grow, by so much.
    let growing = watched.of_type("interval").filter(|interval| interval["processes"][0]["verdict"] == "growing");
    let sure = growing.filter_map(|interval| interval["processes"][0]["confidence"].as_f64()).fold(0.0, f64::max);
    ensure!((0.5..0.8).contains(&sure), "{sure}: {watched:?}");
    let seconds = watched.conclusion()?["seconds"].as_f64().context("no time")?;
    ensure!(seconds > 11.5 && watched.of_type("trigger").next().is_none(), "{watched:?}");
    Ok(())
}

/// The exit code and the verdict.
fn judged(workload: &Workload, options: &[&str]) -> Result<(Option<i32>, Value)> {
    let watched = Watch::attach(&[workload.pid()], options)?.end()?;
    let verdict = watched.conclusion()?["verdict"].clone();
    Ok((watched.ended.status.code(), verdict))
}

#[test]
fn the_exit_code_tells_a_leak_when_it_was_asked_to() -> Result<()> {
    let workload = leaking()?;
    let ended = judged(&workload, &["--for", "9s", "--exit-code"])?;
    ensure!(ended == (Some(10), "growing".into()), "{ended:?}");
    let ended = judged(&workload, &["--for", "9s"])?;
    ensure!(ended == (Some(0), "growing".into()), "{ended:?}");
    Ok(())
}

#[test]
fn the_exit_code_tells_that_nothing_grows() -> Result<()> {
    let ended = judged(&steady()?, &["--for", "5s", "--exit-code"])?;
    ensure!(ended == (Some(0), "steady".into()), "{ended:?}");
    Ok(())
}

#[test]
fn the_exit_code_tells_that_it_is_too_early() -> Result<()> {
    let ended = judged(&leaking()?, &["--for", "1s", "--exit-code"])?;
    ensure!(ended == (Some(11), "too_early".into()), "{ended:?}");
    let ended = judged(&leaking()?, &["--for", "1s"])?;
    ensure!(ended == (Some(0), "too_early".into()), "{ended:?}");
    Ok(())
}

/// Watches a workload in another form than JSON, and returns what it said.
fn written(workload: &Workload, options: &[&str]) -> Result<Ended> {
    let pid = workload.pid().to_string();
    let arguments = [&["watch", "-p", &pid, "-i", "200ms"], options].concat();
    let ended = heaptide::run(arguments)?;
    ensure!(ended.status.code() == Some(0), "{ended:?}");
    Ok(ended)
}

#[test]
fn lines_for_spreadsheets_have_a_value_for_each_column() -> Result<()> {
    let workload = leaking()?;
    let ended = written(&workload, &["--csv", "--for", "4s"])?;
    let names: Vec<&str> = ended.out[0].split(',').collect();
    let column = |name: &str| names.iter().position(|column| *column == name).with_context(|| format!("no {name}"));
    let (pid, held, verdict) = (column("pid")?, column("outstanding_bytes")?, column("verdict")?);
    ensure!((16..=20).contains(&(ended.out.len() - 1)), "4 s are 20 lines: {ended:?}");
    let mut before = 0;
    for line in &ended.out[1..] {
        let values: Vec<&str> = line.split(',').collect();
        ensure!(values.len() == names.len() && values[pid] == workload.pid().to_string(), "{line}");
        let now: u64 = values[held].parse().with_context(|| format!("no number of bytes in {line}"))?;
        ensure!(now > before && !values[verdict].is_empty(), "{line}, and {before} bytes before");
        before = now;
    }
    // The conclusion is for people: it does not get into the sheet.
    let said = ended.err.join("\n");
    ensure!(said.contains("\nAfter 4 s: too early to say") && said.contains("obeys (pid "), "{said}");
    Ok(())
}

#[test]
fn lines_for_people_end_with_the_verdict_and_who_leaks() -> Result<()> {
    let workload = leaking()?;
    let ended = written(&workload, &["--for", "9s"])?;
    let head: Vec<&str> = ended.out[0].split_whitespace().collect();
    ensure!(head == ["time", "rss", "pss", "outstanding", "blocks", "growth", "verdict"], "{ended:?}");
    let lines = ended.out[1..].iter().take_while(|line| !line.is_empty()).count();
    ensure!((36..=45).contains(&lines), "9 s are 45 lines, and not {lines}: {ended:?}");
    ensure!(ended.out[lines].contains("  growing ("), "{ended:?}");
    let said = ended.out[lines + 1..].join("\n");
    let pid = workload.pid();
    for words in [
        "After 9 s: growing (".to_owned(),
        format!("obeys (pid {pid}) holds "),
        "1. obeys.c:".to_owned(),
        " `keep_for_ever` holds ".to_owned(),
        "no sign of leveling off: leak suspect.".to_owned(),
        "Exact: no event is missing".to_owned(),
    ] {
        ensure!(said.contains(&words), "{words:?} is missing:\n{said}");
    }
    Ok(())
}

#[test]
fn a_target_that_ends_is_judged_by_what_was_seen() -> Result<()> {
    let mut workload = leaking()?;
    let pid = workload.pid();
    let mut watch = Watch::attach(&[pid], &[])?;
    watch.interval("verdict", |interval| interval["verdict"] == "growing")?;
    workload.order("rest")?;
    let account = workload.account()?;
    workload.tell("leave 3")?;
    let watched = watch.end()?;
    ensure!(workload.end()?.status.code() == Some(3), "the target did not end as it was told");
    ensure!(watched.ended.status.code() == Some(0), "{watched:?}");
    let process = watch::process(watched.conclusion()?, pid)?;
    ensure!(process["verdict"] == "growing" && process["ended"] == "exited", "{process}");
    // The workload was attached to when it leaked already.
    let held = number(process, "outstanding_blocks")?;
    ensure!(held > 1000 && held <= account.sum(5), "{held} blocks of {account:?}");
    Ok(())
}

#[test]
fn ctrl_c_ends_with_a_verdict() -> Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let workload = steady()?;
        let mut watch = Watch::attach(&[workload.pid()], &["--exit-code"])?;
        watch.interval("verdict", |interval| interval["verdict"] == "steady")?;
        watch.program().signal(signal)?;
        let watched = watch.end()?;
        let verdict = &watched.conclusion()?["verdict"];
        ensure!(watched.ended.status.code() == Some(0) && verdict == "steady", "{signal}: {watched:?}");
    }
    Ok(())
}

/// Watches a command from its begin.
fn command(options: &[&str], orders: &[&str]) -> Result<(Option<i32>, Value)> {
    let program = build::workload("obeys")?;
    let mut arguments: Vec<String> = ["watch", "--json", "-i", "100ms"].map(str::to_owned).to_vec();
    arguments.extend(options.iter().map(|&option| option.to_owned()));
    arguments.extend(["--".to_owned(), text(&program)?]);
    arguments.extend(orders.iter().map(|&order| order.to_owned()));
    let mut ended = heaptide::run(arguments)?;
    // The command's own lines are among heaptide's.
    ended.out.retain(|line| line != "done");
    let code = ended.status.code();
    Ok((code, watch::Watched::of(ended)?.conclusion()?.clone()))
}

fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).context("a path is text")
}

#[test]
fn a_command_gives_its_own_exit_code() -> Result<()> {
    let (code, conclusion) = command(&[], &["hold alpha 10 1000", "leave 7"])?;
    ensure!(code == Some(7) && conclusion["processes"][0]["ended"] == "exited", "{code:?} {conclusion}");
    ensure!(number(&conclusion["processes"][0], "outstanding_bytes")? >= 10_000, "{conclusion}");
    let (code, conclusion) = command(&["--exit-code"], &["hold alpha 10 1000", "leave 7"])?;
    ensure!(code == Some(11) && conclusion["verdict"] == "too_early", "{code:?} {conclusion}");
    Ok(())
}

#[test]
fn a_recording_has_the_verdict_and_the_ages_of_what_it_found() -> Result<()> {
    let workload = leaking()?;
    let (pid, folder) = (workload.pid().to_string(), tempfile::TempDir::new()?);
    let report = folder.path().join("report");
    let text = heaptide::run(["record", "-p", &pid, "-d", "20s", "--json", &text(&report)?])?;
    let said = text.out.join("\n");
    ensure!(said.contains("\nVerdict: obeys (pid ") && said.contains("leak suspect."), "{said}");
    let profile: heaptide_tests::profile::Profile = serde_json::from_str(&fs::read_to_string(&report)?)?;
    let process = profile.processes.first().context("no process")?;
    let verdict = process.verdict.as_ref().context("no verdict")?;
    ensure!(verdict["verdict"] == "growing", "{verdict}");
    let over_time = process.over_time.as_ref().context("nothing over time")?;
    ensure!((16..=24).contains(&over_time.seconds.len()) && over_time.outstanding_bytes.is_sorted(), "{over_time:?}");
    for stack in process.stacks.iter().filter(|stack| stack.totals.outstanding.bytes > 0) {
        let ages: u64 = stack.ages.iter().flatten().sum();
        ensure!(ages == stack.totals.outstanding.bytes, "{stack:?}");
    }
    let peak = process.peak.as_ref().context("no peak")?;
    // It leaks, so the highest moment is the last one.
    let outstanding = process.sum("outstanding").outstanding.bytes;
    ensure!(peak.bytes == outstanding && peak.seconds > 15.0, "{peak:?}, and {outstanding} bytes at the end");
    Ok(())
}
