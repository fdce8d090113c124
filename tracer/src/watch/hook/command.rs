//! One command, with all that it starts.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use procfs::process::all_processes;
use rustix::process::{PidfdFlags, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::unix::pipe;
use tokio::time::timeout;

use super::{Outcome, Run};

/// Between asking a group to end and ending it.
const GRACE: Duration = Duration::from_secs(2);

/// A killed process is gone at once, unless the kernel holds it in an uninterruptible wait.
const KILLED: Duration = Duration::from_secs(1);

/// A running command. When it is dropped before its end, its group is ended.
///
/// The first process of the group is not reaped before the group has been ended: so long its number, which is the
/// group's, cannot become anybody else's.
#[derive(Debug)]
pub(super) struct Command {
    child: Child,
    group: Pid,
    /// Readable when the child has ended.
    exit: AsyncFd<OwnedFd>,
    is_over: bool,
}

impl Command {
    /// Starts `sh -c`. What it writes goes to heaptide's standard error.
    pub(super) fn start(run: &Run) -> io::Result<Self> {
        let errors = || io::stderr().as_fd().try_clone_to_owned().map(Stdio::from);
        let mut command = std::process::Command::new("sh");
        command.arg("-c").arg(&run.command).envs(run.environment.iter().cloned());
        command.stdin(Stdio::piped()).stdout(errors()?).stderr(errors()?).process_group(0);
        let mut child = command.spawn()?;
        let group = Pid::from_raw(child.id().cast_signed());
        match watch(&child) {
            Ok(exit) => Ok(Self { child, group, exit, is_over: false }),
            Err(error) => {
                let _ = killpg(group, Signal::SIGKILL);
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Writes its standard input while it reads, and waits for its end.
    pub(super) async fn feed_until_exit(&mut self, document: Vec<u8>) -> Outcome {
        let stdin = self.child.stdin.take();
        let ended = tokio::select! {
            // What was not read by then is of no use to anybody.
            ended = exited(&self.exit) => ended,
            ended = async { feed(stdin, &document).await; exited(&self.exit).await } => ended,
        };
        self.is_over = true;
        match ended.and_then(|()| self.child.wait()) {
            Ok(status) => of_status(status),
            Err(error) => Outcome::NotStarted { error: format!("its end cannot be seen: {error}") },
        }
    }

    /// Asks the whole group to end, and ends it 2 seconds later, or as soon as nobody is left of it.
    pub(super) async fn terminate(mut self) {
        let _ = killpg(self.group, Signal::SIGTERM);
        // Who is stopped would not hear it.
        let _ = killpg(self.group, Signal::SIGCONT);
        let begin = tokio::time::Instant::now();
        let _ = timeout(GRACE, exited(&self.exit)).await;
        if has_others(self.group) {
            tokio::time::sleep_until(begin + GRACE).await;
        }
        self.kill();
        let _ = timeout(KILLED, exited(&self.exit)).await;
        self.reap();
    }

    fn kill(&self) {
        let _ = killpg(self.group, Signal::SIGKILL);
    }

    /// Does not wait: who cannot be reaped by now is init's when heaptide has ended.
    fn reap(&mut self) {
        self.is_over = true;
        let _ = self.child.try_wait();
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        if !self.is_over {
            self.kill();
            self.reap();
        }
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe, for types whose descriptor may change while it is registered: that of OwnedFd cannot"
)]
fn watch(child: &Child) -> io::Result<AsyncFd<OwnedFd>> {
    let pid = rustix::process::Pid::from_child(child);
    AsyncFd::with_interest(pidfd_open(pid, PidfdFlags::empty())?, Interest::READABLE)
}

/// Waits until the process has ended, without reaping it.
async fn exited(exit: &AsyncFd<OwnedFd>) -> io::Result<()> {
    exit.readable().await.map(|_| ())
}

/// Writes all, as long as somebody reads; then closes the pipe.
async fn feed(stdin: Option<ChildStdin>, document: &[u8]) {
    let Some(stdin) = stdin else { return };
    let write = async {
        let mut pipe = pipe::Sender::from_file(File::from(OwnedFd::from(stdin)))?;
        pipe.write_all(document).await
    };
    if let Err(error) = write.await {
        // Most often nobody reads it: a command need not.
        log::debug!("a hook's standard input was not written: {error}");
    }
}

fn of_status(status: ExitStatus) -> Outcome {
    match (status.code(), status.signal()) {
        (Some(0), _) => Outcome::Done,
        (Some(code), _) => Outcome::Failed { code },
        (None, signal) => Outcome::Signaled { signal: signal.unwrap_or_default() },
    }
}

/// Whether anybody but the first process lives in the group.
fn has_others(group: Pid) -> bool {
    let processes = all_processes().into_iter().flatten().filter_map(Result::ok);
    let mut stats = processes.filter_map(|process| process.stat().ok());
    stats.any(|stat| stat.pgrp == group.as_raw() && stat.pid != group.as_raw() && !matches!(stat.state, 'Z' | 'X'))
}
