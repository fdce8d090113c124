//! A process that a test has started: what it says, what it is told, and how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use wait_timeout::ChildExt;

use crate::pace::deadline;

/// Which of its two streams a process wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A running process. It is killed when this is dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    lines: Receiver<(Stream, String)>,
    heard: Vec<(Stream, String)>,
}

/// What became of a process.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// All lines of its standard output.
    pub out: Vec<String>,
    /// All lines of its standard error.
    pub err: Vec<String>,
}

impl Program {
    /// Starts `command` with its three streams connected to this.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", name.display()))?;
        let (sender, lines) = mpsc::channel();
        if let Some(out) = child.stdout.take() {
            read(out, Stream::Out, sender.clone());
        }
        if let Some(err) = child.stderr.take() {
            read(err, Stream::Err, sender);
        }
        Ok(Self { child, lines, heard: Vec::new() })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes one line to its standard input.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().context("its input is closed")?;
        writeln!(input, "{line}").and_then(|()| input.flush()).with_context(|| format!("cannot say {line:?} to it"))
    }

    /// Closes its standard input.
    pub fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for the next line of `stream` that `wanted` is true for. Lines that were heard before do not count.
    pub fn hear(&mut self, stream: Stream, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let (limit, begin) = (deadline(), Instant::now());
        loop {
            let line = match self.lines.recv_timeout(limit.saturating_sub(begin.elapsed())) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => bail!("no {what} within {limit:?}; it said:\n{}", self.said()),
                Err(RecvTimeoutError::Disconnected) => bail!("it ended without {what}; it said:\n{}", self.said()),
            };
            self.heard.push(line.clone());
            if line.0 == stream && wanted(&line.1) {
                return Ok(line.1);
            }
        }
    }

    /// The lines of `stream` that were heard so far.
    pub fn heard(&self, stream: Stream) -> impl Iterator<Item = &str> {
        self.heard.iter().filter(move |line| line.0 == stream).map(|line| line.1.as_str())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()).context("a process id is positive")?;
        signal::kill(Pid::from_raw(pid), signal).with_context(|| format!("cannot send {signal} to process {pid}"))
    }

    /// Closes its input and waits for its end, and for the end of what it says.
    pub fn end(self) -> Result<Ended> {
        self.end_within(deadline())
    }

    /// The same for a program that may take longer than a step of a test.
    pub fn end_within(mut self, limit: Duration) -> Result<Ended> {
        self.close_input();
        let begin = Instant::now();
        let status = self.child.wait_timeout(limit).context("cannot wait for it")?;
        let Some(status) = status else { bail!("it did not end within {limit:?}; it said:\n{}", self.said()) };
        loop {
            match self.lines.recv_timeout(limit.saturating_sub(begin.elapsed())) {
                Ok(line) => self.heard.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => bail!("it ended, but something still holds its output open"),
            }
        }
        let lines = |stream| self.heard(stream).map(str::to_owned).collect();
        Ok(Ended { status, out: lines(Stream::Out), err: lines(Stream::Err) })
    }

    fn said(&self) -> String {
        self.heard.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail when it has ended and was waited for: as wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends on every line of a stream, from a thread of its own that ends with the stream.
fn read(stream: impl Read + Send + 'static, which: Stream, sender: Sender<(Stream, String)>) {
    thread::spawn(move || {
        let lines = BufReader::new(stream).split(b'\n').map_while(Result::ok);
        for line in lines {
            // Nobody listens any more.
            if sender.send((which, String::from_utf8_lossy(&line).into_owned())).is_err() {
                break;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program::start(Command::new("sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn what_is_told_is_heard_again() {
        let mut program = shell("read line; echo heard $line; echo trouble >&2; exit 3");
        program.tell("a word").unwrap();
        assert_eq!(program.hear(Stream::Out, "answer", |line| line.starts_with("heard")).unwrap(), "heard a word");
        let ended = program.end().unwrap();
        assert_eq!((ended.status.code(), ended.out.len(), ended.err), (Some(3), 1, vec!["trouble".to_owned()]));
    }

    #[test]
    fn a_program_that_ends_early_is_an_error_with_its_words() {
        let error = shell("echo no such thing >&2").hear(Stream::Out, "ready line", |_| true).unwrap_err();
        assert!(error.to_string().contains("without ready line"), "{error}");
        assert!(error.to_string().contains("no such thing"), "{error}");
    }

    #[test]
    fn a_dropped_program_is_gone() {
        let program = shell("read line");
        let pid = program.pid();
        drop(program);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}
