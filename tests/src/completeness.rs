//! How many stacks of a recording are whole: by what heaptide says of its walks, and by where the stacks really end.
//!
//! The second does not believe the first: a walk that ends too early and calls itself complete shows in the frames.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::profile::{Place, Totals};

/// The share of stacks that must be whole, 0 to 1.
pub const BOUND: f64 = 0.999;

/// Where programs and threads begin: nobody called these functions.
const BEGINS: [&str; 6] = ["_start", "_dl_start_user", "clone", "__clone", "clone3", "__clone3"];

/// How far behind a program's entry point its one call is, in bytes, at most: it only sets up a few registers before.
const ENTRY_LENGTH: u64 = 64;

/// How the walks ended (each a count of walks), and what they went by.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
// A reason to end that is not listed here would be missing from the sum.
#[serde(deny_unknown_fields)]
pub struct Walks {
    complete: u64,
    guessed: u64,
    too_deep: u64,
    not_expressible: u64,
    no_cfi: u64,
    bad_read: u64,
    bad_frame: u64,
    unmapped: u64,
    no_table: u64,
    busy: u64,
    /// Files with a table.
    pub files: u64,
    /// Rows of all tables, 8 bytes each.
    pub rows: u64,
    /// Time that making the tables took.
    pub table_nanoseconds: u64,
    files_failed: u64,
    files_refused: u64,
}

impl Walks {
    /// Ends short of the outermost frame, by reason.
    #[must_use]
    pub const fn cut(&self) -> [(&'static str, u64); 8] {
        [
            ("too_deep", self.too_deep),
            ("not_expressible", self.not_expressible),
            ("no_cfi", self.no_cfi),
            ("bad_read", self.bad_read),
            ("bad_frame", self.bad_frame),
            ("unmapped", self.unmapped),
            ("no_table", self.no_table),
            ("busy", self.busy),
        ]
    }

    /// All walks.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.complete + self.guessed + self.cut().iter().map(|(_, count)| count).sum::<u64>()
    }

    /// The share that heaptide calls complete, 0 to 1.
    #[must_use]
    pub fn complete(&self) -> f64 {
        share(self.complete + self.guessed, self.all())
    }
}

/// A recording, as far as its stacks' ends go.
#[derive(Clone, Debug, Serialize)]
pub struct Completeness {
    /// What heaptide says.
    pub walks: Walks,
    /// Distinct stacks with allocations.
    pub stacks: u64,
    /// Allocations with a stack or without.
    pub allocations: u64,
    /// Of those: whose stack ends where a program or a thread begins.
    pub from_begin: u64,
    /// Of those: whose stack leads through code that is in no file.
    pub through_made_code: u64,
    /// Other ends, and how many allocations have them.
    pub other_ends: BTreeMap<String, u64>,
}

impl Completeness {
    /// Reads a JSON report. `programs` are files whose entry points count as begins: where they have no symbols, there is
    /// no `_start` to tell.
    pub fn read(report: impl Read, programs: &[&Path]) -> Result<Self> {
        let entries = programs.iter().map(|program| entry(program)).collect::<Result<Vec<_>>>()?;
        let profile: Profile = serde_json::from_reader(report).context("the report is not what it should be")?;
        let mut completeness = Self {
            walks: profile.unknown.unwinding,
            stacks: 0,
            allocations: 0,
            from_begin: 0,
            through_made_code: 0,
            other_ends: BTreeMap::new(),
        };
        for stack in profile.processes.iter().flat_map(|process| &process.stacks) {
            completeness.add(stack, &entries);
        }
        Ok(completeness)
    }

    /// The share of allocations whose stack ends where a program or a thread begins, 0 to 1.
    #[must_use]
    pub fn begun(&self) -> f64 {
        share(self.from_begin, self.allocations)
    }

    /// The share of allocations whose stack leads through code that is in no file, 0 to 1.
    #[must_use]
    pub fn made_code(&self) -> f64 {
        share(self.through_made_code, self.allocations)
    }

