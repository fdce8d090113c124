//! `cargo xtask bless`: accepts what the offline tests produce now as their expected output.

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{build, process, test};

/// Runs the offline tests with the word that has them write their golden files. What changed is then for `git diff`.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    build::program(workspace)?;
    test::offline(workspace, &[("HEAPTIDE_BLESS", "1")])?;
    process::conclude("golden files accepted: look at them with git diff before you commit")
}
