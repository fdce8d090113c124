//! With `--max-overhead`: a program that does nothing but allocate is recorded in pulses, and as fast as it is alone between
//! them; one that sleeps most of its time is recorded in full.

use std::{process::Command, thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use heaptide_tests::heaptide::Recording;
use heaptide_tests::profile::Budget;
use heaptide_tests::workload::Workload;
use heaptide_tests::{build, compare};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

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

/// A program that will be recorded, and another one like it that will not, on the same processor: whatever makes the machine
/// slower for a while makes both slower.
struct Twins {
    program: Workload,
    other: Workload,
}

impl Twins {
    fn start(workload: &str, argument: &str) -> Result<Self> {
        let may_run_on = sched_getaffinity(Pid::from_raw(0))?;
        let processor = (0..CpuSet::count()).rfind(|&number| may_run_on.is_set(number) == Ok(true));
        let processor = processor.context("there is no processor")?.to_string();
        let start = || {
            let mut command = Command::new("taskset");
            Workload::run(command.args(["-c", &processor]).arg(build::workload(workload)?).arg(argument))
        };
        Ok(Self { program: start()?, other: start()? })
    }

    fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// How many times as much CPU time a pair takes in the program as in the other one: in each of some rounds, from the
    /// lowest to the highest.
    fn pace(&mut self) -> Result<Vec<f64>> {
        let mut paces = Vec::new();
        for _ in 0..ROUNDS {
            let before = [done(&mut self.program)?, done(&mut self.other)?];
            thread::sleep(ROUND);
            let after = [done(&mut self.program)?, done(&mut self.other)?];
            let [program, other] =
                [0, 1].map(|one: usize| (after[one].1 - before[one].1) / (after[one].0 - before[one].0));
            paces.push(program / other);
        }
        paces.sort_by(f64::total_cmp);
        Ok(paces)
    }
}

fn stages(budget: &Budget) -> Vec<&str> {
    budget.stages.iter().map(|stage| stage.blocks.as_str()).collect()
}

#[test]
fn a_loop_of_calls_keeps_its_pace() -> Result<()> {
    let mut twins = Twins::start("bench_churn", "1")?;
    let alone = twins.pace()?;
    let recording = Recording::attach(&[twins.pid()], &["--max-overhead", "50%"])?;
    thread::sleep(FOUND);
    let recorded = twins.pace()?;
    let report = recording.stop()?;
    // Some rounds are without a pulse. As much as the pace of the program alone differs from one time to the next.
    ensure!(recorded[0] <= alone[0] * 1.05, "as long as in its twin a pair takes {alone:?}, and recorded {recorded:?}");
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
        let mut twins = Twins::start("paced", steps)?;
        let alone = twins.pace()?;
        let recording = Recording::attach(&[twins.pid()], &["--max-overhead", "20%"])?;
        thread::sleep(FOUND);
        let recorded = twins.pace()?;
        let report = recording.stop()?;
        let budget = report.profile.budget.context("the report does not tell of the budget")?;
        let told = format!("{steps} steps: {alone:?} of its twin's, {recorded:?} within the budget: {budget:?}");
        ensure!(recorded[ROUNDS / 2] <= alone[ROUNDS / 2] * 1.2 * 1.05, "{told}");
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
