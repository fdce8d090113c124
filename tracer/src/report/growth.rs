//! The growth of a process's resident memory: what became resident, what was given back, and what the numbers are.

use std::io;

use super::page::Page;
use super::stack;
use super::words::{count, human, human_and_exact};
use crate::profile::{ByMemory, ByTouched, Growth, Memory, Process, ProcessGrowth, Profile, Stack, Totals, Usage};

/// Which kinds of memory have their stacks shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) top: usize,
    pub(super) files: bool,
}

/// What the numbers are, in plain words.
const MEANING: [&str; 5] = [
    "What this is: memory becomes resident when it is touched. Each stack is that of the touch, which need not be",
    "  where the block was allocated: an allocator hands out what was touched before without a page fault.",
    "  A page that was given back and touched again counts at both stacks as touched, and is there once.",
    "  A page shared with a parent or child counts when it is written to and so copied, though the process does not grow.",
    "  Pages of files are counted one a fault; the kernel may bring some of their neighbours with them.",
];

/// Writes what a process has grown by, and of what.
pub(super) fn write(page: &mut Page<'_>, process: &Process, growth: &ProcessGrowth) -> io::Result<()> {
    write_resident(page, process, growth)?;
    write_sums(page, &process.sums, growth)
}

/// Writes the sums of several processes.
pub(super) fn write_all(page: &mut Page<'_>, processes: &[Process]) -> io::Result<()> {
    let mut sums = ByMemory::default();
    let mut all = ProcessGrowth::default();
    for process in processes {
        sums += process.sums;
        let growth = process.growth.unwrap_or_default();
        all.faults += growth.faults;
        all.zero_faults += growth.zero_faults;
        all.unsized_faults += growth.unsized_faults;
    }
    write_sums(page, &sums, &all)
}

fn write_resident(page: &mut Page<'_>, process: &Process, growth: &ProcessGrowth) -> io::Result<()> {
    let ProcessGrowth { begin, end, .. } = *growth;
    let when = if process.end.is_some() { "when last seen" } else { "at the end" };
    let (Some(begin), Some(end)) = (begin, end) else {
        return page.line(format_args!("  resident memory: not seen, the process was too short-lived"));
    };
    let (from, to) = (human(begin.total()), human(end.total()));
    let change = change(begin.total(), end.total());
    let own = self::change(begin.own(), end.own());
    page.line(format_args!("  resident memory: {from} at the begin, {to} {when}: {change} (without files: {own})"))?;
    let (grown, held) = (end.own().saturating_sub(begin.own()), own_outstanding(&process.sums.touched).bytes);
    if let Some(share) = (u128::from(held) * 100).checked_div(u128::from(grown)) {
        let held = human(held);
        page.line(format_args!(
            "  explained by what was touched and is still there (without files): {held}, {share} %"
        ))?;
    }
    Ok(())
}

/// `grew by 3.0 MiB`.
fn change(from: u64, to: u64) -> String {
    match to.checked_sub(from) {
        Some(0) => "the same".to_owned(),
        Some(more) => format!("grew by {}", human(more)),
        None => format!("shrank by {}", human(from - to)),
    }
}

fn own_outstanding(touched: &ByTouched) -> Usage {
    let sums = ByMemory { touched: *touched, ..ByMemory::default() };
    let own = Memory::TOUCHED.into_iter().filter(|memory| memory.is_own());
    own.fold(Usage::default(), |sum, memory| sum + sums.of(memory).outstanding)
}

fn write_sums(page: &mut Page<'_>, sums: &ByMemory, growth: &ProcessGrowth) -> io::Result<()> {
    let ProcessGrowth { faults, zero_faults, unsized_faults, is_checked, .. } = *growth;
    let all = &sums.touched.resident;
    let mut rows = vec![
        ("touched", all.allocated, format!(" in {} by {}", pages(all.allocated), count(faults, "page fault"))),
        ("given back", all.freed, " unmapped, or not there any more".to_owned()),
        ("still there", all.outstanding, format!(" in {}", pages(all.outstanding))),
    ];
    for memory in Memory::TOUCHED {
        let totals = sums.of(memory);
        if *totals != Totals::default() {
            let (label, note) = words(memory);
            rows.push((label, totals.outstanding, format!(" in {}{note}", pages(totals.outstanding))));
        }
    }
    for (label, totals) in [("mapped itself", &sums.anonymous), ("allocators mapped", &sums.allocator)] {
        if *totals != Totals::default() {
            let mappings = count(totals.outstanding.blocks, "mapping");
            rows.push((label, totals.outstanding, format!(" in {mappings} not unmapped, touched or not")));
        }
    }
    let digits = rows.iter().map(|(_, usage, _)| usage.bytes.to_string().len()).max().unwrap_or(0);
    for (label, Usage { bytes, .. }, rest) in rows {
        page.line(format_args!("  {label:<18}{:>12}  {bytes:>digits$} bytes{rest}", human(bytes)))?;
    }
    if zero_faults > 0 {
        let faults = count(zero_faults, "page fault");
        page.line(format_args!("  {faults} only read memory that nobody had written to: nothing became resident"))?;
    }
    if unsized_faults > 0 {
        let faults = count(unsized_faults, "page fault");
        page.line(format_args!("  {faults} of pages whose size is not known: each counts as 4 KiB, a huge page too"))?;
    }
    if !is_checked && *all != Totals::default() {
        page.line(format_args!(
            "  not asked what is still there (the process had ended, or its page map cannot be read): what was given back"
        ))?;
        page.line(format_args!("  without being unmapped (madvise) counts as still there"))?;
    }
    Ok(())
}

