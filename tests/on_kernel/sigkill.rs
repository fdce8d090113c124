//! heaptide killed in the middle: the target must not notice for longer than the kernel needs.

use anyhow::{Context, Result, ensure};
use heaptide_tests::build;
use heaptide_tests::heaptide;
use heaptide_tests::program::{Program, Stream};
use nix::sys::signal::Signal;
use std::process::Command;

use crate::loaded::Loaded;

/// How often a measurement is repeated when the machine is busy with something else.
const ATTEMPTS: u32 = 8;

/// Picoseconds of one pair of malloc and free, as the running target measures.
fn measured(target: &mut Program) -> Result<u64> {
    let line = target.hear(Stream::Out, "measurement", |line| line.starts_with("picoseconds "))?;
    line["picoseconds ".len()..].trim().parse().with_context(|| format!("no number in {line:?}"))
}

fn measure(target: &mut Program) -> Result<u64> {
    target.tell("measure")?;
    measured(target)
}

#[test]
fn a_killed_heaptide_leaves_a_target_at_full_speed() -> Result<()> {
    let before = Loaded::now()?;
    let mut target = Program::start(&mut Command::new(build::workload("speed")?))?;
    target.hear(Stream::Out, "ready line", |line| line.starts_with("ready"))?;
    let untraced = measure(&mut target)?;

    let recording = heaptide::attached(["record", "-p", &target.pid().to_string()])?;
    ensure!(before.added()? > 0, "an attached recording is not seen among the loaded programs");
    let traced = measure(&mut target)?;
    ensure!(traced > 3 * untraced, "nothing was traced: {traced} ps a pair, {untraced} ps before");

    target.tell("measure")?;
    target.hear(Stream::Out, "start of the measurement", |line| line == "started")?;
    recording.signal(Signal::SIGKILL)?;
    ensure!(recording.end()?.status.code().is_none(), "heaptide was not killed");
    measured(&mut target)?;
    before.nothing_added()?;

    let mut after = u64::MAX;
    for _ in 0..ATTEMPTS {
        after = after.min(measure(&mut target)?);
        if after * 2 <= untraced * 3 {
            return Ok(());
        }
    }
    anyhow::bail!("{after} ps a pair after heaptide was killed, {untraced} ps before it came");
}
