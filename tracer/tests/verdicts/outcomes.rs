//! What the verdicts on the corpus are, in the middle of each run and at its end.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use heaptide::timeline::{Tick, Timeline};
use heaptide::verdict::{self, Evidence, Verdict, judge};

use crate::corpus::{KINDS, Kind, Part, Run, Word};

/// Runs of each kind.
pub const SEEDS: u64 = 50;

/// Thresholds were chosen by the seeds below this one.
pub const TUNED: u64 = 25;

const SECOND: u64 = 1_000_000_000;

/// The verdicts on one run.
pub struct Outcome {
    pub kind: &'static Kind,
    pub seed: u64,
    pub middle: Word,
    pub end: Word,
    /// How sure the verdict at the end is.
    pub confidence: f64,
    /// Whether the leak had begun by the middle.
    begun: bool,
}

impl Outcome {
    fn of(kind: &'static Kind, seed: u64) -> Self {
        let run = kind.make(seed);
        let half = run.samples.len() / 2;
        let mut timeline = Timeline::new(Timeline::BINS, SECOND);
        push(&mut timeline, &run, 0..half);
        let middle = judge(&Evidence::of(&timeline));
        push(&mut timeline, &run, half..run.samples.len());
        let end = judge(&Evidence::of(&timeline));
        // A leak that has had less than a tenth of the time is not yet what the run is.
        let begun = half >= run.onset + half / 10;
        Self { kind, seed, middle: word(&middle), end: word(&end), confidence: end.confidence, begun }
    }

    /// Whether thresholds were chosen by it.
    pub const fn chosen_by(&self) -> bool {
        matches!(self.kind.part, Part::Tuned) && self.seed < TUNED
    }

    /// A leak that is called harmless, or something harmless that is called a leak.
    const fn wrong(word: Word, leaks: bool) -> bool {
        if leaks { !matches!(word, Word::Growing | Word::TooEarly) } else { matches!(word, Word::Growing) }
    }

    /// The same in the middle and at the end.
    pub fn wrongs(&self) -> [bool; 2] {
        [Self::wrong(self.middle, self.kind.leaks && self.begun), Self::wrong(self.end, self.kind.leaks)]
    }

    pub fn right(&self) -> bool {
        self.kind.right.contains(&self.end)
    }
}

/// The verdicts on all runs.
pub struct Outcomes(pub Vec<Outcome>);

/// How many of some runs are how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Share {
    pub runs: usize,
    /// In the middle and at the end.
    pub wrong: [usize; 2],
    pub right: usize,
    pub decided: usize,
}

impl Share {
    pub fn right_at_end(&self) -> f64 {
        self.right as f64 / self.runs as f64
    }

    pub fn decided_in_middle(&self) -> f64 {
        self.decided as f64 / self.runs as f64
    }
}

impl Outcomes {
    /// All kinds and seeds, by as many threads as there are processors.
    pub fn of_corpus() -> Self {
        let next = AtomicUsize::new(0);
        let outcomes = Mutex::new(Vec::new());
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(kind) = KINDS.get(number / SEEDS as usize) else { return };
                let outcome = Outcome::of(kind, number as u64 % SEEDS);
                outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((number, outcome));
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcomes.sort_by_key(|(number, _)| *number);
        Self(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }

    pub fn share(&self, chosen: impl Fn(&Outcome) -> bool) -> Share {
        let mut share = Share::default();
        for outcome in self.0.iter().filter(|outcome| chosen(outcome)) {
            share.runs += 1;
            share.wrong.iter_mut().zip(outcome.wrongs()).for_each(|(sum, wrong)| *sum += usize::from(wrong));
            share.right += usize::from(outcome.right());
            share.decided += usize::from(outcome.middle != Word::TooEarly);
        }
        share
    }
}

fn push(timeline: &mut Timeline, run: &Run, seconds: Range<usize>) {
    for second in seconds {
        timeline.push(Tick { at: second as u64 * SECOND, gap: None }, &run.samples[second]);
    }
}

/// What is known of a run at its end.
pub fn evidence(run: &Run) -> Evidence {
    let mut timeline = Timeline::new(Timeline::BINS, SECOND);
    push(&mut timeline, run, 0..run.samples.len());
    Evidence::of(&timeline)
}

pub fn word(verdict: &Verdict) -> Word {
    match verdict.kind {
        verdict::Kind::Growing => Word::Growing,
        verdict::Kind::LevelingOff { .. } => Word::LevelingOff,
        verdict::Kind::Steady => Word::Steady,
        verdict::Kind::Sawtooth => Word::Sawtooth,
        verdict::Kind::Shrinking => Word::Shrinking,
        verdict::Kind::Retention { .. } => Word::Retention,
        verdict::Kind::NotTheHeap { .. } => Word::NotTheHeap,
        verdict::Kind::TooEarly { .. } => Word::TooEarly,
    }
}
