//! The kernels that are tested besides the running one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::package;
use crate::{process, setup};

/// The series, each by what its packages' names begin and end with. Both have types and probes; they are small, since they
/// are made for virtual machines.
pub(super) const SERIES: [(&str, &str); 2] =
    [("linux-image-6.1.0-", "-cloud-amd64"), ("linux-image-6.12.", "+deb12-cloud-amd64")];

/// A kernel that can be booted.
pub(super) struct Kernel {
    /// What it calls itself.
    pub(super) release: String,
    /// Its image.
    pub(super) image: PathBuf,
}

impl Kernel {
    /// The newest of each series, fetched into `folder`.
    pub(super) fn fetch_all(folder: &Path) -> Result<Vec<Self>> {
        let mut listed = listed()?;
        let knows_all =
            |listed: &str| SERIES.iter().all(|(prefix, suffix)| newest(&names(listed), prefix, suffix).is_some());
        if !knows_all(&listed) && nix::unistd::geteuid().is_root() {
            // A fresh machine has no list of packages.
            process::run(setup::apt_get().arg("update"))?;
            listed = self::listed()?;
        }
        let names = names(&listed);
        SERIES.iter().map(|&(prefix, suffix)| Self::fetch(folder, &names, prefix, suffix)).collect()
    }

    fn fetch(folder: &Path, names: &[&str], prefix: &str, suffix: &str) -> Result<Self> {
        let name = newest(names, prefix, suffix).with_context(|| {
            format!("no package {prefix}*{suffix} is known here; on Debian 12 `apt-get update` makes it known")
        })?;
        let release = name.trim_start_matches("linux-image-").to_owned();
        let image = package::unpacked(folder, name, &[name.to_owned()])?.join(format!("boot/vmlinuz-{release}"));
        ensure!(image.is_file(), "the package {name} has no {}", image.display());
        Ok(Self { release, image })
    }
}

/// What Debian's package tools know of kernels.
fn listed() -> Result<String> {
    let listed = process::read(Command::new("apt-cache").args(["search", "--names-only", "^linux-image-6"]));
    let listed = listed.context("the kernels are Debian's: --vm needs Debian's package tools")?;
    Ok(String::from_utf8_lossy(&listed).into_owned())
}

/// The first word of each line.
fn names(listed: &str) -> Vec<&str> {
    listed.lines().filter_map(|line| line.split_whitespace().next()).collect()
}

/// The name with the largest number between `prefix` and `suffix`.
fn newest<'a>(names: &[&'a str], prefix: &str, suffix: &str) -> Option<&'a str> {
    let number = |name: &str| name.strip_prefix(prefix)?.strip_suffix(suffix)?.parse::<u32>().ok();
    names.iter().copied().filter_map(|name| Some((number(name)?, name))).max().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_told_by_number_and_not_by_letters() {
        let names = [
            "linux-image-6.12.9+deb12-cloud-amd64",
            "linux-image-6.12.100+deb12-cloud-amd64",
            "linux-image-6.12.101+deb12-cloud-amd64-dbg",
            "linux-image-6.12-cloud-amd64",
        ];
        let (prefix, suffix) = SERIES[1];
        assert_eq!(newest(&names, prefix, suffix), Some("linux-image-6.12.100+deb12-cloud-amd64"));
        assert_eq!(newest(&names, "linux-image-6.1.0-", "-cloud-amd64"), None);
    }
}
