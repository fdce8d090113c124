//! The last word of a watch: the verdict on each process, why, and its leak suspects.

use std::io;

use jiff::tz::TimeZone;
use serde::Serialize;

use super::words::{percent, verdict_words};
use crate::{
    numbers::{float, whole},
    profile::{Ages, End, Judged, MemoryLimit, Process, Profile, Stack, Suppressed},
    report::{
        curve::draw,
        json::write_line,
        page::Page,
        process::title,
        stack, trust, verdicts,
        words::{count, duration, human},
    },
    timeline::Curve,
    verdict::{Kind, Reason, Verdict},
};

/// Processes that do not grow, each with a line.
const CALM: usize = 20;

/// The verdict on the whole watch: that something grows, if any process does; otherwise that on all processes together, or on
/// the largest.
#[must_use]
pub fn overall(profile: &Profile) -> Option<&Judged> {
    let judged = || profile.processes.iter().filter_map(|process| Some((process, process.verdict.as_ref()?)));
    let fastest = |wanted: fn(Kind) -> bool| {
        let growing = judged().map(|(_, judged)| judged).filter(move |judged| wanted(judged.verdict.kind));
        growing.max_by(|one, other| speed(&one.verdict).total_cmp(&speed(&other.verdict)))
    };
    let largest = || {
        let decided = judged().max_by_key(|(process, judged)| {
            (verdicts::is_worth_a_line(judged), process.end.is_none(), process.sums.outstanding.outstanding.bytes)
        });
        decided.map(|(_, judged)| judged)
    };
    fastest(|kind| kind == Kind::Growing)
        .or_else(|| fastest(|kind| matches!(kind, Kind::NotTheHeap { .. })))
        .or(profile.verdict.as_ref())
        .or_else(largest)
}

fn speed(verdict: &Verdict) -> f64 {
    verdict.bytes_per_second().unwrap_or(0.0)
}

/// Writes the conclusion for people, with the `top` suspects of each process.
pub fn write(out: &mut dyn io::Write, profile: &Profile, top: usize, zone: &TimeZone) -> io::Result<()> {
    let page = &mut Page::new(out);
    page.blank()?;
    let Some(overall) = overall(profile) else {
        page.line(format_args!("Nothing was seen of any process."))?;
        return Ok(());
    };
    let (time, verdict) = (duration(profile.seconds.round()), &overall.verdict);
    let sure = match verdict.kind {
        Kind::TooEarly { .. } => String::new(),
        _ => format!(" ({} % sure)", percent(verdict.confidence)),
    };
    // A stack can be sure long before the process, whose other memory comes and goes.
    let suspects: usize = profile.processes.iter().map(|process| verdicts::suspects(process).len()).sum();
    let suspects = match (verdict.kind, suspects) {
        (Kind::Growing, _) | (_, 0) => String::new(),
        (_, suspects) => format!(" of the whole, but for {}", count(suspects as u64, "leak suspect")),
    };
    page.line(format_args!("After {time}: {}{sure}{suspects}", verdict_words(verdict.kind)))?;
    if let Some(all) = &profile.verdict {
        page.line(format_args!("{}", verdicts::of_all(profile, all, zone)))?;
    }
    let judged = profile.processes.iter().filter_map(|process| Some((process, process.verdict.as_ref()?)));
    let (worth, calm): (Vec<_>, Vec<_>) = judged.partition(|(process, judged)| {
        profile.processes.len() == 1 || grows(judged) || !verdicts::suspects(process).is_empty()
    });
    for (process, judged) in worth {
        write_process(page, profile, process, judged, top, zone)?;
    }
    write_calm(page, profile, &calm, zone)?;
    page.blank()?;
    trust::write(page, &profile.unknown, profile.sampling, profile.budget.as_ref())?;
    trust::write_cost(page, &profile.cost, profile.seconds)
}

fn grows(judged: &Judged) -> bool {
    matches!(judged.verdict.kind, Kind::Growing | Kind::NotTheHeap { .. })
}

