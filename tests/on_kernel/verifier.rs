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
    let before = Loaded::now()?;
    let workload = Workload::start("middle", &[])?;
    let recording = Recording::attach(&[workload.pid()], &[])?;
    let programs = before.new_programs();
    recording.stop()?;

    let mut counts = BTreeMap::new();
    for program in programs {
        let name = program.name_as_str().context("a program has no name")?.to_owned();
        // Kernels before 5.16 do not say.
        counts.insert(name, program.verified_instruction_count().context("the kernel does not say")?);
    }
    for (name, count) in &counts {
        println!("verified {name} {count}");
    }
    ensure!(counts.contains_key("heap_call") && counts.contains_key("process_exit"), "not all are seen: {counts:?}");
    let largest = counts.values().max().copied().unwrap_or(0);
    ensure!(largest <= MOST_INSTRUCTIONS, "{largest} instructions were verified of one program: {counts:?}");
    Ok(())
}