    /// Fails when fewer stacks than [`BOUND`] are whole, or fewer than `least` walks were seen at all.
    pub fn check(&self, least: u64) -> Result<()> {
        let walks = self.walks.all();
        ensure!(walks >= least, "{walks} walks are too few to tell anything by: {least} are wanted");
        ensure!(
            self.walks.complete() >= BOUND,
            "{:.4} of the walks are complete: {:?}",
            self.walks.complete(),
            self.walks
        );
        ensure!(
            self.begun() >= BOUND,
            "{:.4} of the stacks end at a begin; others: {:?}",
            self.begun(),
            self.other_ends
        );
        Ok(())
    }

    fn add(&mut self, stack: &Stack, entries: &[(String, u64)]) {
        let blocks = stack.totals.allocated.blocks;
        if blocks == 0 {
            return; // inherited with a fork: the parent's
        }
        self.stacks += 1;
        self.allocations += blocks;
        self.through_made_code += blocks * u64::from(stack.frames.made_code);
        match &stack.frames.outermost {
            Some(frame) if frame.is_begin(entries) => self.from_begin += blocks,
            Some(frame) => *self.other_ends.entry(frame.name()).or_default() += blocks,
            None => *self.other_ends.entry("no frames".to_owned()).or_default() += blocks,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of walks stay far below 2^52")]
fn share(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

/// The file's name and its entry point, as its ELF header has it.
fn entry(program: &Path) -> Result<(String, u64)> {
    const PLACE: u64 = 24;
    let program = program.canonicalize().with_context(|| format!("there is no {}", program.display()))?;
    let mut entry = [0; 8];
    let read = File::open(&program).and_then(|file| file.read_exact_at(&mut entry, PLACE));
    read.with_context(|| format!("cannot read {}", program.display()))?;
    let name = program.file_name().context("a program has a name")?.to_string_lossy().into_owned();
    Ok((name, u64::from_le_bytes(entry)))
}

#[derive(Deserialize)]
struct Profile {
    processes: Vec<Process>,
    unknown: Unknown,
}

#[derive(Deserialize)]
struct Unknown {
    unwinding: Walks,
}

#[derive(Deserialize)]
struct Process {
    stacks: Vec<Stack>,
}

#[derive(Deserialize)]
struct Stack {
    totals: Totals,
    frames: Frames,
}

/// What is kept of a stack's frames: a compiler's report has gigabytes of them.
#[derive(Default)]
struct Frames {
    outermost: Option<Frame>,
    /// Whether a frame is in no file.
    made_code: bool,
}

#[derive(Deserialize)]
struct Frame {
    module: Option<String>,
    module_address: u64,
    place: Place,
}

impl Frame {
    fn is_begin(&self, entries: &[(String, u64)]) -> bool {
        match &self.place {
            Place::Named { function } => BEGINS.contains(&function.as_str()),
            Place::Unnamed(_) => entries.iter().any(|(name, entry)| {
                self.module.as_ref() == Some(name)
                    && self.module_address.checked_sub(*entry).is_some_and(|distance| distance < ENTRY_LENGTH)
            }),
        }
    }

    fn name(&self) -> String {
        match (&self.place, &self.module) {
            (Place::Named { function }, _) => function.clone(),
            (Place::Unnamed(_), Some(module)) => format!("[{module}+{:#x}]", self.module_address),
            (Place::Unnamed(reason), None) => reason.clone(),
        }
    }
}

impl<'de> Deserialize<'de> for Frames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keep;
        impl<'de> Visitor<'de> for Keep {
            type Value = Frames;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("frames")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Frames, A::Error> {
                let mut frames = Frames::default();
                while let Some(frame) = sequence.next_element::<Frame>()? {
                    frames.made_code |= frame.module.is_none();
                    frames.outermost = Some(frame);
                }
                Ok(frames)
            }
        }
        deserializer.deserialize_seq(Keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: &str = r#""guessed":0,"too_deep":1,"not_expressible":0,"no_cfi":0,"bad_read":0,"bad_frame":0,"unmapped":0,
        "no_table":0,"busy":0,"files":1,"rows":2,"table_nanoseconds":3,"files_failed":0,"files_refused":0"#;

    fn frame(module: Option<&str>, address: u64, function: Option<&str>) -> String {
        let module = module.map_or("null".to_owned(), |module| format!("\"{module}\""));
        let place = match function {
            Some(function) => format!(r#"{{"named":{{"function":"{function}","offset":1,"source":null}}}}"#),
            None => r#"{"unnamed":"no_symbol"}"#.to_owned(),
        };
        format!(r#"{{"address":1,"module":{module},"module_address":{address},"place":{place},"inlined":[]}}"#)
    }

    fn read(complete: u64, stacks: &[(u64, Vec<String>)], programs: &[&Path]) -> Result<Completeness> {
        let none = r#"{"bytes":0,"blocks":0}"#;
        let stacks = stacks.iter().map(|(blocks, frames)| {
            let allocated = format!(r#"{{"bytes":8,"blocks":{blocks}}}"#);
            let totals =
                format!(r#"{{"inherited":{none},"allocated":{allocated},"freed":{none},"outstanding":{none}}}"#);
            format!(r#"{{"memory":"heap","totals":{totals},"frames":[{}]}}"#, frames.join(","))
        });
        let stacks = stacks.collect::<Vec<_>>().join(",");
        let unwinding = format!(r#"{{"complete":{complete},{NUMBERS}}}"#);
        let report =
            format!(r#"{{"processes":[{{"stacks":[{stacks}]}}],"unknown":{{"lost":{{}},"unwinding":{unwinding}}}}}"#);
        Completeness::read(report.as_bytes(), programs)
    }

    #[test]
    fn a_stack_is_judged_by_its_outermost_frame() {
        let inner = || frame(Some("libc.so.6"), 5, Some("malloc"));
        let stacks = [
            (990, vec![inner(), frame(Some("program"), 9, Some("_start"))]),
            (7, vec![frame(None, 0, None), frame(Some("libc.so.6"), 9, Some("clone3"))]),
            (2, vec![inner()]),
            (1, vec![]),
        ];
        let completeness = read(999, &stacks, &[]).unwrap();
        assert_eq!((completeness.stacks, completeness.allocations, completeness.from_begin), (4, 1000, 997));
        assert_eq!(completeness.through_made_code, 7);
        assert_eq!(completeness.other_ends["malloc"], 2);
        assert_eq!(completeness.other_ends["no frames"], 1);
    }

    #[test]
    fn walks_that_call_themselves_complete_are_not_believed() {
        let whole = |blocks| (blocks, vec![frame(None, 0, Some("_start"))]);
        let cut = |blocks| (blocks, vec![frame(None, 0, Some("main"))]);
        assert!(read(9_999, &[whole(10_000)], &[]).unwrap().check(10_000).is_ok());
        assert!(read(9_999, &[whole(10_000)], &[]).unwrap().check(10_001).is_err(), "too few");
        assert!(read(900, &[whole(901)], &[]).unwrap().check(1).is_err(), "1 in 901 is cut");
        assert!(read(9_999, &[whole(9_980), cut(20)], &[]).unwrap().check(1).is_err(), "20 end in main");
    }

    #[test]
    fn without_symbols_the_entry_point_is_a_begin() {
        let program = std::env::current_exe().unwrap();
        let (name, entry) = entry(&program).unwrap();
        let at = |address| vec![(1, vec![frame(Some(&name), address, None)])];
        assert_eq!(read(1, &at(entry + 33), &[&program]).unwrap().from_begin, 1);
        assert_eq!(read(1, &at(entry + 64), &[&program]).unwrap().from_begin, 0);
        assert_eq!(read(1, &at(entry - 1), &[&program]).unwrap().from_begin, 0);
        assert_eq!(read(1, &at(entry + 33), &[]).unwrap().from_begin, 0);
    }

    #[test]
    fn a_way_to_end_that_is_not_known_is_an_error() {
        let report = format!(r#"{{"processes":[],"unknown":{{"unwinding":{{"complete":1,"tired":1,{NUMBERS}}}}}}}"#);
        assert!(Completeness::read(report.as_bytes(), &[]).is_err());
    }
}
