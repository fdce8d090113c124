//! The corpus of real programs ([`crate::kinds`]), run and watched by heaptide: what it says of each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::kinds::{Kind, Label, Nature, Word};
use crate::program::Program;
use crate::workload::Workload;
use crate::{build, heaptide};

/// How long a program works, in seconds: longer than it is watched, so that all of them are alive at the end.
pub const SECONDS: u32 = 30;

/// How long it is watched.
const WATCHED: &str = "28s";

/// How often it is sampled.
const INTERVAL: &str = "200ms";

/// How long a watch may take beyond its time, when the machine is busy.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is said of a process, and what is true of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What kind of program it belongs to.
    pub kind: &'static Kind,
    /// What is true of it.
    pub label: &'static Label,
    /// By which chance it was made.
    pub seed: u64,
    /// What heaptide says; `None` when it said nothing of this process.
    pub judged: Option<Judged>,
    /// What the process itself says has leaked by its end.
    pub leaked: Option<Leaked>,
}

/// What a process says has leaked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaked {
    /// In which function.
    pub site: String,
    /// Bytes.
    pub bytes: u64,
}

/// A process, as the conclusion of `heaptide watch --json` has it.
#[derive(Clone, Debug, Deserialize)]
pub struct Judged {
    pid: u32,
    /// The verdict.
    pub verdict: Word,
    /// From 0 to 1.
    pub confidence: f64,
    /// Bytes a second, where a trend was looked for.
    pub growth_bytes_per_second: Option<f64>,
    /// In words.
    pub explanation: String,
    #[serde(default)]
    suspects: Vec<Suspect>,
}

#[derive(Clone, Debug, Deserialize)]
struct Suspect {
    verdict: Word,
    frames: Vec<Frame>,
}

#[derive(Clone, Debug, Deserialize)]
struct Frame {
    function: Option<String>,
}

#[derive(Deserialize)]
struct Conclusion {
    processes: Vec<MaybeJudged>,
}

/// A process that ended before its first sample has no verdict.
#[derive(Deserialize)]
#[serde(untagged)]
enum MaybeJudged {
    Judged(Judged),
    Other(IgnoredAny),
}

impl Outcome {
    /// The verdict.
    #[must_use]
    pub fn word(&self) -> Option<Word> {
        self.judged.as_ref().map(|judged| judged.verdict)
    }

    /// Whether it is one that the label has.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.word().is_some_and(|word| self.label.right.contains(&word))
    }

    /// Whether it is false; see [`Label::is_wrong`].
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.word().is_some_and(|word| self.label.is_wrong(word))
    }

    /// For a leak that was seen: whether its function is in the first suspect's stack. It can be too early to say of the stack.
    #[must_use]
    pub fn is_site_found(&self) -> Option<bool> {
        let judged = self.judged.as_ref().filter(|judged| judged.verdict == Word::Growing)?;
        let site = self.label.leaks_in.filter(|_| self.label.nature == Nature::Leaks)?;
        Some(judged.suspects.first().is_some_and(|suspect| suspect.has(site)))
    }

    /// Whether any stack is said to leak.
    fn accuses(&self) -> bool {
        let suspects = self.judged.iter().flat_map(|judged| &judged.suspects);
        suspects.into_iter().any(|suspect| suspect.verdict == Word::Growing)
    }

    /// Why the outcome is not as it must be: no verdict, a false one, or a leak that is looked for elsewhere.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        if self.judged.is_none() && self.label.is_counted {
            Some("no verdict")
        } else if self.is_wrong() {
            Some("wrong")
        } else if self.is_site_found() == Some(false) && self.accuses() {
            Some("wrong suspect")
        } else {
            None
        }
    }

    /// As a line of a table for people.
    #[must_use]
    pub fn line(&self) -> String {
        let right = self.label.right.iter().map(|word| word.name()).collect::<Vec<_>>().join(" or ");
        let mut line = format!("{:<20} {:<8} {:>4}  {right:<24} ", self.kind.name, self.label.role, self.seed);
        let Some(judged) = &self.judged else { return line + "nothing" };
        let verdict = judged.verdict;
        // Writing to a string does not fail.
        let _ = write!(line, "{verdict:<13} {:.2}  {}", judged.confidence, judged.explanation);
        if self.is_site_found() == Some(false) {
            let first = judged.suspects.first().map(Suspect::line).unwrap_or_default();
            let _ = write!(line, " [first suspect: {first}]");
        }
        line
    }
}

