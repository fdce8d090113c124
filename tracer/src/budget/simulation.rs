//! The controller against simulated targets, of which is known what they would have done without the tracer.

use proptest::{collection::vec, prelude::*};

use super::{Controller, FIRST_TICK, Mode, Tick};

/// Seconds of a step of the simulation.
const STEP: f64 = 0.01;

/// What a target does for a while.
#[derive(Clone, Copy, Debug)]
struct Phase {
    seconds: f64,
    /// CPUs that it would use without the tracer.
    cpus: f64,
    /// Calls in a second of its own CPU time.
    calls: f64,
    /// Bytes of a block.
    size: f64,
}

/// What the tracer really costs, in seconds.
#[derive(Clone, Copy, Debug)]
struct Costs {
    trap: f64,
    recording: f64,
    dismissing: f64,
    /// The known price of a trap, as a share of the real one.
    known: f64,
}

impl Costs {
    /// Of a run of the programs that records so many of the blocks.
    fn program(&self, recorded: f64) -> f64 {
        self.dismissing + (self.recording - self.dismissing) * recorded
    }
}

/// How many of the blocks of so many bytes are recorded, as a share of 1.
fn recorded(mode: Mode, size: f64) -> f64 {
    match mode {
        Mode::Full | Mode::Pulse(_) => 1.0,
        Mode::Sampled(interval) => 1.0 - (-size / f64::from(interval)).exp(),
        Mode::Pause(_) | Mode::Stopped => 0.0,
    }
}

/// How it went.
#[derive(Debug)]
struct Course {
    /// The overhead of each step.
    shares: Vec<f64>,
    /// How blocks were recorded in each step.
    modes: Vec<Mode>,
    controller: Controller,
}

impl Course {
    /// The longest time without a break above `budget`, in seconds.
    fn longest_above(&self, budget: f64) -> f64 {
        let stretches = self.shares.split(|&share| share <= budget);
        stretches.map(|stretch| f64::from(u32::try_from(stretch.len()).unwrap()) * STEP).fold(0.0, f64::max)
    }

    fn is_full_throughout(&self) -> bool {
        self.modes.iter().all(|&mode| mode == Mode::Full)
    }
}

fn run(budget: f64, phases: &[Phase], costs: &Costs) -> Course {
    let mut course = Course { shares: Vec::new(), modes: Vec::new(), controller: Controller::new(budget, 7) };
    let mut tick = Tick::default();
    let mut due = FIRST_TICK.as_secs_f64();
    // The programs are measured after each change, when the controller wants it, and once a second.
    let (mut looks, mut changed) = (0, true);
    for phase in phases {
        let mut left = phase.seconds;
        while left > 0.0 {
            left -= STEP;
            let mode = course.controller.mode();
            let recorded = recorded(mode, phase.size);
            let program = costs.program(recorded);
            let is_out = matches!(mode, Mode::Pause(_) | Mode::Stopped);
            let slowdown = if is_out { 1.0 } else { 1.0 + phase.calls * (costs.trap + program) };
            // A thread that slept less than the tracer adds is slowed down; otherwise it sleeps less.
            let cpu = (phase.cpus * slowdown).min(phase.cpus.ceil()) * STEP;
            let own = cpu / slowdown;
            let hits = if is_out { 0.0 } else { own * phase.calls };
            course.shares.push((cpu - own) / own.max(0.1 * STEP));
            course.modes.push(mode);
            tick.wall += STEP;
            tick.cpu += cpu;
            tick.hits += hits;
            tick.records += hits * recorded;
            tick.traps += hits * costs.trap * costs.known;
            tick.program = (hits > 0.0 && (changed || looks % 10 == 0)).then_some(program * 1e9);
            if tick.wall >= due - STEP / 2.0 {
                changed = course.controller.look(&tick).is_some() || course.controller.wants_measure();
                looks += 1;
                tick = Tick::default();
                due = course.controller.due().as_secs_f64();
            }
        }
    }
    course
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / f64::from(u32::try_from(values.len()).unwrap())
}

const COSTS: Costs = Costs { trap: 0.9e-6, recording: 0.8e-6, dismissing: 0.12e-6, known: 1.0 };

fn steady(seconds: f64, cpus: f64, calls: f64) -> Phase {
    Phase { seconds, cpus, calls, size: 64.0 }
}

fn phase() -> impl Strategy<Value = Phase> {
    // From bursts to minutes, from idle to four CPUs, from a call now and then to nothing but calls.
    let seconds = prop_oneof![0.02..0.5_f64, 0.5..5.0_f64, 5.0..30.0_f64];
    let cpus = prop_oneof![Just(0.0), 0.001..0.2_f64, 0.2..4.0_f64];
    let calls = (0.0..8.1_f64).prop_map(|exponent| 10_f64.powf(exponent));
    let size = (3.0..7.0_f64).prop_map(|exponent| 10_f64.powf(exponent));
    (seconds, cpus, calls, size).prop_map(|(seconds, cpus, calls, size)| Phase { seconds, cpus, calls, size })
}

fn costs() -> impl Strategy<Value = Costs> {
    (0.2e-6..10e-6_f64, 0.3e-6..3e-6_f64, 0.02e-6..0.3e-6_f64, 0.7..1.3_f64)
        .prop_map(|(trap, recording, dismissing, known)| Costs { trap, recording, dismissing, known })
}

