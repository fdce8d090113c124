//! `heaptide record`.

use std::process::ExitCode;

use crate::cli::config::Recording;

/// Records, and reports.
pub fn run(_recording: Recording) -> anyhow::Result<ExitCode> {
    anyhow::bail!("cannot record: this build has no recorder")
}