impl Suspect {
    fn functions(&self) -> impl Iterator<Item = &str> {
        self.frames.iter().filter_map(|frame| frame.function.as_deref())
    }

    fn has(&self, site: &str) -> bool {
        // C++ adds its parameters, and Rust the module.
        let named = |function: &str| function.split('(').next().map(|name| name.rsplit("::").next() == Some(site));
        self.functions().any(|function| named(function) == Some(true))
    }

    fn line(&self) -> String {
        self.functions().take(6).collect::<Vec<_>>().join(" < ")
    }
}

/// The outcomes that are not right, as a table for people; then those that are.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> String {
    let (right, other): (Vec<_>, Vec<_>) = outcomes.iter().partition(|outcome| outcome.is_right());
    let lines = |outcomes: Vec<&Outcome>| outcomes.into_iter().map(Outcome::line).collect::<Vec<_>>().join("\n");
    format!("not right:\n{}\n\nright:\n{}", lines(other), lines(right))
}

/// The share of verdicts that are right, 0 to 1, of processes that live long enough for one.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "there are no 2^52 processes")]
pub fn right(outcomes: &[Outcome]) -> f64 {
    let counted: Vec<_> = outcomes.iter().filter(|outcome| outcome.label.is_counted).collect();
    let right = counted.iter().filter(|outcome| outcome.is_right()).count();
    if counted.is_empty() { 0.0 } else { right as f64 / counted.len() as f64 }
}

