//! `heaptide doctor`: what the machine offers, and what a process has to be traced.

use std::process::ExitCode;

use crate::allocator::{Discovery, Finder, Found, FoundFunction, GO, NamedAllocators};
use crate::cli::{exit, output, table};
use crate::kernel::features::{Answer, Feature, Features, Need};
use crate::kernel::prices;
use crate::pipeline::Planner;
use crate::process::target::{Target, printable};
use crate::sites::{Class, Part, Prices, Purpose, Site};

/// Examines the machine, and the process `pid`; the exit code says whether recording is possible.
pub(super) fn run(pid: Option<u32>, named: &NamedAllocators) -> anyhow::Result<ExitCode> {
    let features = Features::ask();
    output::show(&machine_text(&features))?;
    if let Some(pid) = pid {
        // The process is examined even if the machine cannot record: both answers were asked for.
        let target = Target::check(pid)?;
        let Discovery { found, go } = named.join(pid, Finder::default().discover(pid))?;
        let mut planner = Planner::new(prices());
        let sites: Vec<_> = found.iter().map(|found| (found, planner.sites_in(pid, found))).collect();
        output::show(&process_text(&target.name, pid, &sites, planner.prices()))?;
        for file in go {
            output::show(&format!("{file} is {GO}\n"))?;
        }
        for allocator in named.missing(&found) {
            let (name, files) = (&allocator.name, allocator.files_text());
            output::show(&printable(&format!("no function of {name} found: nothing of it is mapped from {files}")))?;
            output::show("\n")?;
        }
    }
    let is_able = features.missing_for_recording().is_none();
    Ok(if is_able { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILURE) })
}

/// The table of abilities, what to do about those that are not there, and the verdict.
fn machine_text(features: &Features) -> String {
    let found: Vec<String> = features.all().iter().map(|feature| printable(&feature.found)).collect();
    let rows: Vec<_> = features.all().iter().zip(&found).map(|(feature, found)| row(feature, found)).collect();
    let mut lines = Vec::new();
    for (feature, line) in features.all().iter().zip(table::aligned(&rows)) {
        lines.push(line);
        let remedy = match feature.answer {
            Answer::Yes => None,
            Answer::No => Some(feature.ability.remedy()),
            // What to do is not known either, until the kernel answers.
            Answer::Unknown => Some("run heaptide with sudo, so that the kernel answers"),
        };
        if let Some(remedy) = remedy.filter(|_| feature.ability.need() != Need::None) {
            lines.push(format!("      to do: {remedy}"));
        }
    }
    lines.push(String::new());
    lines.push(verdict(features));
    lines.join("\n") + "\n"
}

fn row<'a>(feature: &Feature, found: &'a str) -> [&'a str; 5] {
    let need = match feature.ability.need() {
        Need::Recording => "needed:",
        Need::Helpful => "helpful:",
        Need::None => "not needed:",
    };
    [feature.ability.name(), feature.answer.word(), found, need, feature.ability.purpose()]
}

fn verdict(features: &Features) -> String {
    if let Some(missing) = features.missing_for_recording() {
        let text = printable(&missing.to_string());
        let about_machine = "this machine cannot record";
        return if text.starts_with(about_machine) { text } else { format!("{about_machine}: {text}") };
    }
    let unknown: Vec<_> = features.unknown_for_recording().map(|feature| feature.ability.name()).collect();
    if unknown.is_empty() {
        return "this machine can record".to_owned();
    }
    format!("nothing known stands in the way of recording; not known: {}", unknown.join(", "))
}

/// The allocators of a process, with the functions that would be traced: where each one's probe goes, and what a hit of
/// it costs.
fn process_text(name: &str, pid: u32, planned: &[(&Found, Vec<Option<Site>>)], prices: &Prices) -> String {
    let mut lines = vec![String::new(), format!("process {pid} ({name}) can be traced")];
    for (allocator, sites) in planned {
        lines.push(format!("{} ({})", allocator.display, allocator.name()));
        let functions = allocator.functions.iter().zip(sites);
        let cells: Vec<_> = functions.flat_map(|(function, site)| cells(function, site.as_ref(), prices)).collect();
        let rows: Vec<_> = cells.iter().map(|cells| cells.each_ref().map(String::as_str)).collect();
        lines.extend(table::aligned(&rows));
    }
    lines.push(if prices.is_measured {
        "ns: what a call's traps cost on this machine, with an empty program, as measured".to_owned()
    } else {
        "ns: what a call's traps cost elsewhere: here they were not measured (-v tells why)".to_owned()
    });
    lines.join("\n") + "\n"
}

/// Most names of one function that are shown: an allocator's `free` has ten.
const SHOWN_NAMES: usize = 3;

