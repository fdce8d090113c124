//! A row of the table: one program, measured.

use std::io::BufReader;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, fs::File};

use anyhow::{Context as _, Result, bail};
use heaptide_tests::completeness::{BOUND, Completeness};
use serde::{Serialize, Serializer};

use super::SECONDS;
use super::load::{Load, Running};
use crate::bench::machine::Machine;
use crate::workspace::Workspace;

/// Fewer walks than this say nothing of one in a thousand.
const LEAST: u64 = 10_000;

/// Size of a row of a table.
const ROW_BYTES: u64 = size_of::<u64>() as u64;

/// What was measured.
#[derive(Serialize)]
pub(crate) struct Table {
    pub(crate) machine: Machine,
    /// How long each program was recorded.
    pub(crate) seconds: u32,
    pub(crate) rows: Vec<Row>,
}

#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) load: &'static str,
    #[serde(serialize_with = "outcome")]
    pub(crate) outcome: Result<Completeness>,
}

fn outcome<S: Serializer>(outcome: &Result<Completeness>, serializer: S) -> Result<S::Ok, S::Error> {
    let outcome = outcome.as_ref().map_err(|error| format!("{error:#}"));
    outcome.serialize(serializer)
}

/// Starts the load, records it, and reads the report.
pub(crate) fn measure(load: &Load, folder: &Path, workspace: &Workspace) -> Result<Completeness> {
    let running = (load.start)(folder)?;
    let mut record = Command::new(workspace.program());
    record.args(["record", "--json", "-"]);
    match &running {
        Running::Process { pid, .. } => {
            record.args(["-p", &pid.to_string(), "-d", &SECONDS.to_string()]);
        }
        Running::Command(command) => {
            record.args(["--follow", "--"]).arg(command.get_program()).args(command.get_args());
        }
    }
    let words = folder.join("heaptide");
    let errors = File::create(&words).context("cannot write heaptide's words")?;
    let mut heaptide = record.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn()?;
    // Read while it is written: of a compiler's stacks it is gigabytes.
    let report = heaptide.stdout.take().context("its output is a pipe")?;
    let completeness = Completeness::read(BufReader::with_capacity(1 << 20, report), &[Path::new(load.program)]);
    let status = heaptide.wait().context("cannot wait for heaptide")?;
    drop(running);
    if !status.success() {
        bail!("heaptide failed: {}", fs::read_to_string(&words).unwrap_or_default().trim_end());
    }
    completeness
}

impl Table {
    /// Programs that were not measured, or have fewer whole stacks than they should.
    pub(crate) fn failed(&self) -> Vec<String> {
        let checked = |row: &Row| match &row.outcome {
            Ok(completeness) => completeness.check(LEAST).err().map(|error| format!("{}: {error:#}", row.name)),
            Err(error) => Some(format!("{}: {error:#}", row.name)),
        };
        self.rows.iter().filter_map(checked).collect()
    }

    /// As Markdown, for `docs/completeness.md`.
    pub(crate) fn paper(&self) -> String {
        let mut lines = vec![
            format!("{}; {} s each", self.machine.line(), self.seconds),
            String::new(),
            "| program | version | walks | complete | ends short | stacks | at a begin | through made code | files | rows | KiB | ms |"
                .to_owned(),
            format!("|---|---|{}", "---:|".repeat(10)),
        ];
        lines.extend(self.rows.iter().map(Row::line));
        lines.push(format!("\nAt least {} must be complete, and end at a begin.", percent(BOUND)));
        lines.join("\n")
    }
}

impl Row {
    fn line(&self) -> String {
        let Self { name, version, outcome, .. } = self;
        let measured = match outcome {
            Ok(measured) => measured,
            Err(error) => return format!("| {name} | {version} | could not be measured: {error:#} |"),
        };
        let walks = &measured.walks;
        let cut = walks.cut().into_iter().filter(|(_, count)| *count > 0);
        let cut = cut.map(|(reason, count)| format!("{reason} {count}")).collect::<Vec<_>>().join(", ");
        let cells = [
            (*name).to_owned(),
            version.clone(),
            walks.all().to_string(),
            percent(walks.complete()),
            if cut.is_empty() { "none".to_owned() } else { cut },
            measured.stacks.to_string(),
            percent(measured.begun()),
            percent(measured.made_code()),
            walks.files.to_string(),
            walks.rows.to_string(),
            ((walks.rows * ROW_BYTES) >> 10).to_string(),
            (walks.table_nanoseconds / 1_000_000).to_string(),
        ];
        format!("| {} |", cells.join(" | "))
    }
}

/// Rounded down: 99.9999 is not 100.
fn percent(share: f64) -> String {
    format!("{:.4} %", (share * 1e6).floor() / 1e4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cut_stack_in_a_million_shows() {
        assert_eq!(percent(1.0), "100.0000 %");
        assert_eq!(percent(999_999.0 / 1e6), "99.9999 %");
        assert_eq!(percent(9_999_999.0 / 1e7), "99.9999 %");
    }
}
