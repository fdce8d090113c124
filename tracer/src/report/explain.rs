//! A verdict in a sentence, as a colleague would say it.

use super::culprit::named;
use super::page::printable;
use super::stack::unknown;
use super::watch::grouped;
use super::words::{self, count, duration, human};
use crate::numbers::whole;
use crate::profile::{Ages, Frame, MemoryLimit, Usage, Whose};
use crate::verdict::{Elsewhere, Growth, Kind, Reason, Verdict};

/// What a verdict is about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A process: its name and number.
    Process(&'a str, u32),
    /// All processes together.
    All,
    /// Memory that was allocated in a frame.
    Stack(&'a Frame),
    /// Memory whose stack is not known.
    NoStack,
}

/// What is said beside the verdict.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// What it is about.
    pub subject: Subject<'a>,
    /// What it holds.
    pub held: Usage,
    /// How long it was watched, in seconds.
    pub watched: f64,
    /// When the watch began, as the time of day: `10:42:07`.
    pub since: &'a str,
    /// How old what it holds is.
    pub ages: Option<&'a Ages>,
    /// The limit, where there is one.
    pub limit: Option<MemoryLimit>,
}

/// The verdict in one or more sentences, without control characters.
#[must_use]
pub fn explain(verdict: &Verdict, circumstances: &Circumstances<'_>) -> String {
    let Circumstances { held, watched, since, ages, .. } = circumstances;
    let (bytes, blocks) = (human(held.bytes), count_grouped(held.blocks, "block"));
    let subject = format!("{} holds {bytes} in {blocks}", subject(circumstances.subject));
    let grows = verdict.growth.as_ref().map_or_else(|| "grows".to_owned(), |growth| format!("grows {}", rate(growth)));
    let mut text = match verdict.kind {
        Kind::Growing => {
            let old = ages.and_then(old).map(|old| format!(", {old}")).unwrap_or_default();
            format!("{subject} and {grows} since {since}{old}, no sign of leveling off: leak suspect.")
        }
        Kind::LevelingOff { plateau } => {
            format!("{subject} and levels off at about {}: bloat or a cache, no leak.", human(whole(plateau)))
        }
        Kind::Steady => format!("{subject} and does not grow{}.", at_most(verdict, *watched)),
        Kind::Sawtooth => {
            format!("{subject}; it comes and goes{}, and its low points do not grow.", period(verdict))
        }
        Kind::Shrinking => format!("{subject} and gets less since {since}."),
        Kind::Retention { bytes } => format!(
            "{subject} and does not grow, but its allocator keeps {} that the program has freed: malloc_trim(0), \
             MALLOC_ARENA_MAX=2 or another allocator may give it back.",
            human(bytes)
        ),
        Kind::NotTheHeap { what } => {
            format!("{subject}, which does not grow; {} {grows} since {since}.", elsewhere(what))
        }
        Kind::TooEarly { watch_longer } => {
            format!("{subject}; it is too early to say{}: watch for {} more.", why(verdict), about(watch_longer))
        }
    };
    if let (Some(limit), Some(seconds)) = (circumstances.limit, verdict.seconds_to_limit) {
        text += match limit.whose {
            Whose::ControlGroup => " The limit of ",
            Whose::Machine => " The machine's memory of ",
        };
        text += &limit_words(limit.bytes);
        text += " is reached in about ";
        text += &about(seconds);
        text.push('.');
    }
    // That the watch was short is said of the process, and once.
    let is_stack = matches!(circumstances.subject, Subject::Stack(_) | Subject::NoStack);
    for reason in &verdict.reasons {
        if !(is_stack && matches!(reason, Reason::ShortWatch { .. })) {
            text += &doubt(reason).unwrap_or_default();
        }
    }
    text
}

/// ``worker.c:88 `cache_put` ``, as far as that is known.
fn subject(subject: Subject<'_>) -> String {
    let words = match subject {
        Subject::Process(name, pid) => format!("{name} (pid {pid})"),
        Subject::All => "what is traced".to_owned(),
        Subject::Stack(frame) => place(frame),
        Subject::NoStack => "memory whose stack was not taken".to_owned(),
    };
    words.chars().map(printable).collect()
}

/// ``worker.c:88 `cache_put` ``, as far as that is known.
pub(super) fn place(frame: &Frame) -> String {
    match named(frame) {
        Some((function, Some((path, line)))) => {
            format!("{}:{line} `{function}`", path.rsplit('/').next().unwrap_or(path))
        }
        Some((function, None)) => format!("`{function}`"),
        None => unknown(frame),
    }
}

/// `1.1 MiB a minute`.
fn rate(growth: &Growth) -> String {
    let (size, time) = words::rate(growth.bytes_per_second);
    format!("{size} {}", time.words())
}

