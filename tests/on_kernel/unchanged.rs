//! A probe never changes what a program computes: the same program prints the same with any allocator, traced or not.

use std::process::Command;

use anyhow::{Result, ensure};
use heaptide_tests::build::{self, Linked};
use heaptide_tests::heaptide::Recording;

use crate::allocators::{JEMALLOC, MIMALLOC, TCMALLOC, library};

/// What the program prints when nobody looks, with the C library's own allocator.
fn expected() -> Result<Vec<String>> {
    let output = Command::new(build::workload("stress")?).output()?;
    ensure!(output.status.success(), "{output:?}");
    let lines: Vec<String> = String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect();
    ensure!(lines.len() == 4, "{lines:?}");
    Ok(lines)
}

/// What it prints while every call is traced, recorded from its first instruction.
fn traced(program: &std::path::Path, options: &[&str], environment: &[(&str, &str)]) -> Result<Vec<String>> {
    let report = Recording::command_with(program, &[], options, environment)?.end()?;
    ensure!(report.ended.status.code() == Some(0), "{:?}", report.ended);
    let hits = report.profile.processes.iter().filter_map(|process| process.sums.get("heap"));
    let calls: u64 = hits.map(|heap| heap.allocated.blocks).sum();
    ensure!(calls > 10_000, "only {calls} allocations were seen: nothing was put to the test");
    // heaptide's own report follows what the program printed.
    Ok(report.ended.out.into_iter().filter(|line| line.starts_with("sum ")).collect())
}

#[test]
fn a_traced_program_computes_what_it_does_untraced() -> Result<()> {
    let expected = expected()?;
    let program = build::workload("stress")?;
    for options in [&[][..], &["--sample", "4KiB"], &["--stacks", "fp"], &["--follow"]] {
        ensure!(traced(&program, options, &[])? == expected, "with {options:?}");
    }
    for name in [JEMALLOC, TCMALLOC, MIMALLOC] {
        let library = library(name)?;
        ensure!(traced(&program, &[], &[("LD_PRELOAD", &library)])? == expected, "with {name}");
    }
    for linked in [Linked::Static, Linked::StaticPie, Linked::Musl] {
        let program = build::linked("stress", linked)?;
        ensure!(traced(&program, &[], &[])? == expected, "linked as {}", program.display());
    }
    Ok(())
}
