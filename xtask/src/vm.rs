//! `cargo xtask test --vm`: the tests on other kernels.
//!
//! Debian's kernels of [`kernel::SERIES`] boot in an emulated machine, which needs no rights, from an archive of files in
//! memory that holds heaptide, the test program and built workloads ([`initramfs`]). All that is downloaded lies in the
//! target folder; nothing is installed. What the kernels' verifiers had to do for each program is printed as a table, with
//! the running kernel beside them.

mod console;
mod emulator;
mod initramfs;
mod kernel;
mod machine;
mod package;
mod results;
mod selection;
mod verified;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};

use self::emulator::Emulator;
use self::kernel::Kernel;
use self::results::Results;
use self::selection::Selection;
use crate::process;
use crate::workspace::Workspace;

/// Runs the tests in each kernel. The program must have been built.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let folder = workspace.machines();
    let kernels = Kernel::fetch_all(&folder)?;
    let emulator = Emulator::find(&folder)?;
    let selection = Selection::of_tests(workspace)?;
    let initramfs = initramfs::make(&folder, &selection, workspace)?;

    // Each machine keeps one processor busy.
    let machine = |kernel: &Kernel| test(kernel, &emulator, &initramfs, &selection, &folder);
    let outcomes: Vec<Result<Results>> = thread::scope(|scope| {
        let threads: Vec<_> = kernels.iter().map(|kernel| scope.spawn(|| machine(kernel))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a machine's thread panicked"))))
            .collect()
    });

    let mut columns = Vec::new();
    let mut failed = Vec::new();
    for (kernel, outcome) in kernels.iter().zip(outcomes) {
        match outcome {
            Ok(results) => columns.push((kernel.release.clone(), results.verified)),
            Err(error) => {
                process::say(&format!("{}: {error:#}", kernel.release));
                failed.push(kernel.release.as_str());
            }
        }
    }
    columns.extend(verified::of_running_kernel(&selection, workspace)?);
    process::conclude(&verified::table(&columns))?;
    ensure!(failed.is_empty(), "tests failed on Linux {}", failed.join(" and "));
    Ok(())
}

/// Runs the tests in one kernel, and prints each one's result.
fn test(
    kernel: &Kernel,
    emulator: &Emulator,
    initramfs: &Path,
    selection: &Selection,
    folder: &Path,
) -> Result<Results> {
    let begin = Instant::now();
    let results_file: PathBuf = folder.join(format!("{}.results", kernel.release));
    // What tests said before a machine was given up counts, too.
    let ran = machine::run(emulator, kernel, initramfs, &results_file);
    let results = Results::read(&results_file).unwrap_or_default();
    // In one piece: another machine may be done at the same time.
    let seconds = begin.elapsed().as_secs();
    let lines = results.lines.join("\n");
    process::conclude(&format!("Linux {}, {seconds} s:\n{lines}", kernel.release))?;
    let console = ran?;
    console.check()?;
    results.check(selection.names.len()).map_err(|error| anyhow!("{error}\n{}", console.last()))?;
    Ok(results)
}
