//! The emulator.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::package;
use crate::process;

const NAME: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";

/// qemu for x86.
pub(super) struct Emulator {
    program: PathBuf,
    /// The folder that it was unpacked to; `None` when it is installed.
    folder: Option<PathBuf>,
}

impl Emulator {
    /// The installed one, or Debian's, unpacked into `folder`.
    ///
    /// It is not installed, although packages are elsewhere: the emulator and the tools of another version that a machine
    /// may have (`qemu-utils`) exclude each other.
    pub(super) fn find(folder: &Path) -> Result<Self> {
        if let Ok(program) = which::which(NAME) {
            return Ok(Self { program, folder: None });
        }
        let unpacked = package::unpacked(folder, PACKAGE, &missing_packages()?)?;
        let program = unpacked.join("usr/bin").join(NAME);
        ensure!(program.is_file(), "the package {PACKAGE} has no {NAME}");
        Ok(Self { program, folder: Some(unpacked) })
    }

    /// A command that runs it; the caller adds the machine.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(folder) = &self.folder {
            command.arg("-L").arg(folder.join("usr/share/qemu")).arg("-L").arg(folder.join("usr/share/seabios"));
            let mut libraries = OsString::new();
            for libraries_of in ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"] {
                libraries.push(folder.join(libraries_of));
                libraries.push(":");
            }
            libraries.push(env::var_os("LD_LIBRARY_PATH").unwrap_or_default());
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }
}

/// The emulator's package and those that it needs and that are not installed.
fn missing_packages() -> Result<Vec<String>> {
    let mut simulation = Command::new("apt-get");
    simulation.args(["install", "--simulate", "--no-install-recommends", PACKAGE]);
    let said = process::read(&mut simulation).with_context(|| format!("there is no {NAME}, nor Debian's package"))?;
    let packages: Vec<String> = String::from_utf8_lossy(&said).lines().filter_map(package_of_line).collect();
    ensure!(!packages.is_empty(), "{} says nothing of what is needed", process::shown(&simulation));
    Ok(packages)
}

/// `name=version` from a line such as `Inst seabios (1.16.2-1 Debian:12.15/oldstable [all])`; an upgrade has the version
/// that is there in brackets before.
fn package_of_line(line: &str) -> Option<String> {
    let mut words = line.strip_prefix("Inst ")?.split_whitespace();
    let name = words.next()?;
    let version = words.find_map(|word| word.strip_prefix('('))?;
    Some(format!("{name}={version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_installed_is_read_from_the_simulation() {
        let line = "Inst seabios (1.16.2-1 Debian:12.15/oldstable [all])";
        assert_eq!(package_of_line(line).as_deref(), Some("seabios=1.16.2-1"));
        let upgrade = "Inst libpng16-16 [1.6.39-2] (1.6.39-2+deb12u1 Debian:12.15/oldstable [amd64])";
        assert_eq!(package_of_line(upgrade).as_deref(), Some("libpng16-16=1.6.39-2+deb12u1"));
        assert_eq!(package_of_line("Remv qemu-utils [1:10.0.2]"), None);
        assert_eq!(package_of_line("Conf seabios (1.16.2-1 Debian:12.15/oldstable [all])"), None);
    }
}
