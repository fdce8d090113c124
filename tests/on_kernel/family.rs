//! Several processes at once: children of a command, whole trees, and processes that have nothing to do with each other.

use anyhow::{Context, Result, ensure};
use heaptide_tests::heaptide::Recording;
use heaptide_tests::workload::Workload;
use heaptide_tests::{compare, truth};

#[test]
fn one_of_two_processes_may_end() -> Result<()> {
    let mut mortal = Workload::start("exits", &[])?;
    let mut other = Workload::start("functions", &[])?;
    let (mortal_pid, other_pid) = (mortal.pid(), other.pid());
    let recording = Recording::attach(&[mortal_pid, other_pid], &[])?;
    mortal.go()?;
    let mut accounts = truth::parse(mortal.end()?.out.iter().map(String::as_str))?;
    other.go()?;
    accounts.extend(other.done()?);
    let report = recording.stop()?;
    compare::same("two processes, one of which ends", &accounts, &report.profile)?;
    let end = |pid| Ok::<_, anyhow::Error>(report.profile.process(pid, 0).context("not reported")?.end.clone());
    ensure!(end(mortal_pid)?.as_deref() == Some("exited") && end(other_pid)?.is_none(), "{:?}", report.profile);
    Ok(())
}

#[test]
fn a_child_of_a_command_is_not_counted_unless_it_is_followed() -> Result<()> {
    let report = Recording::command("fork", &[], &[])?.end()?;
    let mut accounts = truth::parse(report.ended.out.iter().map(String::as_str))?;
    accounts.retain(|account| account.role == "parent");
    compare::same("fork, from its start, parent only", &accounts, &report.profile)?;
    let pids: Vec<u32> = report.profile.processes.iter().map(|process| process.pid).collect();
    ensure!(pids == [accounts[0].pid], "reported: {pids:?}, the command: {}", accounts[0].pid);
    Ok(())
}

#[test]
fn three_generations_of_programs_are_followed() -> Result<()> {
    let report = Recording::command("generations", &[], &["--follow"])?.end()?;
    ensure!(report.ended.status.code() == Some(0), "{:?}", report.ended);
    let accounts = truth::parse(report.ended.out.iter().map(String::as_str))?;
    ensure!(accounts.len() == 5, "three programs and two forked copies are wanted: {accounts:?}");
    compare::same("generations", &accounts, &report.profile)?;
    let text = report.ended.out.join("\n");
    ensure!(!text.contains("no allocator was found"), "{text}");
    Ok(())
}

#[test]
fn a_spawned_program_is_followed_as_its_parents_child() -> Result<()> {
    let report = Recording::command("fork", &[], &["--follow"])?.end()?;
    let accounts = truth::parse(report.ended.out.iter().map(String::as_str))?;
    let parent = accounts.iter().find(|account| account.role == "parent").context("no parent")?.pid;
    let is_known = |pid| accounts.iter().any(|account| account.pid == pid);
    let spawned =
        report.profile.processes.iter().find(|process| !is_known(process.pid)).context("`true` is missing")?;
    ensure!(spawned.forked_from == Some(parent) && spawned.end.as_deref() == Some("exited"), "{spawned:?}");
    Ok(())
}

fn vforked(options: &[&str]) -> Result<()> {
    let mut workload = Workload::start("vfork", &[])?;
    let recording = Recording::attach(&[workload.pid()], options)?;
    workload.go()?;
    let mut accounts = workload.done()?;
    let profile = recording.stop()?.profile;
    // Where the kernel's probes see the threads of one process alone, the report says how many others there were.
    let guests = profile.unknown["unmatched"]["guests"];
    if guests > 0 {
        ensure!(guests == 20, "{guests} of 20 children were noticed");
        for account in &mut accounts {
            account.sites.retain(|site| site.function != "by_child");
        }
    }
    compare::same("vfork", &accounts, &profile)
}

#[test]
fn what_a_child_allocates_in_its_parents_memory_is_the_parents_or_said_to_be_unseen() -> Result<()> {
    vforked(&[])
}

#[test]
fn what_a_followed_child_allocates_in_its_parents_memory_is_so_too() -> Result<()> {
    vforked(&["--follow"])
}
