//! What happens between the first event and the last.

use std::{
    future::pending,
    ops::ControlFlow,
    path::Path,
    process::{ExitCode, ExitStatus},
    time::{Duration, Instant},
};

use tokio::{
    process::Child,
    time::{Interval, MissedTickBehavior, interval, sleep_until},
};

use super::{Looks, announce, announce_mode, marks::MarkRequests, say, signals::Signals, status::StatusLine};
use crate::{
    budget::Mode,
    cli::config::{Capture, Targets},
    pipeline::Session,
    process::{self, Target},
    profile::{Mark, Profile},
};

/// Who looks on while a recording goes on, and gets the result.
pub(in crate::cli) trait Onlooker {
    /// It was just sampled what is held. `Break` ends the recording.
    async fn sampled(&mut self, _: &mut Session, _: &StatusLine) -> anyhow::Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }

    /// It is time for a report.
    async fn report(&mut self, _: &mut Session, _: &StatusLine) -> anyhow::Result<()> {
        Ok(())
    }

    /// A mark was set.
    fn marked(&mut self, mark: Mark, status: &StatusLine) -> anyhow::Result<()> {
        status.aside(|| say(&format!("mark {} set at {:.1} s", mark.number, mark.seconds)));
        Ok(())
    }

    /// The recording is over. Gives heaptide's exit code, if it is not the command's.
    async fn end(&mut self, profile: &Profile) -> anyhow::Result<Option<ExitCode>>;
}

/// How often mappings are read again, and the bill is measured.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// How often the status line changes.
const STATUS: Duration = Duration::from_millis(250);

/// How often an allocator is looked for in a process that has just begun.
const LOOK: Duration = Duration::from_millis(5);

/// A recording that is under way.
pub(super) struct Course<'a> {
    pub(super) session: &'a mut Session,
    pub(super) capture: &'a Capture,
    pub(super) looks: Looks,
    pub(super) command: Option<&'a mut Child>,
    pub(super) targets: &'a [Target],
    pub(super) status: StatusLine,
}

impl Course<'_> {
    /// Until the time is up, a signal comes, or nobody is left to record. Gives the command's exit status when it has
    /// ended.
    pub(super) async fn until_the_end(
        mut self,
        mut signals: Signals,
        mut requests: MarkRequests,
        onlooker: &mut impl Onlooker,
    ) -> anyhow::Result<Option<ExitStatus>> {
        let deadline = self.capture.duration.map(|duration| Instant::now() + duration);
        let mut reports = self.looks.reports.map(every);
        let mut samples = every(self.looks.interval);
        let mut marks = self.capture.mark_every.map(every);
        let mut housekeeping = every(HOUSEKEEPING);
        let mut status = every(STATUS);
        let mut look = every(LOOK);
        let due = |session: &Session| session.budget_due().map(|due| Instant::now() + due);
        let (mut budget, mut mode) = (due(self.session), Mode::Full);
        let mut exited = None;
        self.session.sample().await?;
        loop {
            let bill_end = self.session.bill_end();
            tokio::select! {
                Some(notice) = self.session.notice() => {
                    if let Some(attached) = self.session.take_in(notice) {
                        self.status.aside(|| announce(&attached));
                    }
                    if !self.session.is_anything_alive() && !self.waits_for_others() {
                        break;
                    }
                }
                () = signals.first() => break,
                () = at(deadline) => break,
                () = at(bill_end) => self.session.close_bill(),
                status = exit(self.command.as_deref_mut()), if exited.is_none() => {
                    exited = Some(status?);
                    if !self.capture.follow {
                        break;
                    }
                }
                _ = samples.tick() => {
                    self.session.sample().await?;
                    if onlooker.sampled(self.session, &self.status).await?.is_break() {
                        break;
                    }
                }
                () = tick(reports.as_mut()) => onlooker.report(self.session, &self.status).await?,
                () = tick(marks.as_mut()) => onlooker.marked(self.session.mark(), &self.status)?,
                request = requests.next() => {
                    if let Some(mark) = request.answer(self.session).await {
                        onlooker.marked(mark, &self.status)?;
                    }
                }
                () = at(budget) => {
                    if let Some(next) = self.session.keep_budget()? {
                        // Each pulse is not worth a line.
                        if !next.is_way_of(mode) {
                            self.status.aside(|| announce_mode(next));
                        }
                        mode = next;
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
                    self.attach_named().await;
                    if self.is_nobody_left() {
                        break;
                    }
                }
            }
        }
        self.session.sample_last().await?;
        self.status.end();
        Ok(exited)
    }

    /// Whether processes that begin later are recorded, too.
    fn waits_for_others(&self) -> bool {
        matches!(self.capture.targets, Targets::Named(_))
    }

    /// Attaches to processes of the name that have begun since.
    async fn attach_named(&mut self) {
        let Targets::Named(name) = &self.capture.targets else { return };
        let known: Vec<u32> = self.session.alive().collect();
        for pid in process::named(name).into_iter().filter(|pid| !known.contains(pid)) {
            let Ok(target) = Target::check(pid) else { continue };
            match self.session.attach_more(&target).await {
                Ok(attached) => self.status.aside(|| announce(&attached)),
                // It may have just begun: it is tried again while it lives.
                Err(error) => log::info!("process {pid} is not traced yet: {error}"),
            }
        }
    }

    /// The rings tell when a process ends; should that record be lost, this does.
    fn is_nobody_left(&self) -> bool {
        let targets_ended = self.targets.iter().all(|target| target.has_ended().unwrap_or(false));
        let mut followed = self.session.alive();
        let is_over = followed.all(|pid| !Path::new("/proc").join(pid.to_string()).exists());
        self.command.is_none() && targets_ended && is_over && !self.waits_for_others()
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
