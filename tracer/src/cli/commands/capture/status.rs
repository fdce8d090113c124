//! What is told on standard error while a recording runs.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::budget::Mode;
use crate::pipeline::Status;
use crate::report::curve::spark;
use crate::symbols::{Progress, Standing};

/// Seconds of the curve in the status line.
const CURVE: usize = 30;

/// One line at the bottom of a terminal; nothing elsewhere.
pub(in crate::cli) struct StatusLine {
    bar: ProgressBar,
    last: Status,
    /// What was outstanding at each second of the last minute.
    seconds: Vec<u64>,
}

impl StatusLine {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            bar.set_style(style);
        }
        Self { bar, last: Status::default(), seconds: Vec::new() }
    }

    /// Shows where the recording stands.
    pub(super) fn show(&mut self, status: Status) {
        let seconds = (status.elapsed.saturating_sub(self.last.elapsed)).as_secs_f64().max(1e-3);
        let rate = per_second(status.events.saturating_sub(self.last.events), seconds);
        if self.seconds.is_empty() || status.elapsed.as_secs() > self.last.elapsed.as_secs() {
            self.seconds.push(status.outstanding);
            let forgotten = self.seconds.len().saturating_sub(CURVE);
            self.seconds.drain(..forgotten);
        }
        self.bar.set_message(format!(
            "{} {}, {} events/s, {} {}{}, {} lost (Ctrl-C ends the recording)",
            spark(&self.seconds, CURVE),
            HumanDuration(status.elapsed),
            HumanCount(rate),
            HumanBytes(status.outstanding),
            if status.is_growth { "touched and still there" } else { "outstanding" },
            match status.mode {
                None | Some(Mode::Full) => "",
                Some(Mode::Sampled(_)) => " (sampled, to keep the budget)",
                Some(Mode::Pulse(_) | Mode::Pause(_)) => " at most (recorded in pulses, to keep the budget)",
                Some(Mode::Stopped) => " when blocks were last recorded (they cost more than the budget)",
            },
            HumanCount(status.lost),
        ));
        self.bar.tick();
        self.last = status;
    }

    /// Lets something else be printed.
    pub(in crate::cli) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Takes the line away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// After this time, whoever waits for names is told how far they are.
const SILENCE: Duration = Duration::from_secs(1);

/// How often that is told.
const TICK: Duration = Duration::from_millis(200);

/// The line that tells how far the looking up of names is, on a terminal; it is taken away when this is dropped.
pub(super) struct Naming {
    progress: Arc<Progress>,
    /// Dropped to end the thread.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Naming {
    /// Shows nothing at first.
    pub(super) fn watch() -> Self {
        let progress = Arc::new(Progress::default());
        let (end, ended) = mpsc::channel();
        let watched = Arc::clone(&progress);
        let thread = thread::Builder::new().name("progress".to_owned()).spawn(move || show(&watched, &ended));
        // Without the thread, names come without notice.
        Self { progress, end: Some(end), thread: thread.ok() }
    }

    /// What is shown.
    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }
}

impl Drop for Naming {
    fn drop(&mut self) {
        drop(self.end.take());
        // A thread that has died has shown less: no harm.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn show(progress: &Progress, ended: &Receiver<()>) {
    let line = StatusLine::new();
    let mut waited = Duration::ZERO;
    while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        let Some(Standing { file, done, files }) = progress.standing() else { continue };
        waited += TICK;
        if waited > SILENCE {
            let file = crate::process::printable(&file);
            line.bar.set_message(format!("looking up names: {done} of {files} files done, now {file}"));
            line.bar.tick();
        }
    }
    line.end();
}

#[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "a rate for the eye, never negative")]
fn per_second(events: u64, seconds: f64) -> u64 {
    (events as f64 / seconds).round() as u64
}

/// A line on standard error.
pub(in crate::cli) fn say(line: &str) {
    // Nobody is left to be told when standard error is closed.
    let _ = writeln!(io::stderr(), "{}", crate::process::printable(line));
}
