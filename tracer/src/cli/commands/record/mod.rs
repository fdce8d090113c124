//! `heaptide record`: attach or launch, and report at the end.

mod report;

use std::{process::ExitCode, time::Duration};

use self::report::{Reports, print_interim};
use super::capture::{self, Looks, Onlooker, StatusLine};
use crate::{cli::config::Recording, pipeline::Session, profile::Profile};

/// How often it is looked at what is held, for the verdicts of the report.
const INTERVAL: Duration = Duration::from_secs(1);

/// Records, and reports.
pub(super) fn run(recording: &Recording) -> anyhow::Result<ExitCode> {
    let reports = Reports::open(recording)?;
    let looks = Looks { interval: INTERVAL, older: recording.older, reports: recording.interval };
    capture::run(&recording.capture, looks, Reporter { recording, reports: Some(reports) })
}

/// Reports now and then, and at the end.
struct Reporter<'a> {
    recording: &'a Recording,
    reports: Option<Reports>,
}

impl Onlooker for Reporter<'_> {
    async fn report(&mut self, session: &mut Session, status: &StatusLine) -> anyhow::Result<()> {
        let profile = session.interim(self.recording.top, false).await?;
        status.aside(|| print_interim(&profile, self.recording.top))
    }

    async fn end(&mut self, profile: &Profile) -> anyhow::Result<Option<ExitCode>> {
        if let Some(reports) = self.reports.take() {
            reports.write(profile, self.recording)?;
        }
        Ok(None)
    }
}