/// Writes a line for each process of several that does not grow; not for those that came and went at once.
fn write_calm(page: &mut Page<'_>, profile: &Profile, calm: &[(&Process, &Judged)], zone: &TimeZone) -> io::Result<()> {
    let stayed = |process: &Process, judged: &Judged| process.end.is_none() || verdicts::is_worth_a_line(judged);
    let (shown, passed): (Vec<_>, Vec<_>) = calm.iter().partition(|(process, judged)| stayed(process, judged));
    let more = shown.len().saturating_sub(CALM) + passed.len();
    if !calm.is_empty() {
        page.blank()?;
    }
    for (process, judged) in shown.into_iter().take(CALM) {
        page.line(format_args!("{}", verdicts::of_process(profile, process, judged, zone)))?;
    }
    if more > 0 {
        page.line(format_args!("{} that did not grow, or ended too soon to say.", count(more as u64, "more process")))?;
    }
    Ok(())
}

fn write_process(
    page: &mut Page<'_>,
    profile: &Profile,
    process: &Process,
    judged: &Judged,
    top: usize,
    zone: &TimeZone,
) -> io::Result<()> {
    page.blank()?;
    if process.end.is_some() || process.forked_from.is_some() {
        page.line(format_args!("{}", title(process)))?;
    }
    page.line(format_args!("{}", verdicts::of_process(profile, process, judged, zone)))?;
    for line in process.over_time.iter().flat_map(|over_time| {
        let points = over_time.seconds.iter().zip(&over_time.outstanding_bytes);
        draw(&Curve::of(points.map(|(&at, &bytes)| (at, float(bytes)))), |top| human(whole(top)))
    }) {
        page.line(format_args!("{line}"))?;
    }
    let suspects = verdicts::suspects(process);
    for (index, (stack, verdict)) in suspects.iter().take(top).enumerate() {
        page.blank()?;
        page.line(format_args!("{}. {}", index + 1, verdicts::of_stack(profile, stack, verdict, zone)))?;
        stack::write_frames(page, stack, "")?;
    }
    verdicts::write_rest(page, judged, suspects.len().saturating_sub(top))
}

/// The conclusion for programs.
#[derive(Serialize)]
struct Conclusion<'a> {
    r#type: &'static str,
    seconds: f64,
    #[serde(flatten)]
    said: Said<'a>,
    limit: Option<MemoryLimit>,
    lost_events: u64,
    processes: Vec<OfProcess<'a>>,
}

#[derive(Serialize)]
struct OfProcess<'a> {
    pid: u32,
    generation: u32,
    name: &'a str,
    ended: Option<End>,
    outstanding_bytes: u64,
    outstanding_blocks: u64,
    peak_bytes: u64,
    #[serde(flatten)]
    said: Said<'a>,
    limit: Option<MemoryLimit>,
    suspects: Vec<Suspect<'a>>,
    undecided_stacks: usize,
    unjudged_stacks: usize,
    suppressed: &'a [Suppressed],
}

/// A verdict, with its word first.
#[derive(Serialize)]
struct Said<'a> {
    #[serde(flatten)]
    kind: Kind,
    confidence: f64,
    growth_bytes_per_second: Option<f64>,
    growth_low: Option<f64>,
    growth_high: Option<f64>,
    seconds_to_limit: Option<f64>,
    explanation: String,
    reasons: &'a [Reason],
}

#[derive(Serialize)]
struct Suspect<'a> {
    #[serde(flatten)]
    said: Said<'a>,
    bytes: u64,
    blocks: u64,
    ages: Option<Ages>,
    frames: Vec<Called<'a>>,
}

#[derive(Serialize)]
struct Called<'a> {
    function: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
    module: Option<&'a str>,
    inlined: bool,
}

