//! How far the numbers can be trusted, and what it cost to have them.

use std::io;

use super::page::Page;
use super::words::{count, duration, human};
use crate::numbers::float;
use crate::profile::{Budget, Cost, InPulses, Sampling, Unknown};

/// A count that is not zero matters: how many of what, and what it means.
struct Line {
    number: u64,
    noun: &'static str,
    meaning: &'static str,
    bytes: u64,
}

const fn line(number: u64, noun: &'static str, meaning: &'static str) -> Line {
    Line { number, noun, meaning, bytes: 0 }
}

/// Writes what is missing from the numbers, or that nothing is, and what else is not known.
pub(super) fn write(
    page: &mut Page<'_>,
    unknown: &Unknown,
    sampling: Option<Sampling>,
    budget: Option<&Budget>,
) -> io::Result<()> {
    let ended = budget.and_then(Budget::blocks_ended_after);
    if let Some(seconds) = ended {
        write_ended(page, seconds)?;
    }
    let why = if budget.is_some() { "--max-overhead" } else { "--sample" };
    if let Some(pulses) = budget.and_then(|budget| budget.pulses) {
        page.line(format_args!(
            "Estimated: blocks were recorded in pulses ({why}), each of which stands for the time around it."
        ))?;
        page.line(format_args!("  {}", slowdown(pulses)))?;
        page.line(format_args!(
            "  What was freed between pulses counts as outstanding until its address is used again: at most so much is."
        ))?;
        let rest =
            if unknown.is_exact() { "Mappings are exact." } else { "And something is missing from the estimates." };
        page.line(format_args!(
            "  What keeps growing is real, what levels off may not be: see -i and --older. {rest}"
        ))?;
        return write_rest(page, unknown, sampling);
    }
    match (sampling, unknown.is_exact()) {
        (None, true) if ended.is_some() => page.line(format_args!("Until then exact: no event is missing."))?,
        (None, true) => page.line(format_args!("Exact: no event is missing from these numbers."))?,
        (None, false) => page.line(format_args!("Not exact: something is missing from these numbers."))?,
        (Some(_), true) => page.line(format_args!(
            "Estimated: blocks were sampled ({why}). No event of a recorded block is missing. Mappings are exact."
        ))?,
        (Some(_), false) => page.line(format_args!(
            "Estimated: blocks were sampled ({why}). And something is missing from the estimates."
        ))?,
    }
    write_rest(page, unknown, sampling)
}

fn slowdown(pulses: InPulses) -> String {
    match pulses.slowdown {
        Some(times) => {
            format!("Programs were about {times:.1} times slower in pulses: that is in the estimates.")
        }
        None => {
            "Programs did so little in pulses that nobody can tell for how much those stand: sizes of blocks are too \
                 small, all by the same factor."
                .to_owned()
        }
    }
}

/// Writes what is missing, and what is not known, each with its reason.
fn write_rest(page: &mut Page<'_>, unknown: &Unknown, sampling: Option<Sampling>) -> io::Result<()> {
    write_lines(page, &missing(unknown))?;
    let sampled = line(
        sampling.map_or(0, |sampling| sampling.table_full),
        "recorded block",
        "not marked as such, the table of them was full: harmless, but releases of others cost more then.",
    );
    let beside = beside(unknown).into_iter().chain([sampled]);
    let beside: Vec<Line> = beside.filter(|line| line.number > 0).collect();
    if !beside.is_empty() {
        page.line(format_args!("Not in these numbers, or not known of them:"))?;
        write_lines(page, &beside)?;
    }
    Ok(())
}

/// Says that blocks were not recorded to the end.
fn write_ended(page: &mut Page<'_>, seconds: f64) -> io::Result<()> {
    let time = duration(seconds);
    page.line(format_args!("Not whole: to keep the budget, blocks were recorded for the first {time} only."))?;
    page.line(format_args!("  What is called outstanding was so then: what was allocated or freed since is missing."))?;
    page.line(format_args!("  Mappings went on; since then they include what allocators map for themselves."))
}

