//! Which tests run in a machine.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::Message;

use crate::process;
use crate::workspace::Workspace;

/// The test that says what the verifier had to do.
pub(super) const VERIFIED: &str = "verifier::verified_instructions_of_each_program";

/// Stacks compared frame by frame: some hundred of each language are enough to see that the kernel's walk is right.
const EQUALITY: [&str; 2] = ["equality::equality_of_c", "equality::equality_of_rust"];

/// Sampling of processes that share blocks: how a kernel tells of them, and whom its probes see, differs.
const SAMPLING: [&str; 2] =
    ["sampling::a_family_loses_no_release", "sampling::a_guest_of_a_process_takes_no_release_from_it"];

/// Calls counted to the call: older kernels have another way to give each probe its cookie.
const COVERAGE: &str = "coverage::each_call_of_each_process_is_counted";

/// Numbers compared with what the workloads know.
const TRUTH: &str = "truth::";

/// The same of an allocator on top of the C library's: probes that are attached one by one, as older kernels have it, must
/// tell layers apart as well.
const NAMED: &str = "named::blocks_of_an_allocator_on_top_of_another";

/// The limit of a group of the unified hierarchy: hosts that have memory in the old one cannot show it.
const GROUP: &str = "control_groups::a_groups_limit_is_the_one_that_its_process_reaches";

/// Resident memory: how a kernel tells of page faults and where it keeps its page tables differs.
const GROWTH: &str = "growth::pages_";

/// The test program, and the names of the tests to run.
pub(super) struct Selection {
    /// The test program.
    pub(super) program: PathBuf,
    /// The tests' names.
    pub(super) names: Vec<String>,
}

impl Selection {
    /// Builds the tests that attach to processes, and chooses among them.
    pub(super) fn of_tests(workspace: &Workspace) -> Result<Self> {
        let mut build = process::cargo();
        build.args(["test", "--no-run", "--package", "heaptide-tests", "--features", "kernel", "--test", "on_kernel"]);
        build.args(["--message-format", "json-render-diagnostics"]).env("HEAPTIDE", workspace.program());
        let said = process::read(&mut build)?;
        let program = Message::parse_stream(said.as_slice()).filter_map(Result::ok).find_map(|message| match message {
            Message::CompilerArtifact(artifact) if artifact.target.name == "on_kernel" => artifact.executable,
            _ => None,
        });
        let program = program.context("cargo did not say where it put the test program")?.into_std_path_buf();
        let list = process::read(Command::new(&program).arg("--list"))?;
        let names = chosen(&String::from_utf8_lossy(&list));
        for group in [TRUTH, NAMED, GROWTH] {
            ensure!(names.iter().filter(|name| name.starts_with(group)).count() > 1, "there are no tests {group}*");
        }
        for name in EQUALITY.into_iter().chain(SAMPLING).chain([COVERAGE, GROUP, VERIFIED]) {
            ensure!(names.iter().any(|chosen| chosen == name), "there is no test {name}");
        }
        Ok(Self { program, names })
    }
}

/// The names to run of a list with lines such as `truth::failing_calls_leave_no_trace: test`.
fn chosen(list: &str) -> Vec<String> {
    let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
    let is_of_group = |name: &str| [TRUTH, NAMED, GROWTH].iter().any(|group| name.starts_with(group));
    let is_single = |name: &str| {
        EQUALITY.contains(&name) || SAMPLING.contains(&name) || [COVERAGE, GROUP, VERIFIED].contains(&name)
    };
    let wanted = |name: &&str| is_of_group(name) || is_single(name);
    names.filter(wanted).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_chosen_whole() {
        let list =
            "equality::equality_of_c: test\nequality::equality_of_cpp: test\ntruth::x: test\n\n3 tests, 0 benchmarks\n";
        assert_eq!(chosen(list), ["equality::equality_of_c", "truth::x"]);
    }
}
