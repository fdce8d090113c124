//! With `--max-overhead`: a program that does nothing but allocate is recorded in pulses, and as fast as it is alone between
//! them; one that sleeps most of its time is recorded in full.

use std::{process::Command, thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use heaptide_tests::heaptide::Recording;
use heaptide_tests::profile::Budget;
use heaptide_tests::workload::Workload;
use heaptide_tests::{build, compare};

/// What the controller may need to find the way to record.
const FOUND: Duration = Duration::from_secs(1);

/// How long a pace is measured at a time, and how often.
const ROUND: Duration = Duration::from_millis(300);
const ROUNDS: usize = 7;

/// A loop of pairs of malloc and free, in so many threads.
fn churn(threads: usize) -> Result<Workload> {
    Workload::run(Command::new(build::workload("bench_churn")?).arg(threads.to_string()))
}

/// What `bench_churn` has done so far: pairs, and nanoseconds of CPU time.
fn done(churn: &mut Workload) -> Result<(f64, f64)> {
    churn.tell("")?;
    let answer = churn.hear("pairs ")?;
    let numbers: Vec<f64> = answer.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [pairs, _, cpu] = numbers[..] else { bail!("bench_churn answers {answer}") };
    Ok((pairs, cpu))
}

/// Nanoseconds of CPU time that a pair takes: the best of some rounds, since others use the processor's caches, too.
fn pace(churn: &mut Workload) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let before = done(churn)?;
        thread::sleep(ROUND);
        let after = done(churn)?;
        best = best.min((after.1 - before.1) / (after.0 - before.0));
    }
    Ok(best)
}

fn stages(budget: &Budget) -> Vec<&str> {
    budget.stages.iter().map(|stage| stage.blocks.as_str()).collect()
}

#[test]
fn a_loop_of_calls_keeps_its_pace() -> Result<()> {
    let mut program = churn(1)?;
    let alone = pace(&mut program)?;
    let recording = Recording::attach(&[program.pid()], &["--max-overhead", "50%"])?;
    thread::sleep(FOUND);
    let recorded = pace(&mut program)?;
    let report = recording.stop()?;
    // The machine itself can be slower for some seconds: then it is afterwards, too.
    let alone = alone.max(pace(&mut program)?);
    // As much as the pace of the program alone differs from one time to the next.
    ensure!(recorded <= alone * 1.05, "a pair takes {alone} ns alone and {recorded} ns between pulses");
    let budget = report.profile.budget.context("the report does not tell of the budget")?;
    ensure!(stages(&budget) == ["all", "pulses"], "{budget:?}");
    let [all, pulses] = &budget.stages[..] else { bail!("{budget:?}") };
    ensure!(all.seconds < 1.0 && budget.most_share > 0.05, "it is told that it took a while: {budget:?}");
    let is_seldom = pulses.recorded_seconds > 0.0 && pulses.recorded_seconds < 0.1 * pulses.seconds;
    ensure!(is_seldom, "{budget:?}");
    let text = report.ended.out.join("\n");
    ensure!(text.contains("\nEstimated: blocks were recorded in pulses (--max-overhead)"), "{text}");
    ensure!(text.contains("\nBudget 50 %: all blocks recorded for "), "{text}");
    ensure!(!text.contains("\nExact"), "{text}");
    let said = report.ended.err.iter().filter(|line| line.contains("blocks are recorded in pulses from here on"));
    ensure!(said.count() == 1, "{:?}", report.ended.err);
    Ok(())
}

#[test]
fn pulses_show_what_is_kept_and_how_much_of_it_there_is() -> Result<()> {
    const KEEP_EVERY: f64 = 10.0;
    let mut program = Workload::run(Command::new(build::workload("paced")?).args(["20000", "10"]))?;
    let before = done(&mut program)?.0;
    let recording = Recording::attach(&[program.pid()], &["--max-overhead", "5%"])?;
    thread::sleep(Duration::from_secs(12));
    let pairs = done(&mut program)?.0 - before;
    let report = recording.stop()?;
    let budget = report.profile.budget.as_ref().context("the report does not tell of the budget")?;
    ensure!(stages(budget).last() == Some(&"pulses"), "{budget:?}");
    let process = report.profile.processes.first().context("no process is reported")?;
    let most = process.stacks.iter().filter(|stack| stack.memory == "heap").max_by_key(|stack| stack.shown.bytes);
    let most = most.context("no stack is reported")?;
    ensure!(most.functions().next() == Some("keep"), "{most:?}");
    let (told, kept) = (f64::from(u32::try_from(most.shown.blocks)?), pairs / KEEP_EVERY);
    // Some pulses, and prices that can be off: no more is claimed.
    ensure!((0.6..1.67).contains(&(told / kept)), "{kept} blocks are kept, {told} are told: {budget:?}");
    Ok(())
}

#[test]
fn a_program_with_work_of_its_own_keeps_its_pace() -> Result<()> {
    // From many calls to fewer. How fast a step is, the machine says, and so how blocks are recorded.
    for steps in ["2000", "8000", "32000"] {
        let mut program = Workload::run(Command::new(build::workload("paced")?).arg(steps))?;
        let alone = pace(&mut program)?;
        let recording = Recording::attach(&[program.pid()], &["--max-overhead", "20%"])?;
        thread::sleep(FOUND);
        let recorded = pace(&mut program)?;
        let report = recording.stop()?;
        let budget = report.profile.budget.context("the report does not tell of the budget")?;
        let told = format!("{steps} steps: {alone} ns alone, {recorded} ns within the budget: {budget:?}");
        ensure!(recorded <= alone * 1.2 * 1.05, "{told}");
        ensure!((budget.max_share - 0.2).abs() < 1e-9 && budget.average_share <= budget.most_share, "{told}");
    }
    Ok(())
}

#[test]
fn a_program_that_sleeps_is_recorded_in_full() -> Result<()> {
    let mut gentle = Workload::start("gentle", &[])?;
    let recording = Recording::attach(&[gentle.pid()], &["--max-overhead", "3%"])?;
    gentle.go()?;
    let accounts = gentle.done()?;
    let report = recording.stop()?;
    compare::same("gentle, within a budget", &accounts, &report.profile)?;
    let budget = report.profile.budget.context("the report does not tell of the budget")?;
    ensure!(stages(&budget) == ["all"] && budget.most_share < 0.03, "{budget:?}");
    let text = report.ended.out.join("\n");
    ensure!(text.contains("\nExact: no event is missing from these numbers.\n"), "{text}");
    Ok(())
}

#[test]
fn an_end_is_told_when_blocks_are_not() -> Result<()> {
    let mut program = churn(2)?;
    let recording = Recording::attach(&[program.pid()], &["--max-overhead", "1%"])?;
    thread::sleep(FOUND);
    done(&mut program)?;
    let ended = program.end()?;
    ensure!(ended.status.success(), "{ended:?}");
    let report = recording.end()?;
    let process = report.profile.processes.first().context("no process is reported")?;
    ensure!(process.end.as_deref() == Some("exited"), "{process:?}");
    let budget = report.profile.budget.context("the report does not tell of the budget")?;
    ensure!(stages(&budget).last() == Some(&"pulses"), "{budget:?}");
    Ok(())
}
