//! `cargo xtask completeness`: how many stacks of Debian's programs are whole, under a load of a kind that they are for.
//!
//! Each row is one program ([`loads`]), recorded for [`SECONDS`] while it works. What is measured, and what was, is told in
//! `docs/completeness.md`.

pub(crate) mod load;
mod loads;
mod row;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use tempfile::TempDir;

use self::load::Load;
use self::loads::LOADS;
use self::row::{Row, Table};
use crate::bench::machine::Machine;
use crate::plan::Needs;
use crate::workspace::Workspace;
use crate::{build, process, setup};

/// How long a program is recorded, in seconds.
const SECONDS: u32 = 10;

#[derive(Args)]
pub(crate) struct Options {
    /// Only this program; may be repeated
    #[arg(long, value_name = "NAME", value_parser = names())]
    only: Vec<String>,
    /// Writes the table as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn names() -> clap::builder::PossibleValuesParser {
    LOADS.iter().map(|load| load.name).collect::<Vec<_>>().into()
}

/// Measures, and prints the table. Fails when a program could not be measured or is below the bound.
pub(crate) fn run(options: &Options, workspace: &Workspace) -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "completeness is measured by attaching to processes, which needs root");
    build::build(&setup::run(Needs::Build)?, workspace)?;
    let loads: Vec<&Load> = LOADS.iter().filter(|load| options.wants(load)).collect();
    install(&loads.iter().flat_map(|load| load.packages).copied().collect::<Vec<_>>())?;

    let mut table = Table { machine: Machine::look()?, seconds: SECONDS, rows: Vec::new() };
    for load in loads {
        process::say(&format!("completeness: {}: {}", load.name, load.what));
        // Named alike in every run: what programs say of their files can be compared.
        let folder = TempDir::with_prefix("heaptide-").context("cannot create a temporary folder")?;
        let outcome = row::measure(load, folder.path(), workspace);
        table.rows.push(Row { name: load.name, version: version(load)?, load: load.what, outcome });
    }

    process::conclude(&table.paper())?;
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&table).context("cannot write the table as JSON")?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    let failed = table.failed();
    ensure!(failed.is_empty(), "not whole enough, or not measured: {}", failed.join(", "));
    Ok(())
}

impl Options {
    fn wants(&self, load: &Load) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == load.name)
    }
}

/// Installs what is missing of some packages, after saying which.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let mut missing: Vec<&str> = Vec::new();
    for package in packages {
        if !missing.contains(package) && installed(package)?.is_none() {
            missing.push(package);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    process::say(&format!("installing the programs that are measured: {}", missing.join(", ")));
    process::run(setup::apt_get().arg("update"))?;
    let options = ["install", "--yes", "--no-install-recommends", "--no-remove"];
    process::run(setup::apt_get().args(options).args(missing))
}

/// The version of a package, when it is installed.
fn installed(package: &str) -> Result<Option<String>> {
    let query = ["--show", "--showformat=${db:Status-Status} ${Version}", package];
    let output = Command::new("dpkg-query").args(query).stdin(Stdio::null()).output();
    let output = output.context("the packages are Debian's, and there is no dpkg-query to ask for them")?;
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(words.strip_prefix("installed ").map(str::to_owned))
}

/// The version of the load's first package, which is the program's.
fn version(load: &Load) -> Result<String> {
    let package = load.packages.first().context("every load has a package")?;
    installed(package)?.with_context(|| format!("{package} is not installed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_is_not_there_has_no_version() {
        assert_eq!(installed("heaptide-no-such-package").unwrap(), None);
    }
}
