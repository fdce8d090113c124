//! Debian's packages, fetched and unpacked without being installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::process;

/// Unpacks `packages` (`name` or `name=version`) into a folder of the name `title` in `folder`, if it is not there
/// already, and gives it.
pub(super) fn unpacked(folder: &Path, title: &str, packages: &[String]) -> Result<PathBuf> {
    let finished = folder.join(title);
    if finished.is_dir() {
        return Ok(finished);
    }
    process::say(&format!("fetching {} into {}, to be used there and not installed", packages.join(", "), title));
    // Under another name first: what was unpacked in part must never look whole.
    let unfinished = folder.join(format!("{title}.unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).with_context(|| format!("cannot remove {}", unfinished.display()))?;
    }
    let downloads = unfinished.join("downloads");
    fs::create_dir_all(&downloads).with_context(|| format!("cannot create {}", downloads.display()))?;
    process::read(Command::new("apt-get").arg("download").args(packages).current_dir(&downloads))
        .context("cannot fetch packages; `apt-get update` brings the list of them up to date")?;
    let mut count = 0;
    for package in fs::read_dir(&downloads).context("cannot list what was fetched")? {
        process::run(Command::new("dpkg-deb").arg("--extract").arg(package?.path()).arg(&unfinished))?;
        count += 1;
    }
    ensure!(count == packages.len(), "{count} packages were fetched instead of {}", packages.len());
    fs::remove_dir_all(&downloads).with_context(|| format!("cannot remove {}", downloads.display()))?;
    fs::rename(&unfinished, &finished).with_context(|| format!("cannot rename {}", unfinished.display()))?;
    Ok(finished)
}
