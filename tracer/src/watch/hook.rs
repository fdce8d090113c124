//! Running a user's commands beside the recording.
//!
//! A command runs in a process group of its own, so that Ctrl-C does not reach it, and that it can be ended with all that it
//! started. Nothing here waits for the end of a pipe: a daemon that a command leaves behind holds up nobody, and is left
//! alone.

mod command;

use std::fmt;
use std::future::pending;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use self::command::Command;

/// What running commands get, at most, when heaptide ends.
const AT_THE_END: Duration = Duration::from_secs(10);

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Which hook it is: of the same one, nothing else runs meanwhile.
    pub hook: usize,
    /// What `sh -c` gets.
    pub command: String,
    /// Is added to heaptide's own environment, as by [`super::Facts::environment`].
    pub environment: Vec<(String, String)>,
    /// For its standard input: a JSON document. It need not read it.
    pub document: Vec<u8>,
}

/// Whether it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It does, or [`Hooks::finished`] will tell why it does not.
    Now,
    /// It was not started: the same hook still runs.
    Busy,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ended with exit code 0.
    Done,
    /// It ended with another exit code.
    Failed {
        /// The code.
        code: i32,
    },
    /// A signal ended it.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// It took too long, and was ended.
    TimedOut,
    /// heaptide ended, and ended it.
    CutShort,
    /// It could not be started.
    NotStarted {
        /// Why.
        error: String,
    },
}

/// A run that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Of which hook.
    pub hook: usize,
    /// The command.
    pub command: String,
    /// What became of it.
    pub outcome: Outcome,
    /// How long it ran.
    pub took: Duration,
}

/// All commands that run. When it is dropped, they are ended at once, with all that is in their groups.
#[derive(Debug)]
pub struct Hooks {
    timeout: Duration,
    running: Vec<(usize, String)>,
    runs: JoinSet<Finished>,
    /// When all have to end.
    end: watch::Sender<Option<Instant>>,
}

impl Hooks {
    /// Commands may take `timeout`.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, running: Vec::new(), runs: JoinSet::new(), end: watch::Sender::new(None) }
    }

    /// Starts a command, unless the same hook still runs. It goes on beside the caller, within whose tokio runtime (with
    /// I/O and time) this has to be called.
    pub fn start(&mut self, run: Run) -> Started {
        if self.running.iter().any(|(hook, _)| *hook == run.hook) {
            return Started::Busy;
        }
        self.running.push((run.hook, run.command.clone()));
        self.runs.spawn(finish(run, self.timeout, self.end.subscribe()));
        Started::Now
    }

    /// The next that ends; waits for ever while none runs. May be dropped and called again, as `select!` does.
    pub async fn finished(&mut self) -> Finished {
        match self.next().await {
            Some(finished) => finished,
            None => pending().await,
        }
    }

    /// The commands that run.
    pub fn running(&self) -> impl Iterator<Item = &str> {
        self.running.iter().map(|(_, command)| command.as_str())
    }

    /// When heaptide ends: waits for those that run, for what is left of their time and 10 seconds at most, and ends them
    /// then. Afterwards nothing runs.
    pub async fn end(self) -> Vec<Finished> {
        self.end_within(AT_THE_END).await
    }

    async fn end_within(mut self, time: Duration) -> Vec<Finished> {
        self.end.send_replace(Some(Instant::now() + time));
        let mut all = Vec::new();
        while let Some(finished) = self.next().await {
            all.push(finished);
        }
        all
    }

    async fn next(&mut self) -> Option<Finished> {
        loop {
            match self.runs.join_next().await? {
                Ok(finished) => {
                    self.running.retain(|(hook, _)| *hook != finished.hook);
                    return Some(finished);
                }
                // No run is aborted while this lives; one that panicked has ended its command.
                Err(error) => log::error!("a hook was lost: {error}"),
            }
        }
    }
}

/// Runs a command until it ends, or has to.
async fn finish(run: Run, timeout: Duration, end: watch::Receiver<Option<Instant>>) -> Finished {
    let begin = Instant::now();
    let outcome = match Command::start(&run) {
        Ok(command) => outcome(command, run.document, begin + timeout, end).await,
        Err(error) => Outcome::NotStarted { error: error.to_string() },
    };
    Finished { hook: run.hook, command: run.command, outcome, took: begin.elapsed() }
}

async fn outcome(
    mut command: Command,
    document: Vec<u8>,
    deadline: Instant,
    end: watch::Receiver<Option<Instant>>,
) -> Outcome {
    tokio::select! {
        outcome = command.feed_until_exit(document) => outcome,
        late = time_is_up(deadline, end) => {
            command.terminate().await;
            late
        }
    }
}

/// Waits until a command has to end, and tells why.
async fn time_is_up(deadline: Instant, mut end: watch::Receiver<Option<Instant>>) -> Outcome {
    loop {
        let at_end = *end.borrow_and_update();
        let (moment, outcome) = match at_end.filter(|end| *end < deadline) {
            Some(end) => (end, Outcome::CutShort),
            None => (deadline, Outcome::TimedOut),
        };
        tokio::select! {
            () = tokio::time::sleep_until(moment.into()) => return outcome,
            // Without a sender nobody will call the end.
            Ok(()) = end.changed() => {}
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Failed { code } => write!(f, "failed with exit code {code}"),
            Self::Signaled { signal } => match nix::sys::signal::Signal::try_from(*signal) {
                Ok(signal) => write!(f, "was ended by {signal}"),
                Err(_) => write!(f, "was ended by signal {signal}"),
            },
            Self::TimedOut => f.write_str("took longer than it may (--hook-timeout), and was ended"),
            Self::CutShort => f.write_str("was ended with heaptide"),
            Self::NotStarted { error } => write!(f, "could not be started: {error}"),
        }
    }
}

impl fmt::Display for Finished {
    /// In one line; control characters of the command do not reach the terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = crate::process::printable(&self.command);
        write!(f, "command {command}: {}", self.outcome)?;
        match self.outcome {
            Outcome::NotStarted { .. } => Ok(()),
            _ => write!(f, " after {:.1} s", self.took.as_secs_f64()),
        }
    }
}

#[cfg(test)]
#[path = "hook_tests.rs"]
mod tests;
