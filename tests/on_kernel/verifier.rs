//! What the kernel's verifier had to do for each program.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use heaptide_tests::heaptide::Recording;
use heaptide_tests::workload::Workload;

use crate::loaded::Loaded;

/// The verifier gives up at so many instructions, and follows branches in another order in every kernel: a program must
/// stay well below.
const MOST_INSTRUCTIONS: u32 = 500_000;

/// Prints them, for `cargo xtask test --vm` to compare kernels.
#[test]
fn verified_instructions_of_each_program() -> Result<()> {
    let workload = Workload::start("middle", &[])?;
    let mut counts = BTreeMap::new();
    // Page faults have a program of their own, loaded where growth is recorded.
    for mode in ["blocks", "growth"] {
        let before = Loaded::now()?;
        let recording = Recording::attach(&[workload.pid()], &["--mode", mode])?;
        let programs = before.new_programs();
        recording.stop()?;
        for program in programs {
            let name = program.name_as_str().context("a program has no name")?.to_owned();
            // Kernels before 5.16 do not say.
            counts.insert(name, program.verified_instruction_count().context("the kernel does not say")?);
        }
    }
    for (name, count) in &counts {
        println!("verified {name} {count}");
    }
    for program in ["heap_call", "process_exit", "page_fault"] {
        ensure!(counts.contains_key(program), "{program} is not seen: {counts:?}");
    }
    let largest = counts.values().max().copied().unwrap_or(0);
    ensure!(largest <= MOST_INSTRUCTIONS, "{largest} instructions were verified of one program: {counts:?}");
    Ok(())
}
