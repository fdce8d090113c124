//! The labelled corpus of real programs: what each does (`tests/workloads/grows*`), and what its verdict must be.
//!
//! The offline corpus (`tracer/tests/verdicts/corpus/`) has the same kinds and more, simulated; here memory is really
//! allocated, by real allocators, threads and processes, and seen by heaptide.

use std::fmt;

use serde::Deserialize;

/// A verdict in a word, as `heaptide watch --json` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It grows without end.
    Growing,
    /// It approaches or has reached a plateau.
    LevelingOff,
    /// It does not grow.
    Steady,
    /// It comes and goes.
    Sawtooth,
    /// It gets less.
    Shrinking,
    /// The allocator keeps what was freed.
    Retention,
    /// Something beside the heap grows.
    NotTheHeap,
    /// Nobody can know yet.
    TooEarly,
}

impl Word {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 8] = [
        Self::Growing,
        Self::LevelingOff,
        Self::Steady,
        Self::Sawtooth,
        Self::Shrinking,
        Self::Retention,
        Self::NotTheHeap,
        Self::TooEarly,
    ];

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Growing => "growing",
            Self::LevelingOff => "leveling off",
            Self::Steady => "steady",
            Self::Sawtooth => "sawtooth",
            Self::Shrinking => "shrinking",
            Self::Retention => "retention",
            Self::NotTheHeap => "not the heap",
            Self::TooEarly => "too early",
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// What is true of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// Its heap grows without end.
    Leaks,
    /// Something beside its heap does.
    GrowsBeside,
    /// Nothing does.
    Sound,
}

/// What is true of a process, and what may be said of it.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// What the workload calls the process.
    pub role: &'static str,
    /// What is true.
    pub nature: Nature,
    /// Verdicts that are right.
    pub right: &'static [Word],
    /// The function that leaks, where one does.
    pub leaks_in: Option<&'static str>,
    /// Whether it lives long enough for a verdict. One that does not must still not be called what it is not.
    pub is_counted: bool,
}

impl Label {
    /// Whether a verdict is false: growth that is called harmless, or something harmless that is called growing.
    #[must_use]
    pub const fn is_wrong(&self, word: Word) -> bool {
        match self.nature {
            Nature::Leaks => !matches!(word, Word::Growing | Word::TooEarly),
            Nature::GrowsBeside => !matches!(word, Word::NotTheHeap | Word::TooEarly),
            Nature::Sound => matches!(word, Word::Growing | Word::NotTheHeap),
        }
    }
}

/// A kind of program.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name, and the workload's first argument.
    pub name: &'static str,
    /// The workload.
    pub program: &'static str,
    /// What it does.
    pub what: &'static str,
    /// Of the process that is attached to.
    pub main: Label,
    /// Of those that it forks.
    pub forks: &'static [Label],
}

