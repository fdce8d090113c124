//! Sites that take the place of a function's entry and return: what they cost, and that a report is the same.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use heaptide_tests::heaptide::{self, Recording};
use heaptide_tests::profile::{Place, Profile, Stack, Usage};
use heaptide_tests::workload::Workload;

/// Pairs of malloc and free that the workload `speed` makes for each line of input.
const PAIRS: u32 = 20_000 * 20;

#[test]
fn a_pair_of_malloc_and_free_takes_two_hits() -> Result<()> {
    let mut workload = Workload::start("speed", &[])?;
    let told = heaptide::run(["doctor", "-p", &workload.pid().to_string()])?;
    let line = told.out.iter().find(|line| line.contains(" malloc,")).context("no line of malloc")?;
    ensure!(line.ends_with("the only one: size and block"), "{line}");
    let recording = Recording::attach(&[workload.pid()], &[])?;
    workload.go()?;
    workload.hear("picoseconds ")?;
    let report = recording.stop()?;
    let hits = report.profile.cost["hits"].context("no hits")?;
    let (pairs, process) = (f64::from(PAIRS), report.profile.process(workload.pid(), 0).context("not reported")?);
    ensure!(process.sums["heap"].allocated.blocks == u64::from(PAIRS), "{:?}", process.sums);
    // The first block of all comes from the arena, which begins to exist: some hits more.
    ensure!((2.0 * pairs..2.0 * pairs + 100.0).contains(&hits), "{hits} hits for {pairs} pairs");
    let calls = process.allocators.iter().find_map(|allocator| allocator.calls).context("nobody has counted")?;
    ensure!(calls.count == u64::from(2 * PAIRS), "{calls:?} for {pairs} pairs");
    Ok(())
}

/// What each stack of blocks has allocated and freed, named by its functions from the allocation's on to the outermost of
/// the program's own.
fn stacks(profile: &Profile, pid: u32) -> Result<BTreeMap<Vec<String>, [Usage; 2]>> {
    let process = profile.process(pid, 0).context("the process is not reported")?;
    let mut stacks: BTreeMap<Vec<String>, [Usage; 2]> = BTreeMap::new();
    for stack in process.stacks.iter().filter(|stack| stack.memory == "heap") {
        // Those of the C library are not built with frame pointers.
        let Some(names) = own(stack) else { continue };
        let [allocated, freed] = stacks.entry(names).or_default();
        *allocated += stack.totals.allocated;
        *freed += stack.totals.freed;
    }
    Ok(stacks)
}

/// The functions' names, from the innermost to `rounds`, which the program's threads run.
fn own(stack: &Stack) -> Option<Vec<String>> {
    let name = |place: &Place| match place {
        Place::Named { function } => function.clone(),
        Place::Unnamed(why) => why.clone(),
    };
    let names: Vec<String> = stack.frames.iter().map(|frame| name(&frame.place)).collect();
    let outermost = names.iter().position(|name| name == "rounds")?;
    Some(names[..=outermost].to_vec())
}

#[test]
fn stacks_are_those_that_a_return_has() -> Result<()> {
    // With frame pointers, the entry and the return of malloc are probed.
    let recorded = |options: &[&str]| -> Result<_> {
        let mut workload = Workload::start("ways", &[])?;
        let recording = Recording::attach(&[workload.pid()], options)?;
        workload.go()?;
        workload.done()?;
        let report = recording.stop()?;
        let hits = report.profile.cost["hits"].context("no hits")?;
        Ok((stacks(&report.profile, workload.pid())?, hits))
    };
    let ((ours, fewer), (theirs, more)) = (recorded(&[])?, recorded(&["--stacks", "fp"])?);
    // Three sites at each of 12 depths, and the mapped blocks, of each 16th round, at three of them.
    ensure!(ours.len() == 3 * 12 + 3, "{} stacks", ours.len());
    ensure!(ours == theirs, "{ours:#?}\nat the return:\n{theirs:#?}");
    ensure!(fewer < more, "{fewer} hits, and at entry and return {more}");
    Ok(())
}