fn write_lines(page: &mut Page<'_>, lines: &[Line]) -> io::Result<()> {
    for line in lines.iter().filter(|line| line.number > 0) {
        let what = count(line.number, line.noun);
        let bytes = if line.bytes > 0 { format!(" ({})", count(line.bytes, "byte")) } else { String::new() };
        page.line(format_args!("  {what}{bytes} {}", line.meaning))?;
    }
    Ok(())
}

/// What makes sums wrong, in the order of [`Unknown::is_exact`].
fn missing(unknown: &Unknown) -> Vec<Line> {
    let Unknown { lost, refused, unmatched, .. } = unknown;
    vec![
        line(lost.allocations, "allocation", "lost, a ring was full: missing above. Raise --ring."),
        line(
            lost.releases,
            "release",
            "lost, a ring was full: what was freed still counts as outstanding. Raise --ring.",
        ),
        line(
            lost.resizes,
            "resize event",
            "lost, a ring was full: blocks may count twice or not at all. Raise --ring.",
        ),
        line(lost.mappings, "mapping event", "lost, a ring was full: mapped memory may be wrong. Raise --ring."),
        line(
            lost.processes,
            "process event",
            "lost (fork, exec, exit), a ring was full: a process may be missing or count on after its end. Raise --ring.",
        ),
        line(
            lost.calls,
            "call",
            "not followed to the return, the table of calls was full: what was allocated is missing. Trace fewer processes at once.",
        ),
        line(lost.faults, "page fault", "lost, a ring was full: what became resident is missing above. Raise --ring."),
        Line {
            bytes: refused.live_blocks_bytes,
            ..line(
                refused.live_blocks,
                "allocation",
                "not kept, the table of live blocks was full: missing above. Raise --max-live, or leave out small blocks (--min-size).",
            )
        },
        line(
            unmatched.replaced_blocks,
            "block",
            "closed because another took its address: a release was missed, perhaps by an allocator that is not traced.",
        ),
        line(
            unmatched.calls,
            "call",
            "without a return (the thread ended, or jumped out): what was allocated is missing.",
        ),
        line(unmatched.results, "result", "not readable from the process's memory: those allocations are missing."),
        line(unmatched.processes, "event", "of processes not known to be traced: counted nowhere."),
        line(
            unmatched.late_processes,
            "process",
            "followed only some milliseconds after its start: what it did before is missing. `record --follow -- CMD` misses nothing.",
        ),
        line(
            unmatched.late_libraries,
            "allocator",
            "loaded by a process while it was recorded, and traced only some milliseconds later: what it handed out before is missing.",
        ),
        line(unmatched.undecodable, "record", "not decodable: this is a bug in heaptide, please report it."),
    ]
}

/// What is left out of the sums by choice or by nature, and what stacks lack.
fn beside(unknown: &Unknown) -> Vec<Line> {
    let Unknown { refused, unmatched, stacks, .. } = unknown;
    vec![
        Line {
            bytes: refused.by_size_bytes,
            ..line(refused.by_size, "allocation", "outside the size limits of the command line: left out, as asked.")
        },
        line(
            unmatched.older_releases,
            "release",
            "of blocks not seen allocated (most often older than the trace): left out.",
        ),
        line(
            unmatched.named_releases,
            "release",
            "by a named allocator of blocks that none of its traced functions gave (older, or its own): left out.",
        ),
        line(
            unmatched.older_unmapped_bytes,
            "byte",
            "unmapped that were not seen mapped (most often older than the trace): left out.",
        ),
        line(
            unmatched.guests,
            "process",
            "ran in the memory of a traced one before its exec (vfork, posix_spawn): what it allocated there, if anything, was not seen.",
        ),
        line(unmatched.returns, "return", "of calls from before the trace: left out."),
        line(stacks.unreadable, "allocation", "counted without a stack: it could not be read."),
        line(stacks.busy, "allocation", "counted without a stack: the CPU was busy with others."),
        line(stacks.lost, "stack", "lost, a ring was full (sent again with the next allocation). Raise --ring."),
        line(stacks.collisions, "stack", "with the identity of another: their bytes stand at one of the two."),
        line(
            stacks.unwatched,
            "change",
            "of stacks or processes not followed over time: there were too many, and no verdict is known of them.",
        ),
        line(stacks.refused, "stack", "at most, without frames here: too many distinct ones were met. Try --sample."),
    ]
}