/// Starts a program of each kind, by one seed, and watches all of them at once.
pub fn watch(kinds: &[&'static Kind], seed: u64) -> Result<Vec<Outcome>> {
    let mut programs = started(kinds, seed, SECONDS)?;
    let pids = programs.iter().map(|(_, program)| program.pid().to_string()).collect::<Vec<_>>().join(",");
    let options = ["watch", "-p", &pids, "--follow", "--interval", INTERVAL, "--duration", WATCHED, "--json"];
    let watch = heaptide::attached(options)?;
    for (kind, program) in &mut programs {
        program.go().with_context(|| kind.name)?;
    }
    let judged = conclusion(watch)?;
    ended(programs, seed, &judged)
}

/// The same without heaptide, for so many seconds: what the programs say of themselves.
pub fn alone(kinds: &[&'static Kind], seed: u64, seconds: u32) -> Result<Vec<Outcome>> {
    let mut programs = started(kinds, seed, seconds)?;
    for (kind, program) in &mut programs {
        program.go().with_context(|| kind.name)?;
    }
    ended(programs, seed, &BTreeMap::new())
}

fn started(kinds: &[&'static Kind], seed: u64, seconds: u32) -> Result<Vec<(&'static Kind, Workload)>> {
    let start = |kind: &&'static Kind| {
        let mut command = Command::new(build::without_frame_pointers(kind.program, 2)?);
        command.args([kind.name, &seed.to_string(), &seconds.to_string(), "wait"]);
        Ok((*kind, Workload::run(&mut command).with_context(|| kind.name)?))
    };
    kinds.iter().map(start).collect()
}

fn ended(programs: Vec<(&'static Kind, Workload)>, seed: u64, judged: &BTreeMap<u32, Judged>) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for (kind, mut program) in programs {
        let lines: Vec<String> = program.work().with_context(|| kind.name)?.map(str::to_owned).collect();
        outcomes.extend(Said::parse(&lines).outcomes(kind, seed, judged)?);
        let ended = program.end()?;
        ensure!(ended.status.success(), "{} failed: {ended:?}", kind.name);
    }
    Ok(outcomes)
}

/// The verdicts by process, when the watch is over.
fn conclusion(watch: Program) -> Result<BTreeMap<u32, Judged>> {
    let ended = watch.end_within(PATIENCE)?;
    ensure!(ended.status.success(), "the watch ended with {:?}: {}", ended.status, ended.err.join("\n"));
    let last = ended.out.iter().rfind(|line| line.contains("\"conclusion\"")).context("there is no conclusion")?;
    let conclusion: Conclusion = serde_json::from_str(last).context("the conclusion is not what it should be")?;
    let judged = conclusion.processes.into_iter().filter_map(|process| match process {
        MaybeJudged::Judged(judged) => Some((judged.pid, judged)),
        MaybeJudged::Other(_) => None,
    });
    Ok(judged.collect())
}

/// What a program says of itself.
#[derive(Default)]
struct Said {
    /// Each process and its role, in the order of their begin.
    roles: Vec<(u32, String)>,
    leaked: BTreeMap<u32, Leaked>,
}

impl Said {
    fn parse(lines: &[String]) -> Self {
        let mut said = Self::default();
        for line in lines {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["process", pid, role] => said.roles.extend(pid.parse().ok().map(|pid| (pid, (*role).to_owned()))),
                ["leaked", pid, site, bytes, _] if *bytes != "0" => {
                    let leaked = bytes.parse().ok().map(|bytes| Leaked { site: (*site).to_owned(), bytes });
                    said.leaked.extend(pid.parse::<u32>().ok().zip(leaked));
                }
                _ => {}
            }
        }
        said
    }

    fn outcomes(self, kind: &'static Kind, seed: u64, judged: &BTreeMap<u32, Judged>) -> Result<Vec<Outcome>> {
        ensure!(!self.roles.is_empty(), "{} says nothing of its processes", kind.name);
        let outcome = |(pid, role): (u32, String)| {
            let label = kind.label(&role).with_context(|| format!("{} has no {role}", kind.name))?;
            Ok(Outcome { kind, label, seed, judged: judged.get(&pid).cloned(), leaked: self.leaked.get(&pid).cloned() })
        };
        self.roles.into_iter().map(outcome).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::KINDS;

    fn judged(verdict: &str, function: &str) -> Judged {
        let text = format!(
            r#"{{"pid":7,"name":"x","verdict":"{verdict}","watch_longer":28.0,"confidence":0.9,
            "growth_bytes_per_second":null,"seconds_to_limit":null,"explanation":"it is so","reasons":[],"suspects":[
            {{"verdict":"growing","confidence":0.9,"frames":[{{"function":"malloc"}},{{"function":"{function}"}}]}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn outcome(name: &str, lines: &[&str], judged: Judged) -> Outcome {
        let kind = KINDS.iter().find(|kind| kind.name == name).unwrap();
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let mut outcomes = Said::parse(&lines).outcomes(kind, 1, &BTreeMap::from([(7, judged)])).unwrap();
        outcomes.remove(0)
    }

    #[test]
    fn a_leak_must_be_found_where_it_is() {
        let lines = ["process 7 main", "leaked 7 remember_session 1000 3"];
        let named = outcome("unbounded-map", &lines, judged("growing", "remember_session(std::map&, long)"));
        assert_eq!((named.is_right(), named.fault(), named.leaked.unwrap().bytes), (true, None, 1000));
        assert_eq!(outcome("unbounded-map", &lines, judged("growing", "a::remember_session")).fault(), None);
        let elsewhere = outcome("unbounded-map", &lines, judged("growing", "remember_sessions"));
        assert_eq!((elsewhere.is_site_found(), elsewhere.fault()), (Some(false), Some("wrong suspect")));
        let too_early = outcome("unbounded-map", &lines, judged("too_early", "x"));
        assert_eq!((too_early.is_right(), too_early.fault()), (false, None));
        assert_eq!(outcome("unbounded-map", &lines, judged("steady", "x")).fault(), Some("wrong"));
    }

    #[test]
    fn a_process_without_a_verdict_is_a_fault_unless_it_was_short() {
        assert_eq!(outcome("steady", &["process 8 main"], judged("steady", "x")).fault(), Some("no verdict"));
        assert_eq!(outcome("worker-restarts", &["process 8 replaced"], judged("steady", "x")).fault(), None);
        let grows = outcome("worker-restarts", &["process 7 replaced"], judged("growing", "x"));
        assert_eq!(grows.fault(), Some("wrong"));
    }

    #[test]
    fn the_share_is_of_those_that_live_long_enough() {
        let outcomes = [
            outcome("steady", &["process 7 main"], judged("steady", "x")),
            outcome("steady", &["process 7 main"], judged("too_early", "x")),
            outcome("worker-restarts", &["process 7 replaced"], judged("too_early", "x")),
        ];
        assert!((right(&outcomes) - 0.5).abs() < 1e-9);
        assert!(table(&outcomes).contains("it is so"));
    }
}
