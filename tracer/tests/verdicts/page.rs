//! docs/verdicts.md: words from `page.md`, with tables and pictures made from the corpus.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use heaptide::report::curve::draw;
use heaptide::timeline::Curve;
use heaptide::verdict::judge;

use crate::corpus::{KINDS, Part, Word};
use crate::outcomes::{Outcome, Outcomes, Share, evidence, word};

const WORDS: [(Word, &str); 8] = [
    (Word::Growing, "growing"),
    (Word::LevelingOff, "leveling off"),
    (Word::Steady, "steady"),
    (Word::Sawtooth, "sawtooth"),
    (Word::Shrinking, "shrinking"),
    (Word::Retention, "retention"),
    (Word::NotTheHeap, "not the heap"),
    (Word::TooEarly, "too early"),
];

/// A line for each kind: what is right, and how often each verdict was given at the end and in the middle.
pub fn table(outcomes: &Outcomes) -> String {
    let mut table = String::from("| program | part | right |");
    for (_, name) in WORDS {
        write!(table, " {name} |").unwrap();
    }
    table.push_str("\n|---|---|---|");
    table.push_str(&"---|".repeat(WORDS.len()));
    for kind in KINDS {
        let right: Vec<&str> =
            WORDS.iter().filter(|(word, _)| kind.right.contains(word)).map(|(_, name)| *name).collect();
        let part = match kind.part {
            Part::Tuned => "tuned",
            Part::Looked => "looked at",
            Part::Unseen => "unseen",
        };
        write!(table, "\n| {} | {part} | {} |", kind.name, right.join(", ")).unwrap();
        for (word, _) in WORDS {
            let of = || outcomes.0.iter().filter(|outcome| outcome.kind.name == kind.name);
            let end = of().filter(|outcome| outcome.end == word).count();
            let middle = of().filter(|outcome| outcome.middle == word).count();
            let cell = if end + middle == 0 { String::new() } else { format!(" {end} ({middle})") };
            write!(table, "{cell} |").unwrap();
        }
    }
    table
}

/// What was reached on each part of the corpus.
pub fn parts(outcomes: &Outcomes) -> String {
    let line = |name: &str, share: Share| {
        let (right, decided) = (100.0 * share.right_at_end(), 100.0 * share.decided_in_middle());
        let [middle, end] = share.wrong;
        format!("\n| {name} | {} | {right:.1} % | {decided:.1} % | {end} ({middle}) |", share.runs)
    };
    let mut table =
        String::from("| runs | number | right at the end | decided in the middle | wrong at the end (in the middle) |");
    table.push_str("\n|---|---|---|---|---|");
    table += &line("tuned kinds, the seeds that thresholds were chosen by", outcomes.share(Outcome::chosen_by));
    let other_seeds = |outcome: &Outcome| outcome.kind.part == Part::Tuned && !outcome.chosen_by();
    table += &line("tuned kinds, other seeds", outcomes.share(other_seeds));
    table += &line("kinds that were looked at", outcomes.share(|outcome| outcome.kind.part == Part::Looked));
    table += &line("kinds that were not seen", outcomes.share(|outcome| outcome.kind.part == Part::Unseen));
    table += &line("all but those that thresholds were chosen by", outcomes.share(|outcome| !outcome.chosen_by()));
    table
}

/// A sentence on how sure verdicts are and how sure they should be.
fn confidence(outcomes: &Outcomes) -> String {
    let decided: Vec<_> = outcomes.0.iter().filter(|outcome| outcome.end != Word::TooEarly).collect();
    let mean = decided.iter().map(|outcome| outcome.confidence).sum::<f64>() / decided.len() as f64;
    let right = decided.iter().filter(|outcome| outcome.right()).count() as f64 / decided.len() as f64;
    format!(
        "{:.1} % of the verdicts that were given at the end were right; their mean confidence was {:.2}.",
        100.0 * right,
        mean
    )
}

/// The first run of a kind that has the verdict that is right.
fn shown(name: &str) -> String {
    let kind = KINDS.iter().find(|kind| kind.name == name).unwrap_or_else(|| panic!("no kind {name}"));
    for seed in 0.. {
        let run = kind.make(seed);
        let evidence = evidence(&run);
        if word(&judge(&evidence)) != kind.right[0] {
            continue;
        }
        let mut shown = format!("```\n{}\n```", drawn(&evidence.heap));
        if kind.right[0] == Word::Retention {
            let resident = evidence.resident.unwrap().resident;
            write!(shown, "\n\nand its resident set:\n\n```\n{}\n```", drawn(&resident)).unwrap();
        }
        if let (Word::NotTheHeap, Some(mappings)) = (kind.right[0], &evidence.mappings) {
            write!(shown, "\n\nand its mappings:\n\n```\n{}\n```", drawn(mappings)).unwrap();
        }
        return shown;
    }
    unreachable!("seeds do not end")
}

/// Compares the page with the file, or accepts.
pub fn check(outcomes: &Outcomes) {
    let mut page = include_str!("page.md").replace("{table}", &table(outcomes)).replace("{parts}", &parts(outcomes));
    page = page.replace("{confidence}", &confidence(outcomes));
    while let Some((before, rest)) = page.split_once("{picture: ") {
        let (name, after) = rest.split_once('}').unwrap();
        page = format!("{before}{}{after}", shown(name));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/verdicts.md");
    if std::env::var_os("HEAPTIDE_BLESS").is_some_and(|bless| bless == "1") {
        fs::write(&path, &page).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_else(|error| panic!("docs/verdicts.md: {error}"));
    assert!(golden == page, "docs/verdicts.md differs; it is now:\n{page}");
}

fn drawn(curve: &Curve) -> String {
    draw(curve, |top| format!("{:.1} MB", top / 1e6)).join("\n")
}
