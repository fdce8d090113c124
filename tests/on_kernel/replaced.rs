//! Libraries that are loaded where others were: what was known of those addresses must be forgotten.

use anyhow::{Context, Result, ensure};
use heaptide_tests::build;
use heaptide_tests::heaptide::Recording;
use heaptide_tests::profile::Profile;
use heaptide_tests::workload::Workload;

const FRAMES: [&str; 3] = ["plugin_block", "in_library", "main"];

/// The paths of two libraries that differ in the size of one function's frame.
fn libraries() -> Result<[String; 2]> {
    let path = |name| -> Result<String> {
        Ok(build::workload(name)?.to_str().context("a path of the build is text")?.to_owned())
    };
    Ok([path("plugin_small")?, path("plugin_large")?])
}

/// Blocks that the workload takes, one a loaded library.
const BLOCKS: u64 = 800;

/// Every one of the blocks has the stack that the workload's text says; but for `most`, whose stacks may end early, and
/// say so.
fn check(profile: &Profile, most: u64) -> Result<()> {
    let (mut whole, mut cut) = (0, 0);
    for stack in profile.processes.iter().flat_map(|process| &process.stacks) {
        let functions: Vec<&str> = stack.functions().collect();
        if stack.memory != "heap" || functions.first() != Some(&FRAMES[0]) {
            continue;
        }
        if stack.incomplete {
            cut += stack.totals.allocated.blocks;
            continue;
        }
        ensure!(functions.starts_with(&FRAMES) && functions.last() == Some(&"_start"), "a wrong stack: {functions:?}");
        whole += stack.totals.allocated.blocks;
    }
    ensure!(
        whole + cut == BLOCKS && cut <= most,
        "{whole} of {BLOCKS} blocks have the stack that they should have, {cut} a part"
    );
    Ok(())
}

#[test]
fn libraries_that_replace_each_other_have_their_own_stacks_while_attached() -> Result<()> {
    let [small, large] = libraries()?;
    let mut workload = Workload::start("replaces", &[&small, &large])?;
    let recording = Recording::attach(&[workload.pid()], &[])?;
    workload.go()?;
    for _ in 0..2 {
        workload.hear("loaded")?;
        // heaptide looks at the new addresses within some milliseconds; the machine may be busy.
        std::thread::sleep(std::time::Duration::from_secs(2));
        workload.tell("go on")?;
    }
    workload.done()?;
    check(&recording.stop()?.profile, 0)
}

#[test]
fn libraries_that_replace_each_other_have_their_own_stacks_from_the_start() -> Result<()> {
    let [small, large] = libraries()?;
    let report = Recording::command("replaces", &[&small, &large], &[])?.end()?;
    // A table takes some milliseconds, and by then another library may be where the one was: a begin's affair, which must
    // not last.
    check(&report.profile, BLOCKS / 10)
}
