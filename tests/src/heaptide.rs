//! heaptide itself, run as its users run it.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::build;
use crate::profile::Profile;
use crate::program::{Ended, Program, Stream};

/// The program: what the environment variable `HEAPTIDE` names, or the release build.
pub fn program() -> Result<PathBuf> {
    let program = match env::var_os("HEAPTIDE") {
        Some(program) => PathBuf::from(program),
        None => build::target_folder().join("release/heaptide"),
    };
    program.canonicalize().with_context(|| format!("there is no {}: build it, or set HEAPTIDE", program.display()))
}

/// Runs heaptide with `arguments` to its end.
pub fn run<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>) -> Result<Ended> {
    start(arguments)?.end()
}

/// Starts heaptide with `arguments`.
pub fn start<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>) -> Result<Program> {
    Program::start(Command::new(program()?).args(arguments.into_iter().map(Into::into)))
}

/// Starts heaptide with `arguments` and waits until its probes are in.
pub fn attached<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>) -> Result<Program> {
    let mut program = start(arguments)?;
    program.hear(Stream::Err, "line that it is attached", |line| line.starts_with("attached to PID "))?;
    Ok(program)
}

/// A recording whose profile is read at its end.
#[derive(Debug)]
pub struct Recording {
    program: Program,
    folder: TempDir,
}

/// What a recording left.
#[derive(Debug)]
pub struct Report {
    /// How heaptide ended, and its own words.
    pub ended: Ended,
    /// The JSON report.
    pub profile: Profile,
}

impl Recording {
    /// Records the processes `pids`; returns when all probes are in.
    pub fn attach(pids: &[u32], options: &[&str]) -> Result<Self> {
        let folder = TempDir::new().context("cannot create a temporary folder")?;
        let mut arguments = arguments(&folder, options);
        for pid in pids {
            arguments.extend(["-p".into(), pid.to_string().into()]);
        }
        Ok(Self { program: attached(arguments)?, folder })
    }

    /// Records the workload `name`, started by heaptide, from its first instruction on.
    pub fn command(name: &str, workload_arguments: &[&str], options: &[&str]) -> Result<Self> {
        Self::command_with(&build::workload(name)?, workload_arguments, options, &[])
    }

    /// Records a program, started by heaptide, from its first instruction on, with these environment variables for both.
    pub fn command_with(
        program: &Path,
        program_arguments: &[&str],
        options: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let folder = TempDir::new().context("cannot create a temporary folder")?;
        let mut arguments = arguments(&folder, options);
        arguments.extend(["--".into(), program.into()]);
        arguments.extend(program_arguments.iter().map(OsString::from));
        let mut command = Command::new(self::program()?);
        command.args(arguments).envs(environment.iter().copied());
        Ok(Self { program: Program::start(&mut command)?, folder })
    }

    /// heaptide while it records.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// Stops it as a user does with Ctrl-C, and reads its report.
    pub fn stop(self) -> Result<Report> {
        self.stop_by(Signal::SIGINT)
    }

    /// Stops it by `signal`, and reads its report.
    pub fn stop_by(self, signal: Signal) -> Result<Report> {
        self.program.signal(signal)?;
        let report = self.end()?;
        ensure!(report.ended.status.code() == Some(0), "heaptide ended with {:?}", report.ended);
        Ok(report)
    }

    /// Waits until it ends by itself, and reads its report.
    pub fn end(self) -> Result<Report> {
        let ended = self.program.end()?;
        let path = self.folder.path().join(PROFILE);
        let profile = File::open(&path).with_context(|| format!("heaptide wrote no profile: {ended:?}"))?;
        let profile = serde_json::from_reader(profile).context("heaptide's JSON is not a profile")?;
        Ok(Report { ended, profile })
    }
}

const PROFILE: &str = "profile.json";

fn arguments(folder: &TempDir, options: &[&str]) -> Vec<OsString> {
    let mut arguments = vec!["record".into(), "--json".into(), folder.path().join(PROFILE).into_os_string()];
    arguments.extend(options.iter().map(OsString::from));
    arguments
}