/// Writes the conclusion as an object, with the `top` suspects of each process.
pub fn write_json(out: &mut dyn io::Write, profile: &Profile, top: usize, zone: &TimeZone) -> io::Result<()> {
    let sentence = |judged: &Judged| {
        let of = profile.processes.iter().find(|process| process.verdict.as_ref() == Some(judged));
        of.map_or_else(
            || verdicts::of_all(profile, judged, zone),
            |process| verdicts::of_process(profile, process, judged, zone),
        )
    };
    let overall = overall(profile);
    let unseen = unseen();
    let conclusion = Conclusion {
        r#type: "conclusion",
        seconds: profile.seconds,
        said: overall.map_or_else(
            || said(&unseen, "Nothing was seen of any process.".to_owned()),
            |judged| said(&judged.verdict, sentence(judged)),
        ),
        limit: overall.and_then(|judged| judged.limit),
        lost_events: profile.unknown.lost.sum(),
        processes: profile.processes.iter().map(|process| of_process(profile, process, (top, zone), &unseen)).collect(),
    };
    write_line(out, &conclusion)
}

/// The verdict on what was over before it was looked at.
fn unseen() -> Verdict {
    Verdict {
        kind: Kind::TooEarly { watch_longer: 30.0 },
        confidence: 0.0,
        growth: None,
        seconds_to_limit: None,
        reasons: vec![Reason::FewSamples { samples: 0 }],
    }
}

fn of_process<'a>(
    profile: &Profile,
    process: &'a Process,
    (top, zone): (usize, &TimeZone),
    unseen: &'a Verdict,
) -> OfProcess<'a> {
    let judged = process.verdict.as_ref();
    let held = process.sums.outstanding.outstanding;
    let suspect = |(stack, verdict): &(&'a Stack, &'a Verdict)| Suspect {
        said: said(verdict, verdicts::of_stack(profile, stack, verdict, zone)),
        bytes: stack.shown.bytes,
        blocks: stack.shown.blocks,
        ages: stack.ages,
        frames: called(stack),
    };
    OfProcess {
        pid: process.pid,
        generation: process.generation,
        name: &process.name,
        ended: process.end,
        outstanding_bytes: held.bytes,
        outstanding_blocks: held.blocks,
        peak_bytes: process.sums.outstanding.peak.bytes,
        said: judged.map_or_else(
            || said(unseen, format!("{} was over before it was looked at.", title(process))),
            |judged| said(&judged.verdict, verdicts::of_process(profile, process, judged, zone)),
        ),
        limit: judged.and_then(|judged| judged.limit),
        suspects: verdicts::suspects(process).iter().take(top).map(suspect).collect(),
        undecided_stacks: judged.map_or(0, |judged| judged.undecided_stacks),
        unjudged_stacks: judged.map_or(0, |judged| judged.unjudged_stacks),
        suppressed: judged.map_or(&[], |judged| &judged.suppressed),
    }
}

fn said(verdict: &Verdict, explanation: String) -> Said<'_> {
    let Verdict { growth, .. } = verdict;
    Said {
        kind: verdict.kind,
        confidence: verdict.confidence,
        growth_bytes_per_second: verdict.bytes_per_second(),
        growth_low: growth.map(|growth| growth.low),
        growth_high: growth.map(|growth| growth.high),
        seconds_to_limit: verdict.seconds_to_limit,
        explanation,
        reasons: &verdict.reasons,
    }
}

/// The calls of a stack, innermost first: those that were inlined, too.
fn called(stack: &Stack) -> Vec<Called<'_>> {
    let mut all = Vec::new();
    for frame in &stack.frames {
        let module = frame.module.as_deref();
        for inlined in &frame.inlined {
            let source = inlined.source.as_ref();
            let (file, line) = (source.map(|(path, _)| &**path), source.map(|(_, line)| *line));
            all.push(Called { function: Some(&inlined.function), file, line, module, inlined: true });
        }
        let place = frame.place.as_ref().ok();
        let source = place.and_then(|place| place.source.as_ref());
        let (file, line) = (source.map(|(path, _)| &**path), source.map(|(_, line)| *line));
        all.push(Called { function: place.map(|place| &*place.function), file, line, module, inlined: false });
    }
    all
}

/// The verdict on the whole watch in a word; `too_early` when nothing was seen.
#[must_use]
pub fn word(profile: &Profile) -> &'static str {
    overall(profile).map_or("too_early", |judged| judged.verdict.kind.word())
}