fn pages(usage: Usage) -> String {
    count(usage.blocks, "page")
}

const fn words(memory: Memory) -> (&'static str, &'static str) {
    match memory {
        Memory::TouchedHeap => ("  of the heap", ": [heap], and what allocators mapped while it was recorded"),
        Memory::TouchedAnonymous => ("  other anonymous", ": mapped by others, or before the recording"),
        Memory::TouchedStack => ("  of stacks", ""),
        Memory::TouchedFileCopy => ("  copies of files", ": written to, so a copy was made"),
        Memory::TouchedShared => ("  shared memory", ""),
        Memory::TouchedFile => ("  of files", ": the kernel can drop them"),
        _ => ("huge pages", " of hugetlbfs, not added"),
    }
}

/// Writes the stacks of a process: those that touched memory, and those that mapped it.
pub(super) fn write_stacks(page: &mut Page<'_>, process: &Process, shown: Shown, older: &str) -> io::Result<()> {
    let touched = stack::ranked(process, |memory| {
        memory.is_own() || memory == Memory::TouchedHuge || shown.files && memory == Memory::TouchedFile
    });
    let what = format!("by what they have touched and is still there{older}");
    write_list(page, &touched, shown.top, &what, "No stack has touched memory that is still there.")?;
    let mapped = stack::ranked(process, |memory| matches!(memory, Memory::Anonymous | Memory::Allocator));
    if !mapped.is_empty() {
        let what = format!("by what they have mapped and not unmapped, touched or not{older}");
        write_list(page, &mapped, shown.top, &what, "")?;
    }
    Ok(())
}

fn write_list(page: &mut Page<'_>, stacks: &[&Stack], top: usize, what: &str, none: &str) -> io::Result<()> {
    page.blank()?;
    if stacks.is_empty() {
        return page.line(format_args!("{none}"));
    }
    let (top, rest) = stacks.split_at(top.min(stacks.len()));
    let all = count(stacks.len() as u64, "stack");
    let shown = if rest.is_empty() { all } else { format!("The largest {} of {all}", top.len()) };
    page.line(format_args!("{shown}, {what}:"))?;
    for stack in top {
        page.blank()?;
        stack::write(page, stack, "", "")?;
    }
    if !rest.is_empty() {
        let hidden = rest.iter().fold(Usage::default(), |sum, stack| sum + stack.shown);
        let (stacks, bytes) = (count(rest.len() as u64, "more stack"), human_and_exact(hidden.bytes));
        page.blank()?;
        page.line(format_args!("Not shown: {stacks} with {bytes}. Raise --top to see more."))?;
    }
    Ok(())
}

/// Writes what the numbers are and what they are not.
pub(super) fn write_meaning(page: &mut Page<'_>, growth: Growth) -> io::Result<()> {
    page.line(format_args!("{} recorded; no probe was on malloc or free.", count(growth.page_faults, "page fault")))?;
    MEANING.iter().try_for_each(|line| page.line(format_args!("{line}")))
}

/// Writes the sum of an interim report.
pub(super) fn write_interim(page: &mut Page<'_>, profile: &Profile) -> io::Result<()> {
    let sums = profile.processes.iter().map(|process| own_outstanding(&process.sums.touched));
    let all = sums.fold(Usage::default(), |sum, usage| sum + usage);
    let doubt = if profile.unknown.is_exact() { "" } else { ", not exact" };
    page.line(format_args!("    {} touched and still there in all{doubt}", human_and_exact(all.bytes)))
}

/// The stacks that folded reports and interim ones are about.
pub(super) const fn counts(profile: &Profile, memory: Memory) -> bool {
    if profile.growth.is_some() { memory.is_own() } else { memory.is_outstanding() }
}
