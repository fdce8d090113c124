//! What a profile says of growth, in sentences.

use std::cmp::Reverse;

use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::{
    culprit::culprit,
    explain::{Circumstances, Subject, explain},
    page::Page,
    words::{count, duration, human},
};
use crate::{
    profile::{Ages, Judged, MemoryLimit, Process, Profile, Stack, Usage},
    verdict::{Kind, Reason, Verdict},
};

/// The stacks of a process that are leak suspects, those that grow fastest and surest first; not those that are suppressed.
/// Where the process grows and it is too early to say of every stack, the one that grows fastest is named all the same.
#[must_use]
pub(super) fn suspects(process: &Process) -> Vec<(&Stack, &Verdict)> {
    let held = process.stacks.iter().filter(|stack| stack.suppressed.is_none() && stack.shown.bytes > 0);
    let judged: Vec<(&Stack, &Verdict)> = held.filter_map(|stack| Some((stack, stack.verdict.as_ref()?))).collect();
    let mut suspects: Vec<_> = judged.iter().copied().filter(|(_, verdict)| verdict.kind == Kind::Growing).collect();
    suspects.sort_by(|(_, one), (_, other)| weight(other).total_cmp(&weight(one)));
    let is_growing = process.verdict.as_ref().is_some_and(|judged| judged.verdict.kind == Kind::Growing);
    if suspects.is_empty() && is_growing {
        let rises =
            |(_, verdict): &(&Stack, &Verdict)| matches!(verdict.kind, Kind::TooEarly { .. }) && weight(verdict) > 0.0;
        let fastest = judged.into_iter().filter(rises);
        suspects.extend(fastest.max_by(|(_, one), (_, other)| weight(one).total_cmp(&weight(other))));
    }
    suspects
}

fn weight(verdict: &Verdict) -> f64 {
    verdict.bytes_per_second().unwrap_or(0.0) * verdict.confidence
}

/// The verdict on a process in a sentence.
#[must_use]
pub(super) fn of_process(profile: &Profile, process: &Process, judged: &Judged, zone: &TimeZone) -> String {
    let sums = &process.sums;
    let held = if process.growth.is_some() { sums.touched.resident.outstanding } else { sums.outstanding.outstanding };
    let subject = Subject::Process(&process.name, process.pid);
    sentence(profile, &judged.verdict, &About { subject, held, ages: None, limit: judged.limit }, zone)
}

/// The verdict on all processes together.
#[must_use]
pub(super) fn of_all(profile: &Profile, judged: &Judged, zone: &TimeZone) -> String {
    let living = profile.processes.iter().filter(|process| process.end.is_none());
    let held =
        living.map(|process| process.sums.outstanding.outstanding).fold(Usage::default(), |sum, held| sum + held);
    sentence(profile, &judged.verdict, &About { subject: Subject::All, held, ages: None, limit: judged.limit }, zone)
}

/// The verdict on a stack.
#[must_use]
pub(super) fn of_stack(profile: &Profile, stack: &Stack, verdict: &Verdict, zone: &TimeZone) -> String {
    let subject = culprit(&stack.frames).map_or(Subject::NoStack, Subject::Stack);
    let about = About { subject, held: stack.shown, ages: stack.ages.as_ref(), limit: None };
    sentence(profile, verdict, &about, zone)
}

/// What a sentence is about.
struct About<'a> {
    subject: Subject<'a>,
    held: Usage,
    ages: Option<&'a Ages>,
    limit: Option<MemoryLimit>,
}

fn sentence(profile: &Profile, verdict: &Verdict, about: &About<'_>, zone: &TimeZone) -> String {
    let phase = verdict.reasons.iter().find_map(|reason| match reason {
        Reason::PhaseEnded { seconds } => Some(*seconds),
        _ => None,
    });
    let since = time_of_day(profile.began_unix_seconds + phase.unwrap_or(0.0), zone);
    let About { subject, held, ages, limit } = *about;
    explain(verdict, &Circumstances { subject, held, watched: profile.seconds, since: &since, ages, limit })
}

/// `10:42:07`.
fn time_of_day(unix_seconds: f64, zone: &TimeZone) -> String {
    let at = Timestamp::from_nanosecond((unix_seconds * 1e9) as i128).unwrap_or_default();
    Zoned::new(at, zone.clone()).strftime("%H:%M:%S").to_string()
}

/// Whether there is more to say than that there was too little time: a recording of a few seconds is no watch.
pub(super) fn is_worth_a_line(judged: &Judged) -> bool {
    !matches!(judged.verdict.reasons.first(), Some(Reason::FewSamples { .. }))
}

/// Writes the verdict on a process, and its suspects in a sentence each.
pub(super) fn write(
    page: &mut Page<'_>,
    profile: &Profile,
    process: &Process,
    (top, zone): (usize, &TimeZone),
) -> std::io::Result<()> {
    let Some(judged) = process.verdict.as_ref().filter(|judged| is_worth_a_line(judged)) else { return Ok(()) };
    page.blank()?;
    page.line(format_args!("Verdict: {}", of_process(profile, process, judged, zone)))?;
    let suspects = suspects(process);
    for (stack, verdict) in suspects.iter().take(top) {
        page.line(format_args!("  {}", of_stack(profile, stack, verdict, zone)))?;
    }
    write_rest(page, judged, suspects.len().saturating_sub(top))
}

/// What else is known of stacks that grow.
pub(super) fn write_rest(page: &mut Page<'_>, judged: &Judged, more: usize) -> std::io::Result<()> {
    if more > 0 {
        page.line(format_args!("  {} not shown (--top shows more).", count(more as u64, "more leak suspect")))?;
    }
    if judged.undecided_stacks > 0 {
        let stacks = count(judged.undecided_stacks as u64, "stack");
        page.line(format_args!("  {stacks} may be growing; it is too early to say of them."))?;
    }
    if judged.unjudged_stacks > 0 {
        let stacks = count(judged.unjudged_stacks as u64, "stack");
        page.line(format_args!("  {stacks} more may be growing, by less than those."))?;
    }
    for suppressed in &judged.suppressed {
        let (stacks, held) = (count(suppressed.stacks, "growing stack"), human(suppressed.held.bytes));
        page.line(format_args!("  {stacks} with {held} suppressed by leak:{}.", suppressed.pattern))?;
    }
    Ok(())
}

/// Writes what was held at the peak, where that is a good deal more than in the end, by the largest stacks.
pub(super) fn write_peak(page: &mut Page<'_>, process: &Process, top: usize) -> std::io::Result<()> {
    let Some(peak) = process.peak else { return Ok(()) };
    if peak.bytes < process.sums.outstanding.outstanding.bytes.saturating_mul(5) / 4 {
        return Ok(());
    }
    let mut stacks: Vec<&Stack> = process.stacks.iter().filter(|stack| stack.at_peak.bytes > 0).collect();
    stacks.sort_by_key(|stack| Reverse(stack.at_peak.bytes));
    page.blank()?;
    let (bytes, time) = (human(peak.bytes), duration(peak.seconds));
    page.line(format_args!("At the peak, {time} after the begin, {bytes} were outstanding, most of them from:"))?;
    for stack in stacks.into_iter().filter(|stack| stack.memory.is_outstanding()).take(top) {
        let at = stack.at_peak;
        let place =
            culprit(&stack.frames).map_or_else(|| "a stack that was not taken".to_owned(), super::explain::place);
        page.line(format_args!("  {} in {} at {place}", human(at.bytes), count(at.blocks, "allocation")))?;
    }
    Ok(())
}
