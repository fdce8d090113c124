//! The program that pairs malloc and free at full speed, and its pace.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use heaptide_tests::program::{Program, Stream};

/// The program, running. It ends with this.
#[derive(Debug)]
pub(crate) struct Churn(Program);

/// What it had done at some moment, as it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pairs: u64,
    /// Nanoseconds of the monotonic clock.
    at: u64,
    /// Nanoseconds of CPU time of its threads.
    cpu: u64,
}

/// What it did between two marks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    pub(crate) pairs: u64,
    pub(crate) seconds: f64,
    /// CPU time for a pair. It does not grow when the threads wait for a processor.
    pub(crate) nanoseconds: f64,
}

impl Churn {
    pub(crate) fn start(program: &Path, threads: u32) -> Result<Self> {
        let mut program = Program::start(Command::new(program).arg(threads.to_string()))?;
        program.hear(Stream::Out, "ready line", |line| line.starts_with("ready"))?;
        Ok(Self(program))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Where it is now.
    pub(crate) fn mark(&mut self) -> Result<Mark> {
        self.0.tell("")?;
        let line = self.0.hear(Stream::Out, "answer", |line| line.starts_with("pairs"))?;
        Mark::parse(&line).with_context(|| format!("not an answer: {line}"))
    }

    /// Its pace for `time` from now on.
    pub(crate) fn watch(&mut self, time: Duration) -> Result<Pace> {
        let begin = self.mark()?;
        thread::sleep(time);
        self.mark()?.since(begin)
    }
}

impl Mark {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let ["pairs", pairs, "at", at, "cpu", cpu] = words[..] else { return None };
        Some(Self { pairs: pairs.parse().ok()?, at: at.parse().ok()?, cpu: cpu.parse().ok()? })
    }

    pub(crate) fn since(self, begin: Self) -> Result<Pace> {
        let (pairs, time, cpu) = (self.pairs - begin.pairs, self.at - begin.at, self.cpu - begin.cpu);
        ensure!(pairs > 0, "no pair of malloc and free was made in {time} nanoseconds");
        Ok(Pace { pairs, seconds: Duration::from_nanos(time).as_secs_f64(), nanoseconds: ratio(cpu, pairs) })
    }
}

#[expect(clippy::cast_precision_loss, reason = "both stay below 2^53")]
pub(crate) fn ratio(numerator: u64, denominator: u64) -> f64 {
    numerator as f64 / denominator as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_what_lies_between_two_answers() {
        let begin = Mark::parse("pairs 100 at 1000000000 cpu 5000").unwrap();
        let end = Mark::parse("pairs 300 at 3000000000 cpu 6000").unwrap();
        assert_eq!(end.since(begin).unwrap(), Pace { pairs: 200, seconds: 2.0, nanoseconds: 5.0 });
        assert!(begin.since(begin).is_err());
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for line in ["", "pairs", "pairs x at 1 cpu 2", "pairs 1 at 2 cpu", "pairs 1 at 2 cpu 3 more 4"] {
            assert_eq!(Mark::parse(line), None, "{line}");
        }
    }
}
