//! `cargo xtask setup`: finds an eBPF toolchain, and installs what is missing of it where that can be done.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Result, anyhow, bail};
use clap::Args;

use crate::findings::{self, Findings};
use crate::piece::{LINKER_VERSION, LLVM_PREFIX, Piece, linker_install};
use crate::plan::{Needs, Plan, plan};
use crate::process;
use crate::toolchain::Toolchain;

#[derive(Args)]
pub(crate) struct Options {
    /// Also what the tests need: compilers, allocators, and heaptrack to compare with
    #[arg(long)]
    tests: bool,
}

impl Options {
    pub(crate) fn needs(&self) -> Needs {
        if self.tests { Needs::Test } else { Needs::Build }
    }
}

/// Gives the toolchain to build the kernel part with, after installing what is missing. Says nothing when nothing is.
/// Fails with a line for each missing piece and the command that installs it.
pub(crate) fn run(needs: Needs) -> Result<Toolchain> {
    let findings = findings::look()?;
    let missing = match plan(&findings, needs) {
        Plan::Ready(toolchain) => return Ok(toolchain),
        Plan::Refuse(missing) => bail!("{}", advice(&missing, &findings)),
        Plan::Install(missing) => missing,
    };
    install(&missing, findings.system).map_err(|error| anyhow!("{error:#}; {}", advice(&missing, &findings)))?;

    let findings = findings::look()?;
    match plan(&findings, needs) {
        Plan::Ready(toolchain) => Ok(toolchain),
        Plan::Install(missing) | Plan::Refuse(missing) => {
            Err(anyhow!("all was installed, and yet {}", advice(&missing, &findings)))
        }
    }
}

/// The toolchain, if it is there already. Installs nothing.
pub(crate) fn present() -> Result<Option<Toolchain>> {
    match plan(&findings::look()?, Needs::Build) {
        Plan::Ready(toolchain) => Ok(Some(toolchain)),
        Plan::Install(_) | Plan::Refuse(_) => Ok(None),
    }
}

/// One line a missing piece, and beneath it the command that installs it.
fn advice(missing: &[Piece], findings: &Findings) -> String {
    let mut text = "these are missing:".to_owned();
    for piece in missing {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {}\n      {}", piece.what(), piece.command(findings));
    }
    text
}

/// Installs the pieces in their order, after saying what and why.
fn install(missing: &[Piece], system: findings::System) -> Result<()> {
    process::say("setup installs what is missing:");
    for piece in missing {
        let names = match piece {
            Piece::Linker => format!("bpf-linker {LINKER_VERSION} (built by cargo)"),
            _ => piece.packages(system).join(", "),
        };
        process::say(&format!("  {names}: {}", piece.what()));
    }

    let packages: Vec<_> = missing.iter().flat_map(|piece| piece.packages(system)).collect();
    if !packages.is_empty() {
        process::run(apt_get().arg("update"))?;
        // What the machine has is not ours to remove: where packages exclude each other, apt-get says so and stops.
        let options = ["install", "--yes", "--no-install-recommends", "--no-remove"];
        process::run(apt_get().args(options).args(packages))?;
    }
    if missing.contains(&Piece::Linker) {
        process::run(process::cargo().args(linker_install()).env("LLVM_PREFIX", LLVM_PREFIX))?;
    }
    Ok(())
}

/// apt-get, which must not stop to ask.
pub(crate) fn apt_get() -> Command {
    let mut apt_get = Command::new("apt-get");
    apt_get.env("DEBIAN_FRONTEND", "noninteractive");
    apt_get
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::System;

    #[test]
    fn each_missing_piece_is_listed_with_its_command() {
        let findings = Findings {
            system: System::Fedora,
            root: false,
            nightly: None,
            linker: None,
            present: vec![Piece::Llvm, Piece::Gcc],
        };
        let text = advice(&[Piece::Linker, Piece::Gxx], &findings);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[1].contains("bpf-linker"), "{text}");
        assert_eq!(lines[2].trim(), "cargo install bpf-linker --version 0.13.0");
        assert_eq!(lines[4].trim(), "sudo dnf install gcc-c++");
    }
}
