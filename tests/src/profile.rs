//! heaptide's JSON report, as far as tests read it, and its sums by function.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::Deserialize;

/// A recording.
#[derive(Clone, Debug, Deserialize)]
pub struct Profile {
    /// Version of the form.
    pub schema: u32,
    /// Processes, one entry for each program that they ran.
    pub processes: Vec<Process>,
    /// What the recording cannot tell: group, name, number.
    pub unknown: BTreeMap<String, BTreeMap<String, u64>>,
    /// What the recording cost: name, number.
    #[serde(default)]
    pub cost: BTreeMap<String, Option<f64>>,
    /// What was done to keep a budget.
    #[serde(default)]
    pub budget: Option<Budget>,
    /// The marks that were set, oldest first.
    #[serde(default)]
    pub marks: Vec<Mark>,
}

/// A mark.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Mark {
    /// Counted from 1.
    pub number: u32,
    /// Seconds since the recording began.
    pub seconds: f64,
}

/// What was done to keep a budget.
#[derive(Clone, Debug, Deserialize)]
pub struct Budget {
    /// The budget, as a share of 1.
    pub max_share: f64,
    /// The overhead of the whole recording.
    pub average_share: f64,
    /// The highest overhead of any second.
    pub most_share: f64,
    /// How blocks were recorded.
    pub stages: Vec<BudgetStage>,
}

/// A way to record blocks, and for how long it was done.
#[derive(Clone, Debug, Deserialize)]
pub struct BudgetStage {
    /// `all`, `sampled`, `pulses` or `none`.
    pub blocks: String,
    /// Bytes for which one block was recorded.
    pub interval_bytes: u32,
    /// Seconds.
    pub seconds: f64,
    /// How many of them blocks were recorded.
    pub recorded_seconds: f64,
}

/// A process.
#[derive(Clone, Debug, Deserialize)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// How many programs it had run before.
    pub generation: u32,
    /// The parent, when that was traced.
    pub forked_from: Option<u32>,
    /// How it ended: `exited`, `replaced`, or not yet.
    pub end: Option<String>,
    /// The allocators that were traced.
    #[serde(default)]
    pub allocators: Vec<Allocator>,
    /// Sums by kind of memory.
    pub sums: BTreeMap<String, Totals>,
    /// Stacks.
    pub stacks: Vec<Stack>,
    /// What is known exactly, when its sums are estimates.
    #[serde(default)]
    pub sampled: Option<Sampled>,
    /// Its resident memory and page faults, when only the growth of memory was recorded.
    #[serde(default)]
    pub growth: Option<serde_json::Value>,
    /// The verdict on it.
    #[serde(default)]
    pub verdict: Option<serde_json::Value>,
    /// What it held over time.
    #[serde(default)]
    pub over_time: Option<OverTime>,
    /// When it held most.
    #[serde(default)]
    pub peak: Option<Peak>,
}

/// What a process held over time.
#[derive(Clone, Debug, Deserialize)]
pub struct OverTime {
    /// Seconds since the recording began.
    pub seconds: Vec<f64>,
    /// Outstanding bytes.
    pub outstanding_bytes: Vec<u64>,
    /// Resident bytes.
    pub resident_bytes: Vec<u64>,
}

/// The moment at which a process held most.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Peak {
    /// Seconds since the recording began.
    pub seconds: f64,
    /// Outstanding bytes.
    pub bytes: u64,
}

/// What is known of a process whose sums are estimates.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct Sampled {
    /// What was counted.
    pub exact: Option<Exact>,
    /// Blocks that were recorded.
    pub recorded: u64,
    /// What is outstanding.
    pub outstanding: Option<Estimate>,
}

/// Calls of allocators.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Exact {
    /// Allocations.
    pub allocations: u64,
    /// Their bytes.
    pub allocated_bytes: u64,
    /// Releases.
    pub releases: u64,
}

/// How far an estimate can be off.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct Estimate {
    /// Recorded blocks that it was made from.
    pub recorded: u64,
    /// Fewest bytes.
    pub low_bytes: u64,
    /// Most bytes.
    pub high_bytes: u64,
}

/// An allocator that was traced.
#[derive(Clone, Debug, Deserialize)]
pub struct Allocator {
    /// Its file.
    pub file: String,
    /// Who wrote it.
    pub family: String,
    /// Its functions.
    pub functions: Vec<String>,
    /// How often they were called.
    #[serde(default)]
    pub calls: Option<Calls>,
}

/// Calls of an allocator's functions.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub struct Calls {
    /// How many.
    pub count: u64,
    /// For how long they were counted.
    pub seconds: f64,
    /// Whether those of other programs are among them.
    pub shared: bool,
}

/// Allocations of one stack.
#[derive(Clone, Debug, Deserialize)]
pub struct Stack {
    /// Kind of memory.
    pub memory: String,
    /// Their sums.
    pub totals: Totals,
    /// Whether it was deeper than is kept.
    pub truncated: bool,
    /// Whether it ends before its outermost frame.
    #[serde(default)]
    pub incomplete: bool,
    /// What is outstanding and old enough to be shown.
    #[serde(default)]
    pub shown: Usage,
    /// How far that can be off, when it is an estimate.
    #[serde(default)]
    pub estimate: Option<Estimate>,
    /// What was outstanding when the process held most.
    #[serde(default)]
    pub at_peak: Usage,
    /// Of what is outstanding, bytes by their age.
    #[serde(default)]
    pub ages: Option<Vec<u64>>,
    /// Of what is outstanding, what was allocated before the first mark, after it, and so on.
    #[serde(default)]
    pub generations: Vec<Usage>,
    /// The verdict on it.
    #[serde(default)]
    pub verdict: Option<serde_json::Value>,
    /// The pattern of the suppressions that it matched.
    #[serde(default)]
    pub suppressed: Option<String>,
    /// Frames, leaf first.
    pub frames: Vec<Frame>,
}

