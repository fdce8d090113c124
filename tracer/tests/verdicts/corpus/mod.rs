//! The labelled corpus: programs whose memory is simulated block by block, each with what is true of it.
//!
//! Curves are not drawn: blocks come with a size and a life, caches evict, tables double, collectors run. What a verdict
//! fits is none of the generators' business. Kinds and seeds are split in halves: thresholds were chosen by the tuned kinds'
//! first 25 seeds.

pub mod beside;
pub mod bounded;
pub mod cycles;
pub mod heap;
pub mod leaks;
pub mod more_leaks;
pub mod random;
pub mod unseen;

use heaptide::timeline::Sample;

use random::Random;

/// Verdicts in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    Growing,
    LevelingOff,
    Steady,
    Sawtooth,
    Shrinking,
    Retention,
    NotTheHeap,
    TooEarly,
}

/// What was sampled of a program, a second each.
pub struct Run {
    pub samples: Vec<Sample>,
    /// For a leak: when it began. Until then nothing leaks.
    pub onset: usize,
}

impl Run {
    pub fn of(samples: Vec<Sample>) -> Self {
        Self { samples, onset: 0 }
    }
}

/// What a kind has to do with the rules for verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Thresholds were chosen by half of its seeds.
    Tuned,
    /// Its first verdicts showed a mistake in the rules, which was then mended.
    Looked,
    /// It changed nothing.
    Unseen,
}

use Part::{Looked, Tuned, Unseen};

/// A kind of program.
pub struct Kind {
    pub name: &'static str,
    /// Whether it leaks (grows without end).
    pub leaks: bool,
    /// Verdicts that are right at the end, the best first.
    pub right: &'static [Word],
    /// What it has to do with the rules for verdicts.
    pub part: Part,
    pub run: fn(&mut Random) -> Run,
}

impl Kind {
    pub fn make(&self, seed: u64) -> Run {
        (self.run)(&mut Random::new(self.name, seed))
    }
}

/// Length of a run in ticks.
pub fn length(random: &mut Random) -> usize {
    random.whole(900, 1500)
}

const fn leak(name: &'static str, part: Part, run: fn(&mut Random) -> Run) -> Kind {
    Kind { name, leaks: true, right: &[Word::Growing], part, run }
}

const fn sound(name: &'static str, right: &'static [Word], part: Part, run: fn(&mut Random) -> Run) -> Kind {
    Kind { name, leaks: false, right, part, run }
}

/// For growth that ended: early in the watch it is a start-up, later it has leveled off.
const BLOAT: &[Word] = &[Word::LevelingOff, Word::Steady];

/// For what is all over when the watch is.
const FLAT: &[Word] = &[Word::Steady, Word::LevelingOff];

/// All kinds: tuned and held ones of each sort.
pub const KINDS: &[Kind] = &[
    leak("linear leak", Tuned, leaks::linear),
    leak("slow leak (0.1 % of the churn) under heavy noise", Tuned, leaks::slow),
    leak("leak on an error path only", Tuned, leaks::error_path),
    leak("leak in bursts", Tuned, leaks::bursts),
    leak("leak in one of many threads", Unseen, leaks::one_thread),
    leak("leak in one of eight forked workers", Tuned, leaks::one_worker),
    leak("leak that starts late", Unseen, more_leaks::late),
    leak("unbounded map, still reachable", Tuned, more_leaks::map),
    leak("doubling vector, unbounded", Tuned, more_leaks::vector),
    leak("leak beneath a garbage collector", Unseen, more_leaks::collector),
    leak("leak beneath a daily cycle", Tuned, more_leaks::cycle),
    leak("start-up growth, then a leak", Tuned, more_leaks::startup),
    leak("leak that grows with the load", Unseen, more_leaks::load),
    leak("listeners, one in ten never removed", Unseen, unseen::listeners),
    leak("leak in the busy half of each day", Unseen, unseen::busy_hours),
    leak("buffer that is appended to, half as large again each time", Looked, unseen::buffer),
    leak("leak that begins when the load rises", Unseen, unseen::after_step),
    leak("leak beside a cache that fills", Unseen, unseen::beside_cache),
    leak("leak in storms of errors", Unseen, unseen::storms),
    sound("LRU cache filling to its bound", &[Word::LevelingOff], Tuned, bounded::lru),
    sound("cache with expiry", BLOAT, Tuned, bounded::expiry),
    sound("LRU cache of few hot and many cold keys", BLOAT, Tuned, bounded::zipf),
    sound("doubling vector, bounded", BLOAT, Unseen, bounded::vector),
    sound("start-up growth, then flat", FLAT, Tuned, bounded::startup),
    sound("load that rises once", FLAT, Tuned, bounded::load_step),
    sound("steady churn", &[Word::Steady], Tuned, bounded::churn),
    sound("steady churn under a wandering load", &[Word::Steady], Unseen, bounded::wandering),
    sound("queue that drains", &[Word::Shrinking, Word::Retention], Tuned, bounded::drain),
    sound("daily-like cycle", &[Word::Sawtooth], Tuned, cycles::daily),
    sound("sawtooth of a garbage collector", &[Word::Sawtooth], Tuned, cycles::collector),
    sound("restart of workers", &[Word::Sawtooth], Tuned, cycles::restarts),
    sound("allocator retention after a peak", &[Word::Retention], Tuned, beside::retention),
    sound("fragmentation", &[Word::Retention], Unseen, beside::fragmentation),
    sound("cache that is full at once", BLOAT, Looked, unseen::full_at_once),
    sound("results that are remembered, of a finite number", BLOAT, Unseen, unseen::memo),
    sound("jobs that come and go", &[Word::Steady, Word::Sawtooth], Looked, unseen::jobs),
    sound("store that is compacted", &[Word::Sawtooth], Unseen, unseen::compacted),
    sound("allocator retention after two peaks", &[Word::Retention], Looked, unseen::two_peaks),
    sound("growth of small mappings", &[Word::NotTheHeap], Unseen, unseen::small_mappings),
    sound("growth of anonymous mappings", &[Word::NotTheHeap], Tuned, beside::mappings),
    sound("growth of thread stacks", &[Word::NotTheHeap], Unseen, beside::thread_stacks),
    sound("growth of mapped files", &[Word::NotTheHeap], Unseen, beside::files),
];