/// `97 % of it older than 5 minutes`: by the highest bound that most of it has passed.
fn old(ages: &Ages) -> Option<String> {
    let words = ["5 seconds", "1 minute", "5 minutes", "1 hour"];
    let known = Ages::BOUNDS.iter().zip(words).filter_map(|(bound, words)| Some((ages.older(*bound)?, words)));
    let (share, words) = known.rev().find(|(share, _)| *share >= 0.5)?;
    Some(format!("{:.0} % of it older than {words}", (share * 100.0).floor()))
}

fn at_most(verdict: &Verdict, watched: f64) -> String {
    let bound = verdict.reasons.iter().find_map(|reason| match reason {
        Reason::NoTrend { at_most } if *at_most >= 1.0 => Some(*at_most),
        _ => None,
    });
    let words = |bound| format!(", by {} in {} at most", human(whole(bound)), about(watched));
    bound.map(words).unwrap_or_default()
}

fn period(verdict: &Verdict) -> String {
    let period = verdict.reasons.iter().find_map(|reason| match reason {
        Reason::Cycles { period, .. } => Some(*period),
        _ => None,
    });
    period.map(|period| format!(" every {}", about(period))).unwrap_or_default()
}

/// Why nothing can be said yet.
fn why(verdict: &Verdict) -> String {
    let words = match verdict.reasons.first() {
        Some(Reason::FewSamples { samples }) => format!("after {}", count_grouped(*samples as u64, "sample")),
        Some(Reason::Uncertain { at_most }) if *at_most < 1.0 => "since nothing has changed so far".to_owned(),
        Some(Reason::Uncertain { at_most }) => {
            format!("since it may have grown by up to {} amid its noise", human(whole(*at_most)))
        }
        Some(Reason::BendUnknown { .. }) => "whether its growth slows down".to_owned(),
        Some(Reason::JustRose) => "since it rose just now".to_owned(),
        Some(Reason::CameBack) => "since it has only come back to where it was".to_owned(),
        Some(Reason::JustSlowed) => "since its growth slowed just now".to_owned(),
        Some(Reason::Young) => "since nearly all of it is young".to_owned(),
        Some(Reason::Replaces { .. }) => {
            "since it releases as many blocks that are older than the trace as it grows by".to_owned()
        }
        Some(Reason::Beside { what }) => format!("whether {} will go on growing", elsewhere(*what)),
        _ => return String::new(),
    };
    format!(" {words}")
}

/// What makes a verdict less sure.
fn doubt(reason: &Reason) -> Option<String> {
    match reason {
        Reason::Lost { share } => {
            Some(format!(" {:.1} % of the events were lost, so this is less sure.", 100.0 * share))
        }
        Reason::Replaces { share } if *share < 0.5 => {
            Some(format!(" {:.0} % of the growth only takes the place of blocks older than the trace.", 100.0 * share))
        }
        Reason::ShortWatch { seconds } => Some(format!(
            " It was watched for {} only: a cache that fills can look like this at first.",
            about(*seconds)
        )),
        Reason::ByResidentSet => {
            Some(" It was judged by its resident memory: what is outstanding is not known exactly.".to_owned())
        }
        Reason::Gaps { count: gaps } => {
            Some(format!(" Nothing is known of {}.", count(*gaps as u64, "stretch of time")))
        }
        _ => None,
    }
}

const fn elsewhere(what: Elsewhere) -> &'static str {
    match what {
        Elsewhere::AnonymousMappings => "memory that it maps itself",
        Elsewhere::MappedFiles => "what it maps of files",
        Elsewhere::ThreadStacks => "memory for its threads' stacks",
    }
}

/// A length of time as coarse as it is sure: whole minutes, tens of them from an hour on, days from two of them on.
pub(super) fn about(seconds: f64) -> String {
    const DAY: f64 = 86_400.0;
    if seconds.is_finite() && seconds >= 2.0 * DAY {
        let days = (seconds / DAY).round();
        return if days < 730.0 { format!("{days:.0} days") } else { format!("{:.0} years", days / 365.0) };
    }
    let round = |to: f64| (seconds / to).round() * to;
    duration(match seconds {
        _ if !seconds.is_finite() => 0.0,
        _ if seconds < 100.0 => seconds.ceil(),
        _ if seconds < 3600.0 => round(10.0),
        _ => round(600.0),
    })
    .replace(" 0 s", "")
    .replace(" 0 min", "")
}

/// Limits are mostly round: `512 MiB` and not `512.0 MiB`.
fn limit_words(limit: u64) -> String {
    human(limit).replace(".0 ", " ")
}

/// `61,203 blocks`.
fn count_grouped(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