/// A function's lines, one for each of its probes: its names, the place, the instruction there, what the kernel does with it,
/// and the price: of a call's entry and return together, or of a hit where there are sites that take their place.
fn cells(function: &FoundFunction, site: Option<&Site>, prices: &Prices) -> Vec<[String; 6]> {
    let names = function.names().take(SHOWN_NAMES).map(printable).collect::<Vec<_>>().join(", ");
    let names = match (function.aliases.len() + 1).checked_sub(SHOWN_NAMES) {
        Some(more @ 1..) => format!("{names} and {more} more"),
        _ => names,
    };
    let Some(site) = site else {
        let place = format!("0x{:x}", function.file_offset);
        return vec![[
            names,
            place,
            "(changed in memory)".to_owned(),
            "not traced".to_owned(),
            String::new(),
            String::new(),
        ]];
    };
    let line = |names: String, at: u64, instruction: &str, class: Class, returns: f64, remark: String| {
        let at = if at == 0 { String::new() } else { format!("+0x{at:x}") };
        let place = format!("0x{:x}{at}", function.file_offset);
        let method = if prices.is_emulated(class) { "emulated" } else { "stepped" };
        let price = format!("{:.0} ns", prices.of(class) + returns);
        [names, place, instruction.to_owned(), method.to_owned(), price, remark]
    };
    if let Some(parts) = site.cover() {
        // The function is named by the site that most calls pass.
        let mut parts: Vec<_> = parts.iter().map(|(part, _)| part).collect();
        parts.sort_by_key(|part| !part.is_alone);
        let names = std::iter::once(names).chain(std::iter::repeat(String::new()));
        let lines = parts.into_iter().zip(names);
        return lines
            .map(|(part, names)| {
                let returns = if part.purpose == Purpose::Handover { prices.returns } else { 0.0 };
                line(names, part.at, &part.instruction, part.class, returns, remark(part).to_owned())
            })
            .collect();
    }
    let plan = &site.plan;
    let returns = if function.role.is_returning() { prices.returns } else { 0.0 };
    let remark = match (plan.fallback, &site.cover) {
        (Some(fallback), _) => fallback.to_string(),
        (None, Some(Err(refusal))) => format!("and the return: {refusal}"),
        _ if plan.skips_null => "not for NULL".to_owned(),
        _ => String::new(),
    };
    vec![line(names, plan.at, &plan.instruction, plan.class, returns, remark)]
}

/// What a site that takes the place of entry and return is for.
const fn remark(part: &Part) -> &'static str {
    match part.purpose {
        Purpose::Begin => "first of two: it calls others",
        Purpose::Done if part.is_alone => "the only one: size and block",
        Purpose::Done => "second of two: the block",
        Purpose::Handover => "and the return: it goes on in another function",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::features::Ability;

    #[test]
    fn a_machine_that_can_record_is_told_so_at_the_end() {
        let text = machine_text(&Features::with(&[]));
        assert!(text.ends_with("\n\nthis machine can record\n"), "{text}");
        assert!(!text.contains("to do:"), "{text}");
    }

    #[test]
    fn the_table_is_aligned_and_says_what_to_do() {
        let features = Features::with(&[
            (Ability::KernelRelease, Answer::Yes, "6.1.0"),
            (Ability::RunTimeStatistics, Answer::Unknown, "\u{1b}odd"),
            (Ability::CapPerfmon, Answer::No, "not held"),
            (Ability::Tracefs, Answer::No, "not mounted"),
        ]);
        let text = machine_text(&features);
        assert_eq!(text, include_str!("doctor_golden.txt"));
    }

    #[test]
    fn what_is_not_known_is_no_verdict() {
        let features = Features::with(&[(Ability::RingBuffer, Answer::Unknown, "?")]);
        assert_eq!(verdict(&features), "nothing known stands in the way of recording; not known: BPF ring buffers");
    }

    #[test]
    fn a_process_is_shown_with_its_functions_and_their_offsets() {
        let found = crate::allocator::discover(std::process::id()).unwrap();
        let libc = found.iter().find(|found| found.display.ends_with("/libc.so.6")).unwrap();
        let mut planner = Planner::new(Prices::of_old());
        let text = process_text("cat", 7, &[(libc, planner.sites(libc))], planner.prices());
        assert!(text.starts_with("\nprocess 7 (cat) can be traced\n/"), "{text}");
        let malloc = libc.functions.iter().find(|function| &*function.name == "malloc").unwrap();
        let line = text.lines().find(|line| line.trim_start().starts_with("malloc, ")).unwrap();
        assert!(line.contains(&format!("0x{:x}", malloc.file_offset)), "{line}");
        assert!(line.contains(" emulated ") && line.contains(" ns"), "{line}");
        assert!(text.contains("(glibc)\n") && text.contains("mmap64"), "{text}");
    }
}
