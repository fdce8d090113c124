//! The lines of a watch, in the form that was asked for.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use jiff::tz::TimeZone;

use crate::{
    cli::{
        commands::capture::say,
        config::{Destination, Form},
        output::Output,
    },
    live::Key,
    pipeline::{Current, Session},
    profile::{Mark, Profile},
    report::watch::{Held, Row, conclusion, csv, json, line},
    timeline::{Metric, Sample},
};

/// Writes lines, and knows what stood in those before.
pub(super) struct Lines {
    form: Form,
    has_head: bool,
    /// What each process had allocated and freed.
    before: BTreeMap<Key, (u64, u64)>,
}

impl Lines {
    pub(super) const fn new(form: Form) -> Self {
        Self { form, has_head: false, before: BTreeMap::new() }
    }

    pub(super) const fn form(&self) -> Form {
        self.form
    }

    /// What the processes hold now.
    pub(super) fn row(&mut self, session: &Session) -> Row {
        let current = session.current();
        let processes: Vec<Held> = current.iter().map(|current| self.held(current)).collect();
        let all = session.family().filter(|_| processes.len() > 1).map(|(_, verdict)| {
            let samples: Vec<Sample> = current.iter().map(|current| current.sample).collect();
            Held {
                pid: None,
                name: "all".to_owned(),
                sample: Sample::family(&samples),
                allocated: processes.iter().map(|held| held.allocated).sum(),
                freed: processes.iter().map(|held| held.freed).sum(),
                limit: processes.iter().find_map(|held| held.limit),
                verdict: verdict.cloned(),
            }
        });
        self.before = current.iter().map(|current| (current.key, totals(&current.sample))).collect();
        Row {
            unix_seconds: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            seconds: session.status().elapsed.as_secs_f64(),
            all,
            processes,
        }
    }

    fn held(&self, current: &Current) -> Held {
        let (allocated, freed) = totals(&current.sample);
        let (allocated_before, freed_before) = self.before.get(&current.key).copied().unwrap_or_default();
        Held {
            pid: Some(current.key.pid),
            name: current.name.clone(),
            sample: current.sample,
            allocated: allocated.saturating_sub(allocated_before),
            freed: freed.saturating_sub(freed_before),
            limit: current.limit,
            verdict: current.verdict.clone(),
        }
    }

    /// Writes what is held now. With nobody there, as between two lives of a service, there is nothing to write.
    pub(super) fn write(&mut self, row: &Row) -> anyhow::Result<()> {
        if row.processes.is_empty() {
            return Ok(());
        }
        let is_first = !std::mem::replace(&mut self.has_head, true);
        Output::open(&Destination::Stdout)?.write(|out| match self.form {
            Form::Text => {
                if is_first {
                    line::write_head(out)?;
                }
                line::write(out, row)
            }
            Form::Csv => {
                if is_first {
                    csv::write_head(out)?;
                }
                csv::write(out, row)
            }
            Form::Json => json::write(out, row),
        })?;
        Ok(())
    }

    /// Writes that a mark was set: to standard error where lines are for spreadsheets.
    pub(super) fn write_mark(&self, mark: Mark) -> anyhow::Result<()> {
        if self.form == Form::Json {
            Output::open(&Destination::Stdout)?.write(|out| json::write_mark(out, mark))?;
        } else {
            say(&format!("mark {} set at {:.1} s", mark.number, mark.seconds));
        }
        Ok(())
    }

    /// Writes the conclusion: to standard error where lines are for spreadsheets.
    pub(super) fn conclude(&self, profile: &Profile, top: usize) -> anyhow::Result<()> {
        let zone = &TimeZone::system();
        match self.form {
            Form::Json => {
                Output::open(&Destination::Stdout)?.write(|out| conclusion::write_json(out, profile, top, zone))?;
            }
            Form::Text => {
                Output::open(&Destination::Stdout)?.write(|out| conclusion::write(out, profile, top, zone))?;
            }
            Form::Csv => conclusion::write(&mut std::io::stderr(), profile, top, zone)?,
        }
        Ok(())
    }
}

fn totals(sample: &Sample) -> (u64, u64) {
    (sample.get(Metric::Allocated).unwrap_or(0), sample.get(Metric::Freed).unwrap_or(0))
}
