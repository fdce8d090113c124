//! `cargo xtask build`: the program with its kernel part, its man page and its shell completions.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::plan::Needs;
use crate::toolchain::Toolchain;
use crate::workspace::{Workspace, write_if_changed};
use crate::{kernel_part, process, setup};

/// The shells that completions are written for, with the file names under which their users install them.
const COMPLETIONS: [(&str, &str); 3] = [("bash", "heaptide.bash"), ("zsh", "_heaptide"), ("fish", "heaptide.fish")];

/// Builds everything; compiles nothing that is up to date.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    build(&setup::run(Needs::Build)?, workspace)
}

/// Builds everything with a toolchain that is there.
pub(crate) fn build(toolchain: &Toolchain, workspace: &Workspace) -> Result<()> {
    process::run(&mut kernel_part::cargo("build", toolchain, workspace))?;
    let compiled = kernel_part::compiled(workspace);
    let object = fs::read(&compiled).with_context(|| format!("cannot read {}", compiled.display()))?;
    write_if_changed(&workspace.object(), &object)?;

    program(workspace)?;
    write_what_program_says(workspace, &["man"], &workspace.man_page())?;
    for (shell, file) in COMPLETIONS {
        write_what_program_says(workspace, &["completions", shell], &workspace.completions().join(file))?;
    }
    Ok(())
}

/// Builds the program alone, with the kernel part as it was built last, if ever.
pub(crate) fn program(workspace: &Workspace) -> Result<()> {
    process::run(process::cargo().args(["build", "--release", "--package", "heaptide"]))?;
    let program = workspace.program();
    ensure!(program.is_file(), "cargo did not put the program at {}: is another target set?", program.display());
    Ok(())
}

fn write_what_program_says(workspace: &Workspace, words: &[&str], path: &Path) -> Result<()> {
    let mut program = Command::new(workspace.program());
    program.args(words);
    let said = process::read(&mut program)?;
    ensure!(!said.is_empty(), "{} printed nothing", process::shown(&program));
    write_if_changed(path, &said)
}
