//! What happens between the first event and the last.

use std::{
    future::pending,
    path::Path,
    process::ExitStatus,
    time::{Duration, Instant},
};

use tokio::{
    process::Child,
    time::{Interval, MissedTickBehavior, interval, sleep_until},
};

use super::{announce, announce_mode, report::print_interim, signals::Signals, status::StatusLine};
use crate::{budget::Mode, cli::config::Recording, kernel::BILL_WINDOW, pipeline::Session, process::Target};

/// How often mappings are read again, and the bill is measured.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// How often the status line changes.
const STATUS: Duration = Duration::from_millis(250);

/// How often an allocator is looked for in a process that has just begun.
const LOOK: Duration = Duration::from_millis(5);

/// A recording that is under way.
pub(super) struct Watch<'a> {
    pub(super) session: &'a mut Session,
    pub(super) recording: &'a Recording,
    pub(super) command: Option<&'a mut Child>,
    pub(super) targets: &'a [Target],
    pub(super) status: StatusLine,
}

impl Watch<'_> {
    /// Until the time is up, a signal comes, or nobody is left to record. Gives the command's exit status when it has
    /// ended.
    pub(super) async fn until_the_end(mut self, mut signals: Signals) -> anyhow::Result<Option<ExitStatus>> {
        let deadline = self.recording.duration.map(|duration| Instant::now() + duration);
        let mut reports = self.recording.interval.map(every);
        let mut housekeeping = every(HOUSEKEEPING);
        let mut status = every(STATUS);
        let mut look = every(LOOK);
        let due = |session: &Session| session.budget_due().map(|due| Instant::now() + due);
        let (mut budget, mut mode) = (due(self.session), Mode::Full);
        let mut bill_end = Some(Instant::now() + BILL_WINDOW);
        let mut exited = None;
        loop {
            tokio::select! {
                Some(notice) = self.session.notice() => {
                    if let Some(attached) = self.session.take_in(notice) {
                        self.status.aside(|| announce(&attached));
                    }
                    if !self.session.is_anything_alive() {
                        break;
                    }
                }
                () = signals.first() => break,
                () = at(deadline) => break,
                () = at(bill_end) => {
                    self.session.close_bill();
                    bill_end = None;
                }
                status = exit(self.command.as_deref_mut()), if exited.is_none() => {
                    exited = Some(status?);
                    if !self.recording.follow {
                        break;
                    }
                }
                () = tick(reports.as_mut()) => {
                    let profile = self.session.interim(self.recording.top).await?;
                    self.status.aside(|| print_interim(&profile, self.recording.top))?;
                }
                () = at(budget) => {
                    if let Some(next) = self.session.keep_budget()? {
                        // Each pulse is not worth a line.
                        if !next.is_way_of(mode) {
                            self.status.aside(|| announce_mode(next));
                        }
                        mode = next;
                        bill_end = Some(Instant::now() + BILL_WINDOW);
                    }
                    budget = due(self.session);
                }
                _ = look.tick(), if self.session.is_looking() => {
                    for attached in self.session.look_again() {
                        self.status.aside(|| announce(&attached));
                    }
                }
                _ = status.tick() => self.status.show(self.session.status()),
                _ = housekeeping.tick() => {
                    self.session.refresh();
                    self.session.open_bill();
                    bill_end = Some(Instant::now() + BILL_WINDOW);
                    if self.is_nobody_left() {
                        break;
                    }
                }
            }
        }
        self.status.end();
        Ok(exited)
    }

    /// The rings tell when a process ends; should that record be lost, this does.
    fn is_nobody_left(&self) -> bool {
        let targets_ended = self.targets.iter().all(|target| target.has_ended().unwrap_or(false));
        let mut followed = self.session.alive();
        let is_over = followed.all(|pid| !Path::new("/proc").join(pid.to_string()).exists());
        self.command.is_none() && targets_ended && is_over
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval.reset();
    interval
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => pending().await,
    }
}

async fn tick(interval: Option<&mut Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => pending().await,
    }
}

async fn exit(command: Option<&mut Child>) -> std::io::Result<ExitStatus> {
    match command {
        Some(command) => command.wait().await,
        None => pending().await,
    }
}
