//! The report while the recording goes on: the time and the largest stacks, in memleak's words.

use std::io;
use std::time::SystemTime;

use jiff::Zoned;
use jiff::tz::TimeZone;

use super::coverage::is_silent;
use super::growth;
use super::page::Page;
use super::process::title;
use super::stack;
use super::words::{count, human_and_exact};
use crate::profile::{Process, Profile, Stack, Usage};

/// Writes the `top` largest stacks of all processes together, as of the time `at`, which is shown as the local one.
pub fn write(out: &mut dyn io::Write, profile: &Profile, top: usize, at: SystemTime) -> io::Result<()> {
    write_in(out, profile, top, at, TimeZone::system())
}

fn write_in(out: &mut dyn io::Write, profile: &Profile, top: usize, at: SystemTime, zone: TimeZone) -> io::Result<()> {
    let page = &mut Page::new(out);
    let at = jiff::Timestamp::try_from(at).map_err(io::Error::other)?;
    let time = Zoned::new(at, zone).strftime("%H:%M:%S").to_string();
    let stacks = largest(profile);
    let what = if profile.growth.is_some() { "touched memory that is still there" } else { "outstanding allocations" };
    page.line(format_args!("[{time}] Top {} stacks with {what}:", top.min(stacks.len())))?;
    for (process, stack) in stacks.iter().take(top) {
        let note = if profile.processes.len() > 1 { format!(", {}", title(process)) } else { String::new() };
        stack::write(page, stack, "    ", &note)?;
    }
    if profile.growth.is_some() {
        return growth::write_interim(page, profile);
    }
    let sums = profile.processes.iter().map(|process| process.sums.outstanding.outstanding);
    let all = sums.fold(Usage::default(), |sum, usage| sum + usage);
    let (bytes, blocks) = (human_and_exact(all.bytes), count(all.blocks, "allocation"));
    let doubt = match (profile.sampling, profile.unknown.is_exact()) {
        (None, true) => "",
        (None, false) => ", not exact",
        (Some(_), true) => ", estimated",
        (Some(_), false) => ", estimated, and events are missing",
    };
    page.line(format_args!("    {bytes} in {blocks} outstanding in all{doubt}"))?;
    for process in profile.processes.iter().filter(|process| process.end.is_none() && is_silent(&process.allocators)) {
        page.line(format_args!("    warning: {} has called no traced function so far", title(process)))?;
    }
    Ok(())
}

fn largest(profile: &Profile) -> Vec<(&Process, &Stack)> {
    let of = |process| {
        stack::ranked(process, |memory| growth::counts(profile, memory)).into_iter().map(move |stack| (process, stack))
    };
    let mut stacks: Vec<_> = profile.processes.iter().flat_map(of).collect();
    stacks.sort_by_key(|(_, stack)| stack::rank(stack));
    stacks
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::profile::ByMemory;

    fn process(pid: u32, blocks: &[u64]) -> Process {
        let stack = |&bytes| Stack { shown: Usage::block(bytes), ..Stack::default() };
        let mut sums = ByMemory::default();
        sums.outstanding.outstanding = blocks.iter().fold(Usage::default(), |sum, &bytes| sum + Usage::block(bytes));
        let stacks = blocks.iter().map(stack).collect();
        Process { pid, name: "worker".to_owned(), sums, stacks, ..Process::default() }
    }

    fn written(processes: Vec<Process>, top: usize) -> String {
        let profile = Profile { processes, ..Profile::default() };
        let mut out = Vec::new();
        let at = UNIX_EPOCH + Duration::from_secs(12 * 3600 + 1);
        write_in(&mut out, &profile, top, at, TimeZone::UTC).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_time_stands_first_and_stacks_follow_by_size() {
        let text = written(vec![process(7, &[10, 300])], 10);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "[12:00:01] Top 2 stacks with outstanding allocations:");
        assert_eq!(lines[1], "    300 bytes in 1 allocations from stack");
        assert_eq!(lines[3], "    10 bytes in 1 allocations from stack");
        assert_eq!(lines[5], "    310 bytes in 2 allocations outstanding in all");
    }

    #[test]
    fn a_process_that_has_called_nothing_is_named() {
        let calls = |count| Some(crate::profile::Calls { count, seconds: 5.0, shared: false });
        let allocator = |count| crate::profile::Allocator {
            file: "/usr/lib/libc.so.6".to_owned(),
            family: "glibc".to_owned(),
            functions: Vec::new(),
            calls: calls(count),
        };
        let (mut silent, mut busy) = (process(7, &[]), process(8, &[20]));
        silent.allocators = vec![allocator(0)];
        busy.allocators = vec![allocator(1)];
        let text = written(vec![silent, busy], 10);
        let warnings: Vec<_> = text.lines().filter(|line| line.contains("warning")).collect();
        assert_eq!(warnings, ["    warning: worker (pid 7) has called no traced function so far"]);
    }

    #[test]
    fn stacks_of_several_processes_are_ranked_together() {
        let text = written(vec![process(7, &[10, 300]), process(8, &[20])], 2);
        let stacks: Vec<_> = text.lines().filter(|line| line.contains("from stack")).collect();
        let expected = [
            "    300 bytes in 1 allocations from stack, worker (pid 7)",
            "    20 bytes in 1 allocations from stack, worker (pid 8)",
        ];
        assert_eq!(stacks, expected);
    }
}
