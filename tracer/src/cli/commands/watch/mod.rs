//! `heaptide watch`: memory over time, a line an interval, commands that are run when it grows, and the verdict.

mod hook;
mod keep;
mod lines;
mod triggers;

use std::{ops::ControlFlow, process::ExitCode, time::Duration};

use self::{keep::Keep, lines::Lines, triggers::Triggers};
use super::capture::{self, Looks, Onlooker, StatusLine};
use crate::{
    cli::{config::Watching, exit},
    pipeline::Session,
    profile::{Mark, Profile},
    report::watch::{Row, conclusion},
};

/// Watches until the end, or until a verdict.
pub(super) fn run(watching: &Watching) -> anyhow::Result<ExitCode> {
    let keep = watching.keep.as_deref().map(Keep::open).transpose()?;
    let looks = Looks { interval: watching.interval, older: Duration::ZERO, reports: None };
    let lines = Lines::new(watching.form);
    capture::run(&watching.capture, looks, Watcher { watching, lines, triggers: Triggers::new(watching), keep })
}

/// Looks at each sample.
struct Watcher<'a> {
    watching: &'a Watching,
    lines: Lines,
    triggers: Triggers,
    keep: Option<Keep>,
}

impl Onlooker for Watcher<'_> {
    async fn sampled(&mut self, session: &mut Session, status: &StatusLine) -> anyhow::Result<ControlFlow<()>> {
        let row = self.lines.row(session);
        status.aside(|| self.lines.write(&row))?;
        self.triggers.look(&row, session, self.keep.as_mut(), &self.lines, status).await?;
        let is_over = self.watching.until.is_some_and(|until| is_reached(&row, until.name(), self.watching.sure));
        Ok(if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn marked(&mut self, mark: Mark, status: &StatusLine) -> anyhow::Result<()> {
        status.aside(|| self.lines.write_mark(mark))
    }

    async fn end(&mut self, profile: &Profile) -> anyhow::Result<Option<ExitCode>> {
        // What was found is told before anything can go wrong with the directory.
        self.lines.conclude(profile, self.watching.top)?;
        let kept = self.keep.as_ref().map_or(Ok(()), |keep| keep.end(profile));
        self.triggers.end().await;
        kept?;
        Ok(self.watching.exit_code.then(|| ExitCode::from(exit::of_verdict(conclusion::word(profile)))))
    }
}

/// Whether this is the verdict on any process, and sure.
fn is_reached(row: &Row, verdict: &str, sure: f64) -> bool {
    row.all.iter().chain(&row.processes).any(|held| held.is_judged(verdict, sure))
}