/// Writes what a recording of `seconds` cost the machine.
pub(super) fn write_cost(page: &mut Page<'_>, cost: &Cost, seconds: f64) -> io::Result<()> {
    let (hits, events) = (count(cost.hits, "probe hit"), count(cost.events, "event"));
    let rate = if seconds > 0.0 { format!(" ({:.0} a second)", float(cost.hits) / seconds) } else { String::new() };
    page.line(format_args!("Cost: {hits}{rate}, {events} received."))?;
    let share = |seconds| share(seconds, cost.target_cpu_seconds);
    let (time, traps) = (duration(cost.trap_seconds), share(cost.trap_seconds));
    page.line(format_args!("  {time} in traps at most, by what they cost on this machine{traps}"))?;
    match cost.bpf_seconds {
        Some(seconds) => {
            let (time, measured, share) = (duration(seconds), cost.bpf_measured_share, share(seconds));
            let how = if measured < 0.995 {
                format!(", estimated from {:.0} % of the recording", measured * 100.0)
            } else {
                String::new()
            };
            page.line(format_args!("  {time} in the probes' programs{how}{share}"))?;
        }
        None => page.line(format_args!("  time in the probes' programs not known: the kernel does not say"))?,
    }
    let (time, memory) = (duration(cost.cpu_seconds), human(cost.memory_bytes));
    let own = share(cost.cpu_seconds);
    page.line(format_args!("  {time} of CPU time and {memory} of memory for heaptide itself{own}"))?;
    if cost.target_cpu_seconds > 0.0 {
        let time = duration(cost.target_cpu_seconds);
        page.line(format_args!("  {time} of CPU time for what was recorded, with the probes and their traps"))?;
    }
    Ok(())
}

/// `: 1.3 % of the target's CPU time`; nothing where that is not known.
fn share(seconds: f64, target: f64) -> String {
    if target <= 0.0 {
        return String::new();
    }
    format!(": {:.1} % of the target's CPU time", seconds / target * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(unknown: &Unknown) -> String {
        let mut out = Vec::new();
        write(&mut Page::new(&mut out), unknown, None, None).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_unknown_is_one_line() {
        assert_eq!(written(&Unknown::default()), "Exact: no event is missing from these numbers.\n");
    }

    #[test]
    fn a_single_loss_is_singular_and_says_what_to_do() {
        let mut unknown = Unknown::default();
        unknown.lost.releases = 1;
        let text = written(&unknown);
        assert!(text.starts_with("Not exact"), "{text}");
        assert!(text.contains("\n  1 release lost, ") && text.contains("Raise --ring."), "{text}");
    }

    #[test]
    fn every_counter_that_makes_sums_inexact_has_its_line() {
        // Whatever is counted must be told: each counter alone makes a line of its own.
        let json = serde_json::to_value(Unknown::default()).unwrap();
        let lines = missing(&Unknown::default()).len() + beside(&Unknown::default()).len();
        // How stacks were walked is told by `wholeness`.
        let groups = json.as_object().unwrap().iter().filter(|(name, _)| *name != "unwinding");
        let counters: usize = groups.map(|(_, group)| group.as_object().unwrap().len()).sum();
        // Not lines of their own: two counts of bytes beside their allocations, and the numbers of distinct stacks and of
        // those cut.
        assert_eq!(lines, counters - 4);
    }
}