/// A frame.
#[derive(Clone, Debug, Deserialize)]
pub struct Frame {
    /// The address in the process.
    pub address: u64,
    /// The file mapped there, without directories.
    pub module: Option<String>,
    /// The address as that file numbers it.
    pub module_address: u64,
    /// Its name, or the reason why it has none.
    pub place: Place,
}

/// The name of a frame, or the reason why it has none.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The function.
    Named {
        /// Its demangled name.
        function: String,
    },
    /// The reason.
    Unnamed(String),
}

/// Bytes and blocks.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Usage {
    /// Bytes.
    pub bytes: u64,
    /// Blocks.
    pub blocks: u64,
}

/// What became of memory.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Totals {
    /// Outstanding at the fork.
    pub inherited: Usage,
    /// Allocated.
    pub allocated: Usage,
    /// Freed.
    pub freed: Usage,
    /// Outstanding.
    pub outstanding: Usage,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.blocks += other.blocks;
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.inherited += other.inherited;
        self.allocated += other.allocated;
        self.freed += other.freed;
        self.outstanding += other.outstanding;
    }
}

impl Totals {
    /// The six numbers of [`crate::truth::NUMBERS`].
    #[must_use]
    pub fn numbers(&self) -> [u64; 6] {
        let (allocated, freed, outstanding) = (self.allocated, self.freed, self.outstanding);
        [allocated.bytes, allocated.blocks, freed.bytes, freed.blocks, outstanding.bytes, outstanding.blocks]
    }
}

impl Profile {
    /// The process `pid` while it ran its program number `generation`, counted from the first one that is reported:
    /// whether the exec by which heaptide starts a command counts, is heaptide's affair.
    #[must_use]
    pub fn process(&self, pid: u32, generation: u32) -> Option<&Process> {
        let programs = || self.processes.iter().filter(|process| process.pid == pid);
        let first = programs().map(|process| process.generation).min()?;
        programs().find(|process| process.generation == first + generation)
    }
}

impl Process {
    /// The sums of one kind of memory.
    #[must_use]
    pub fn sum(&self, memory: &str) -> Totals {
        self.sums.get(memory).copied().unwrap_or_default()
    }

    /// The sums of each of `sites`, by function and kind of memory. A stack belongs to the first of its frames, from
    /// the leaf on, whose function is a site; to `*` when none is.
    #[must_use]
    pub fn by_site(&self, sites: &[&str]) -> BTreeMap<(String, String), Totals> {
        let mut sums: BTreeMap<(String, String), Totals> = BTreeMap::new();
        for stack in &self.stacks {
            let site = stack.functions().find(|function| sites.contains(function)).unwrap_or("*");
            *sums.entry((site.to_owned(), stack.memory.clone())).or_default() += stack.totals;
        }
        sums
    }
}

impl Stack {
    /// The names of its functions, leaf first, without what C++ adds about their arguments.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.frames.iter().filter_map(|frame| match &frame.place {
            Place::Named { function } => function.split('(').next(),
            Place::Unnamed(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(functions: &[&str], memory: &str, bytes: u64) -> Stack {
        let usage = Usage { bytes, blocks: 1 };
        let named = |function: &&str| Frame {
            address: 0,
            module: None,
            module_address: 0,
            place: Place::Named { function: (*function).to_owned() },
        };
        Stack {
            truncated: false,
            incomplete: false,
            memory: memory.to_owned(),
            totals: Totals { allocated: usage, outstanding: usage, ..Totals::default() },
            shown: usage,
            estimate: None,
            at_peak: usage,
            ages: None,
            generations: Vec::new(),
            verdict: None,
            suppressed: None,
            frames: functions.iter().map(named).collect(),
        }
    }

    fn process(stacks: Vec<Stack>) -> Process {
        Process {
            pid: 1,
            generation: 0,
            forked_from: None,
            end: None,
            allocators: Vec::new(),
            sums: BTreeMap::new(),
            stacks,
            sampled: None,
            growth: None,
            verdict: None,
            over_time: None,
            peak: None,
        }
    }

    #[test]
    fn a_stack_belongs_to_the_site_nearest_to_its_leaf() {
        let process = process(vec![
            stack(&["operator new", "inner(int)", "outer", "main"], "heap", 1),
            stack(&["inner(int)", "main"], "heap", 10),
            stack(&["outer", "main"], "anonymous", 100),
            stack(&["main"], "heap", 1000),
        ]);
        let sums = process.by_site(&["inner", "outer"]);
        let bytes = |site: &str, memory: &str| sums[&(site.to_owned(), memory.to_owned())].allocated.bytes;
        assert_eq!((bytes("inner", "heap"), bytes("outer", "anonymous"), bytes("*", "heap")), (11, 100, 1000));
        assert_eq!(sums.len(), 3);
    }

    #[test]
    fn both_forms_of_a_place_are_read() {
        let json = r#"[
            {"address": 1, "module": "a", "module_address": 1,
                "place": {"named": {"function": "main", "offset": 4, "source": null}}},
            {"address": 2, "module": null, "module_address": 0, "place": {"unnamed": "no_symbol"}}]"#;
        let frames: Vec<Frame> = serde_json::from_str(json).unwrap();
        assert!(matches!(&frames[0].place, Place::Named { function } if function == "main"));
        assert!(matches!(&frames[1].place, Place::Unnamed(reason) if reason == "no_symbol"));
    }
}