impl Kind {
    /// What is true of the process with this role.
    #[must_use]
    pub fn label(&'static self, role: &str) -> Option<&'static Label> {
        std::iter::once(&self.main).chain(self.forks).find(|label| label.role == role)
    }
}

const MAIN: &str = "main";

const fn leak(role: &'static str, site: &'static str) -> Label {
    Label { role, nature: Nature::Leaks, right: &[Word::Growing], leaks_in: Some(site), is_counted: true }
}

const fn sound(role: &'static str, right: &'static [Word]) -> Label {
    Label { role, nature: Nature::Sound, right, leaks_in: None, is_counted: true }
}

const fn leaks(program: &'static str, name: &'static str, site: &'static str, what: &'static str) -> Kind {
    Kind { name, program, what, main: leak(MAIN, site), forks: &[] }
}

const fn is_sound(program: &'static str, name: &'static str, right: &'static [Word], what: &'static str) -> Kind {
    Kind { name, program, what, main: sound(MAIN, right), forks: &[] }
}

const fn grows_beside(name: &'static str, site: &'static str, what: &'static str) -> Kind {
    let right = &[Word::NotTheHeap];
    let main = Label { role: MAIN, nature: Nature::GrowsBeside, right, leaks_in: Some(site), is_counted: true };
    Kind { name, program: BESIDE, what, main, forks: &[] }
}

const LEAKS: &str = "grows_leaks";
const WORKERS: &str = "grows_workers";
const CONTAINERS: &str = "grows_containers";
const BOUNDED: &str = "grows_bounded";
const BESIDE: &str = "grows_beside";

/// For growth that ended: early in the watch it was a start-up, later it has leveled off.
const BLOAT: &[Word] = &[Word::LevelingOff, Word::Steady];

/// Of processes that are over before anything can be said of them.
const REPLACED: Label = Label { is_counted: false, ..sound("replaced", &[Word::TooEarly]) };

/// All kinds.
pub const KINDS: &[Kind] = &[
    leaks(LEAKS, "linear-leak", "keep_rejected_header", "a share of all requests forgets what it has read"),
    leaks(LEAKS, "slow-leak", "lose_trailer", "0.1 % of the churn, which comes in batches of any size"),
    leaks(LEAKS, "error-path-leak", "report_failure", "on an error path only"),
    leaks(LEAKS, "burst-leak", "queue_retry", "long quiet, then many blocks at once"),
    leaks(LEAKS, "late-leak", "pin_new_session", "begins after a third of the time"),
    leaks(LEAKS, "leak-after-startup", "keep_prepared_statement", "loads its data, then serves and leaks"),
    leaks(LEAKS, "listener-leak", "add_listener_without_owner", "one listener in ten is never removed"),
    leaks(LEAKS, "log-buffer", "append_to_log", "a buffer that realloc makes half as large again"),
    leaks(BOUNDED, "leak-under-collector", "keep_finalizer", "beneath the sawtooth of a collector"),
    leaks(CONTAINERS, "unbounded-map", "remember_session", "a map that is never shortened; all is still reachable"),
    leaks(CONTAINERS, "unbounded-vector", "record_sample", "a vector that doubles without end"),
    leaks("grows_cycles", "rc-cycle", "parse_document", "trees in Rust that point to their parents by `Rc`"),
    leaks(WORKERS, "thread-leak", "keep_upload_part", "in one of 32 threads"),
    Kind {
        name: "worker-leak",
        program: WORKERS,
        what: "in one of eight forked workers; the seven others and their master are steady",
        main: sound(MAIN, &[Word::Steady]),
        forks: &[leak("leaking", "keep_rendered_thumbnail"), sound("worker", &[Word::Steady])],
    },
    grows_beside("mapping-growth", "map_receive_buffer", "buffers are mapped and never unmapped"),
    grows_beside("file-mapping-growth", "map_segment", "segments of a file are mapped and never unmapped"),
    grows_beside("thread-stack-growth", "start_query_thread", "threads that wait for ever pile up"),
    is_sound(BOUNDED, "lru-cache", &[Word::LevelingOff], "a cache fills to its bound"),
    is_sound(BOUNDED, "expiry-cache", BLOAT, "entries are dropped some time after they were made"),
    is_sound(CONTAINERS, "bounded-vector", BLOAT, "a vector that doubles until all is loaded"),
    is_sound(BOUNDED, "startup", BLOAT, "loads its data, then serves"),
    is_sound(BOUNDED, "load-step", BLOAT, "more users come, and stay"),
    is_sound(BOUNDED, "steady", &[Word::Steady], "requests come and go"),
    is_sound(BOUNDED, "pool", BLOAT, "objects go back to a pool, whose chunks are never given back"),
    is_sound(BOUNDED, "daily-cycle", &[Word::Sawtooth], "load goes up and down eleven to fourteen times"),
    is_sound(BOUNDED, "collector", &[Word::Sawtooth], "garbage is collected eleven to fifteen times"),
    is_sound(BOUNDED, "shrinking", &[Word::Shrinking, Word::Retention], "a queue that was full is worked off"),
    is_sound(BESIDE, "retention", &[Word::Retention], "a large task is over; the allocator keeps what it had"),
    is_sound(BESIDE, "fragmentation", &[Word::Retention], "one session in sixteen stays, on each page one or two"),
    Kind {
        name: "worker-restarts",
        program: WORKERS,
        what: "two workers grow and are replaced every two seconds, their master is steady",
        main: sound(MAIN, &[Word::Steady]),
        forks: &[REPLACED],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_by_their_names() {
        let mut names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }

    #[test]
    fn what_is_right_is_not_wrong() {
        for kind in KINDS {
            for label in std::iter::once(&kind.main).chain(kind.forks) {
                assert!(!label.right.is_empty() && !label.right.iter().any(|word| label.is_wrong(*word)), "{label:?}");
                assert_eq!(label.nature == Nature::Sound, label.leaks_in.is_none(), "{label:?}");
            }
        }
    }
}
