//! A workload while it runs.

use std::process::Command;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::build;
use crate::program::{Ended, Program, Stream};
use crate::truth::{self, Account};

/// A workload that was told to wait, at some point of its life.
#[derive(Debug)]
pub struct Workload {
    program: Program,
}

impl Workload {
    /// Starts the workload `name` and waits until it is ready to be attached to. It does nothing before [`Self::go`].
    pub fn start(name: &str, arguments: &[&str]) -> Result<Self> {
        Self::run(Command::new(build::workload(name)?).arg("wait").args(arguments))
    }

    /// Starts a workload by a command of the test's own, which must tell it to wait, and waits until it is ready.
    pub fn run(command: &mut Command) -> Result<Self> {
        let mut program = Program::start(command)?;
        program.hear(Stream::Out, "ready line", |line| line.starts_with("ready"))?;
        Ok(Self { program })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Lets it do its work.
    pub fn go(&mut self) -> Result<()> {
        self.program.tell("go")
    }

    /// Waits until its work is done, and returns what it says of its memory. It stays alive.
    pub fn done(&mut self) -> Result<Vec<Account>> {
        truth::parse(self.work()?)
    }

    /// Waits until its work is done, and returns all lines of its output so far. It stays alive.
    pub fn work(&mut self) -> Result<impl Iterator<Item = &str>> {
        self.program.hear(Stream::Out, "done line", |line| line == "done")?;
        Ok(self.program.heard(Stream::Out))
    }

    /// Tells it a line.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        self.program.tell(line)
    }

    /// Tells the workload `obeys` a line, and waits until it has done so.
    pub fn order(&mut self, line: &str) -> Result<()> {
        self.tell(line)?;
        self.program.hear(Stream::Out, "done line", |line| line == "done").map(drop)
    }

    /// The account of the workload `obeys` as it is now: that of its own process.
    pub fn account(&mut self) -> Result<Account> {
        let before = self.program.heard(Stream::Out).count();
        self.order("tell")?;
        let accounts = truth::parse(self.program.heard(Stream::Out).skip(before))?;
        accounts.into_iter().find(|account| account.role.is_empty()).context("it said nothing of its memory")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.program.signal(signal)
    }

    /// Waits for a line of its output that begins with `prefix`; returns the rest of it.
    pub fn hear(&mut self, prefix: &str) -> Result<String> {
        let line = self.program.hear(Stream::Out, prefix, |line| line.starts_with(prefix))?;
        Ok(line[prefix.len()..].trim().to_owned())
    }

    /// Lets it end, and waits for that.
    pub fn end(self) -> Result<Ended> {
        self.program.end()
    }
}
