//! What is told on standard error while a recording runs.

use std::io::{self, Write};

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::pipeline::Status;

/// One line at the bottom of a terminal; nothing elsewhere.
pub(super) struct StatusLine {
    bar: ProgressBar,
    last: Status,
}

impl StatusLine {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            bar.set_style(style);
        }
        Self { bar, last: Status::default() }
    }

    /// Shows where the recording stands.
    pub(super) fn show(&mut self, status: Status) {
        let seconds = (status.elapsed.saturating_sub(self.last.elapsed)).as_secs_f64().max(1e-3);
        let rate = per_second(status.events.saturating_sub(self.last.events), seconds);
        self.bar.set_message(format!(
            "{}, {} events/s, {} outstanding, {} lost (Ctrl-C ends the recording)",
            HumanDuration(status.elapsed),
            HumanCount(rate),
            HumanBytes(status.outstanding),
            HumanCount(status.lost),
        ));
        self.bar.tick();
        self.last = status;
    }

    /// Lets something else be printed.
    pub(super) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Takes the line away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

#[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "a rate for the eye, never negative")]
fn per_second(events: u64, seconds: f64) -> u64 {
    (events as f64 / seconds).round() as u64
}

/// A line on standard error.
pub(super) fn say(line: &str) {
    // Nobody is left to be told when standard error is closed.
    let _ = writeln!(io::stderr(), "{}", crate::process::printable(line));
}
