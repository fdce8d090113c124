//! heaptide's stacks of programs without frame pointers are those that libgcc's unwinder sees, frame by frame.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use heaptide_tests::heaptide::Recording;
use heaptide_tests::profile::Profile;
use heaptide_tests::stacks::{self, Code, Equality, Walked};
use heaptide_tests::workload::Workload;
use heaptide_tests::{build, pace};

/// What became of a workload that was recorded, while it still lives.
struct Recorded {
    walked: Vec<Walked>,
    profile: Profile,
    code: Code,
    pid: u32,
}

fn recorded(name: &str, level: u8, argument: &str) -> Result<Recorded> {
    let program = build::without_frame_pointers(name, level)?;
    let mut workload = Workload::run(Command::new(program).args(["wait", argument]))?;
    let pid = workload.pid();
    let recording = Recording::attach(&[pid], &[])?;
    workload.go()?;
    let walked = stacks::parse(workload.work()?)?;
    let code = Code::of(pid)?;
    Ok(Recorded { walked, profile: recording.stop()?.profile, code, pid })
}

impl Recorded {
    fn compare(&self, name: &str) -> Result<Equality> {
        let process = self.profile.process(self.pid, 0).context("the process is not reported")?;
        // While a thread changes the mappings of its process, the kernel tells nobody what is mapped where, and a walk
        // that comes to an address not seen before ends there: heaptide counts it as busy. No frame of it is wrong.
        let same = stacks::same(name, &self.walked, process, &self.code, self.walks("busy")?);
        same.with_context(|| format!("{name}; what heaptide does not know: {:?}", self.profile.unknown))
    }

    /// How many walks ended in the way that heaptide calls `outcome`.
    fn walks(&self, outcome: &str) -> Result<u64> {
        let ended = self.profile.unknown.get("unwinding").and_then(|unwinding| unwinding.get(outcome));
        ended.copied().with_context(|| format!("heaptide does not say {outcome}"))
    }
}

/// Every stack is equal, at least `least` distinct ones to the last frame, and no walk ended early for want of a rule.
/// The workload makes stacks `rounds` times; on a slow machine less often, and fewer of them are enough.
fn equal(name: &str, level: u8, rounds: usize, least: usize) -> Result<()> {
    let recorded = recorded(name, level, &pace::times(rounds).to_string())?;
    let least = pace::times(least);
    let title = format!("{name}, -O{level}");
    let equality = recorded.compare(&title)?;
    ensure!(equality.stacks >= least, "{title}: {equality:?}, too little to go by");
    for cut in CUT {
        let walks = recorded.walks(cut)?;
        // A stack deeper than is kept is no failure, and is compared as far as it is kept.
        let deep = recorded.walked.iter().filter(|walked| walked.addresses.len() > stacks::MOST_FRAMES).count();
        let allowed = if cut == "too_deep" { deep as u64 } else { 0 };
        ensure!(walks == allowed, "{title}: {walks} walks ended in {cut}");
    }
    Ok(())
}

/// How a walk can end before the outermost frame.
const CUT: [&str; 7] = ["too_deep", "not_expressible", "no_cfi", "bad_read", "bad_frame", "unmapped", "no_table"];

#[test]
fn equality_of_c() -> Result<()> {
    equal("stacks_c", 2, 400, 1500)
}

#[test]
fn equality_of_c_optimized_less() -> Result<()> {
    equal("stacks_c", 1, 400, 1500)
}

#[test]
fn equality_of_cpp() -> Result<()> {
    equal("stacks_cpp", 2, 30, 1500)
}

#[test]
fn equality_of_cpp_optimized_less() -> Result<()> {
    equal("stacks_cpp", 1, 30, 1500)
}

#[test]
fn equality_of_rust() -> Result<()> {
    equal("stacks_rust", 3, 60, 1200)
}

#[test]
fn equality_of_rust_optimized_less() -> Result<()> {
    equal("stacks_rust", 1, 60, 1200)
}

#[test]
fn equality_at_every_instruction() -> Result<()> {
    equal("stacks_steps", 2, 5, 2000)
}

#[test]
fn equality_at_every_instruction_optimized_less() -> Result<()> {
    equal("stacks_steps", 1, 5, 2000)
}

#[test]
fn equality_of_stacks_deeper_than_are_kept() -> Result<()> {
    let recorded = recorded("stacks_c", 2, "deep")?;
    let deep = recorded.walked.iter().filter(|walked| walked.addresses.len() > stacks::MOST_FRAMES).count();
    let whole = recorded.walked.len() - deep;
    ensure!(deep > 100 && whole > 30, "{deep} are too deep, {whole} are not");
    recorded.compare("recursion")?;
    ensure!(recorded.walks("too_deep")? == deep as u64, "{:?}, {deep} are too deep", recorded.profile.unknown);
    Ok(())
}

/// The one difference there is. A function that realigns its stack finds its caller by `r10` alone while it makes its
/// frame and while it takes it down, and heaptide's rules do not know that register: a stack that is interrupted just
/// there ends there. libgcc has the register from the signal's frame.
#[test]
fn equality_ends_where_a_realigned_frame_is_half_made() -> Result<()> {
    let mut recorded = recorded("stacks_steps", 2, "realigned")?;
    let ranges = stacks::half_made_frames(&build::without_frame_pointers("stacks_steps", 2)?)?;
    let mut cut = 0;
    for walked in &mut recorded.walked {
        // The handler, the C library's way back from it, and what was interrupted.
        let Some(place) = walked.addresses.get(2).map(|&address| recorded.code.place(address)) else { continue };
        let is_own = place.module.starts_with("stacks_steps");
        if is_own && ranges.iter().any(|range| range.contains(&place.address)) {
            walked.addresses.truncate(3);
            cut += 1;
        }
    }
    ensure!(cut > 5 && recorded.walked.len() > 2 * cut, "{cut} of {} are cut", recorded.walked.len());
    recorded.compare("realigned")?;
    let walks = recorded.walks("not_expressible")?;
    ensure!(walks == cut as u64, "{walks} walks ended at what no rule says, not {cut}");
    Ok(())
}