proptest! {
    #[test]
    fn no_target_is_above_the_budget_for_longer_than_a_second(
        budget in prop_oneof![0.001..0.1_f64, 0.1..1.0_f64],
        phases in vec(phase(), 1..12),
        costs in costs(),
    ) {
        let course = run(budget, &phases, &costs);
        let longest = course.longest_above(budget);
        prop_assert!(longest <= 1.0, "{longest} s");
    }

    #[test]
    fn what_the_budget_allows_is_recorded_in_full(
        budget in 0.001..1.0_f64,
        phases in vec(phase(), 1..12),
        costs in costs(),
    ) {
        // Each phase costs half of the budget at most, if all is recorded; of a large budget less, since what the tracer
        // adds is then much of what is seen.
        let most = budget * (0.5 - 0.2 * budget) / (costs.trap + costs.recording.max(1e-6));
        let phases: Vec<Phase> =
            phases.into_iter().map(|phase| Phase { calls: phase.calls.min(most), ..phase }).collect();
        prop_assert!(run(budget, &phases, &costs).is_full_throughout());
    }

    #[test]
    fn traps_that_are_cheap_enough_are_never_given_up(
        budget in 0.01..1.0_f64,
        cpus in 0.2..4.0_f64,
        share in 0.05..0.3_f64,
        known in 0.7..1.3_f64,
    ) {
        // Recording all of it is too expensive, sampling is not.
        let costs = Costs { recording: 8e-6, dismissing: 0.02e-6, known, ..COSTS };
        let course = run(budget, &[steady(60.0, cpus, share * budget / costs.trap)], &costs);
        prop_assert!(!course.modes.iter().any(|mode| mode.is_in_pulses() || *mode == Mode::Stopped));
    }
}

#[test]
fn a_loop_of_nothing_but_calls_is_recorded_in_pulses_that_keep_the_budget() {
    let course = run(0.03, &[steady(61.0, 1.0, 1e6)], &COSTS);
    let until = course.modes.iter().position(|mode| mode.is_in_pulses()).unwrap();
    assert!(until < 40, "{until}");
    assert!(course.controller.account().most() > 0.05, "what it cost until then is told");
    let overhead = mean(&course.shares[100..]);
    assert!((0.01..0.03).contains(&overhead), "{overhead}");
    let pulses = course.modes.iter().filter(|mode| matches!(mode, Mode::Pulse(_))).count();
    assert!(pulses >= 60, "{pulses} steps of {STEP} s in a minute");
}

#[test]
fn probes_that_cost_too_much_now_and_then_are_given_up() {
    let course = run(0.000_1, &[steady(600.0, 1.0, 2.4e8)], &COSTS);
    assert_eq!(course.modes.last(), Some(&Mode::Stopped));
}

#[test]
fn sampling_is_chosen_where_it_is_enough_and_ends_when_it_is_calm() {
    // 1.3 % by traps alone, 5 % in full.
    let costs = Costs { recording: 2.6e-6, ..COSTS };
    let busy = steady(20.0, 1.0, 15_000.0);
    let course = run(0.03, &[busy, steady(20.0, 1.0, 100.0)], &costs);
    assert!(!course.modes.contains(&Mode::Stopped));
    assert!(matches!(course.modes[100], Mode::Sampled(_)), "{:?}", course.modes[100]);
    let last = |seconds: usize| course.modes[seconds * 100 - 1];
    assert!(matches!(last(20), Mode::Sampled(_)) && last(40) == Mode::Full, "{:?} {:?}", last(20), last(40));
}

#[test]
fn a_short_burst_does_not_end_the_recording() {
    let quiet = steady(10.0, 1.0, 100.0);
    let course = run(0.03, &[quiet, steady(0.3, 1.0, 1e6), quiet], &COSTS);
    assert!(!course.modes.contains(&Mode::Stopped));
    assert_eq!(course.modes.last(), Some(&Mode::Full));
}

#[test]
fn a_program_that_sleeps_is_recorded_in_full() {
    // Half of its little CPU time is the allocator's.
    assert!(run(0.03, &[steady(30.0, 0.000_5, 1e6)], &COSTS).is_full_throughout());
}

#[test]
fn a_program_that_begins_to_work_is_measured_at_once() {
    // By what is assumed of a run before one is measured, all could be recorded; it takes three times as long.
    let costs = Costs { trap: 1.96e-6, recording: 2.95e-6, dismissing: 0.02e-6, known: 0.7 };
    let course = run(0.727, &[steady(6.1, 0.0, 1.0), steady(4.3, 0.12, 205_000.0)], &costs);
    assert!((0.1..=0.5).contains(&course.longest_above(0.727)), "{}", course.longest_above(0.727));
}

#[test]
fn blocks_that_become_larger_while_they_are_sampled_are_noticed_at_once() {
    let costs = Costs { trap: 0.2e-6, recording: 2.69e-6, dismissing: 0.02e-6, known: 0.7 };
    let (small, large) = (steady(2.1, 0.04, 406_000.0), Phase { size: 9.8e6, ..steady(1.9, 0.001, 5.57e7) });
    let course = run(0.306, &[small, large], &costs);
    // A few looks, each of which makes sampling coarser.
    assert!((0.1..=0.6).contains(&course.longest_above(0.306)), "{}", course.longest_above(0.306));
}
