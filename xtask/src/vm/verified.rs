//! How many instructions the verifier followed for each program.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::selection::{Selection, VERIFIED};
use crate::process;
use crate::workspace::Workspace;

/// By the programs' names.
#[derive(Default)]
pub(super) struct Verified(BTreeMap<String, u64>);

impl Verified {
    /// From lines such as `verified heap_call 1671`; other lines are left aside.
    pub(super) fn parse(text: &str) -> Self {
        let count = |line: &str| {
            let (name, count) = line.trim_end().strip_prefix("verified ")?.split_once(' ')?;
            Some((name.to_owned(), count.parse().ok()?))
        };
        Self(text.lines().filter_map(count).collect())
    }
}

/// The running kernel's column; none where loading programs is not permitted.
pub(super) fn of_running_kernel(selection: &Selection, workspace: &Workspace) -> Result<Option<(String, Verified)>> {
    if !nix::unistd::geteuid().is_root() {
        process::say("the running kernel is left out of the table: asking its verifier needs root");
        return Ok(None);
    }
    let mut test = Command::new(&selection.program);
    test.args(["--exact", "--show-output", VERIFIED]).env("HEAPTIDE", workspace.program());
    let said = process::read(&mut test)?;
    let release = nix::sys::utsname::uname().context("cannot ask for the kernel's release")?;
    let release = release.release().to_string_lossy().into_owned();
    Ok(Some((release, Verified::parse(&String::from_utf8_lossy(&said)))))
}

/// A row for each program, a column for each kernel.
pub(super) fn table(columns: &[(String, Verified)]) -> String {
    let mut text = "instructions that the verifier followed:\nprogram         ".to_owned();
    // Writing to a string cannot fail.
    for (release, _) in columns {
        let _ = write!(text, "  {release}");
    }
    let names: BTreeSet<&String> = columns.iter().flat_map(|(_, verified)| verified.0.keys()).collect();
    for name in names {
        let _ = write!(text, "\n{name:<16}");
        for (release, verified) in columns {
            let count = verified.0.get(name).map_or_else(|| "-".to_owned(), u64::to_string);
            let _ = write!(text, "  {count:>width$}", width = release.len());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kernel_does_not_have_is_a_dash() {
        let first = Verified::parse("test x ... ok\nverified heap_call 1671\r\nverified heap_free 816\n");
        let second = Verified::parse("verified heap_call 99\n");
        let text = table(&[("6.1".to_owned(), first), ("6.12.5".to_owned(), second)]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[1..],
            ["program           6.1  6.12.5", "heap_call         1671      99", "heap_free         816       -"]
        );
    }
}
