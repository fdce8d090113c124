//! The report for people: sums, stacks, what is not known, cost. Stacks are written as memleak does, so that its
//! readers' scripts find them.

use std::io;

use jiff::tz::TimeZone;

use super::page::Page;
use super::process::title;
use super::sums::{self, Shape};
use super::words::{count, duration, human, human_and_exact};
use super::{budget, coverage, growth, marks, stack, trust, verdicts, wholeness};
use crate::profile::{ByMemory, Memory, Process, Profile, Sampled, Usage};

/// Stacks that are shown of the peak.
const PEAK: usize = 3;

/// What to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// Most stacks of each process.
    pub top: usize,
    /// Show mapped files, too: their sum even when it is zero, and their stacks.
    pub show_files: bool,
    /// Show the stacks of threads, too: their sum even when it is zero, and the stacks of the calls that made them.
    pub show_thread_stacks: bool,
    /// Where times of day are told for.
    pub zone: TimeZone,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { top: 10, show_files: false, show_thread_stacks: false, zone: TimeZone::system() }
    }
}

impl TextOptions {
    const fn wants(&self, memory: Memory) -> bool {
        match memory {
            Memory::Heap | Memory::Anonymous => true,
            Memory::File => self.show_files,
            Memory::ThreadStack => self.show_thread_stacks,
            _ => false,
        }
    }

    const fn shape(&self, peak_is_bound: bool, sampled: Option<Sampled>) -> Shape {
        Shape { files: self.show_files, thread_stacks: self.show_thread_stacks, peak_is_bound, sampled }
    }
}

/// Writes the whole report.
pub fn write(out: &mut dyn io::Write, profile: &Profile, options: &TextOptions) -> io::Result<()> {
    let page = &mut Page::new(out);
    let peak_is_bound = profile.cost.rings > 1;
    write_head(page, profile)?;
    if profile.processes.len() > 1 {
        let mut sums = ByMemory::default();
        profile.processes.iter().for_each(|process| sums += process.sums);
        let sampled = profile.processes.iter().filter_map(|process| process.sampled).reduce(Sampled::and);
        page.blank()?;
        page.line(format_args!("All {} together", count(profile.processes.len() as u64, "program")))?;
        if profile.growth.is_some() {
            growth::write_all(page, &profile.processes)?;
        } else {
            write_estimated(page, profile, sampled)?;
            // Peaks of different times, added.
            sums::write(page, &sums, options.shape(true, sampled))?;
        }
    }
    for process in &profile.processes {
        page.blank()?;
        page.line(format_args!("{}", title(process)))?;
        if let Some(growth) = &process.growth {
            growth::write(page, process, growth)?;
            verdicts::write(page, profile, process, (options.top, &options.zone))?;
            let shown = growth::Shown { top: options.top, files: options.show_files };
            growth::write_stacks(page, process, shown, &older(profile))?;
            continue;
        }
        coverage::write(page, &process.allocators)?;
        write_estimated(page, profile, process.sampled)?;
        sums::write(page, &process.sums, options.shape(peak_is_bound, process.sampled))?;
        verdicts::write(page, profile, process, (options.top, &options.zone))?;
        verdicts::write_peak(page, process, PEAK)?;
        write_stacks(page, profile, process, options)?;
    }
    page.blank()?;
    trust::write(page, &profile.unknown, profile.sampling, profile.budget.as_ref())?;
    wholeness::write(page, profile.stack_method, &profile.unknown.unwinding)?;
    page.blank()?;
    if let Some(budget) = &profile.budget {
        page.line(format_args!("{}", budget::line(budget)))?;
    }
    if let Some(growth) = profile.growth {
        growth::write_meaning(page, growth)?;
    }
    trust::write_cost(page, &profile.cost, profile.seconds)
}

fn write_head(page: &mut Page<'_>, profile: &Profile) -> io::Result<()> {
    let (version, time) = (&profile.version, duration(profile.seconds));
    let since = if profile.from_start {
        "traced from the first instruction"
    } else {
        "attached while it ran: older memory is not in these numbers"
    };
    page.line(format_args!("heaptide {version}, {time}, {since}"))?;
    if profile.processes.is_empty() {
        page.blank()?;
        page.line(format_args!("No process was traced."))?;
    }
    Ok(())
}

/// Says that what follows is estimated, and from what.
fn write_estimated(page: &mut Page<'_>, profile: &Profile, sampled: Option<Sampled>) -> io::Result<()> {
    let (Some(sampling), Some(Sampled { exact, recorded, .. })) = (profile.sampling, sampled) else {
        return Ok(());
    };
    let blocks = count(recorded, "recorded block");
    if let Some(pulses) = profile.budget.as_ref().and_then(|budget| budget.pulses) {
        let what = match pulses.slowdown {
            Some(_) => "outstanding is at most this",
            None => "sizes are too small",
        };
        return page.line(format_args!("  estimated from {blocks}, recorded in pulses: {what}"));
    }
    let share = match exact.and_then(|exact| exact.allocations.checked_div(recorded)) {
        Some(every) => format!(", 1 in about {}", every.max(1)),
        None => String::new(),
    };
    let how = if profile.budget.is_some() { "sampled at up to" } else { "sampled at" };
    page.line(format_args!("  estimated from {blocks}{share}: {how} {}", human(sampling.interval_bytes)))
}

/// `, and older than 5 s`, when only older memory is shown.
fn older(profile: &Profile) -> String {
    let age = profile.older_than_seconds;
    if age > 0.0 { format!(", and older than {}", duration(age)) } else { String::new() }
}

fn write_stacks(page: &mut Page<'_>, profile: &Profile, process: &Process, options: &TextOptions) -> io::Result<()> {
    let stacks = stack::ranked(process, |memory| options.wants(memory));
    let older = older(profile);
    page.blank()?;
    if stacks.is_empty() {
        return page.line(format_args!("No stack holds memory that is outstanding{older}."));
    }
    let (top, rest) = stacks.split_at(options.top.min(stacks.len()));
    let shown = if rest.is_empty() {
        count(stacks.len() as u64, "stack")
    } else {
        format!("The largest {} of {}", top.len(), count(stacks.len() as u64, "stack"))
    };
    page.line(format_args!("{shown}, by what is outstanding{older}:"))?;
    for stack in top {
        page.blank()?;
        stack::write(page, stack, "", "")?;
        marks::write(page, &profile.marks, &stack.generations)?;
    }
    if !rest.is_empty() {
        let hidden = rest.iter().fold(Usage::default(), |sum, stack| sum + stack.shown);
        let (stacks, blocks) = (count(rest.len() as u64, "more stack"), count(hidden.blocks, "allocation"));
        let bytes = human_and_exact(hidden.bytes);
        page.blank()?;
        page.line(format_args!("Not shown: {stacks} with {bytes} in {blocks}. Raise --top to see more."))?;
    }
    Ok(())
}
