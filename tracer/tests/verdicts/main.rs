//! Verdicts on the labelled corpus, and the page about them: docs/verdicts.md.
//!
//! `HEAPTIDE_BLESS=1 cargo test -p heaptide --test verdicts` writes the page anew; read the difference first. What must
//! hold is checked in any case.

#![expect(clippy::unwrap_used, clippy::panic, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "a test")]

mod corpus;
mod outcomes;
mod page;

use corpus::{Part, Word};
use outcomes::Outcomes;

/// Of the verdicts at the end so many must be right: by the issue that asked for them.
const RIGHT: f64 = 0.95;

/// And of those in the middle so many must not be "too early".
const DECIDED: f64 = 0.5;

/// Kinds that do not reach that by themselves, with what they do reach. The page says why.
const SHORT: &[(&str, f64)] = &[
    ("leak in bursts", 0.92),
    ("leak beneath a daily cycle", 0.94),
    ("leak in the busy half of each day", 0.94),
    ("LRU cache filling to its bound", 0.92),
    ("cache with expiry", 0.92),
    ("steady churn under a wandering load", 0.92),
    ("daily-like cycle", 0.84),
    ("restart of workers", 0.92),
    ("results that are remembered, of a finite number", 0.94),
    ("jobs that come and go", 0.54),
];

/// Kinds of which one run is called wrong in its middle: a leak, of which so little is to be seen by then that it is taken for
/// the end of what was before it.
const WRONG_IN_MIDDLE: &[&str] = &[
    "start-up growth, then a leak",
    "leak that begins when the load rises",
    "leak beside a cache that fills",
    "leak in storms of errors",
];

#[test]
fn verdicts_are_what_they_should_be() {
    let outcomes = Outcomes::of_corpus();
    println!("{}\n\n{}", page::table(&outcomes), page::parts(&outcomes));
    let mut missed = Vec::new();
    for kind in corpus::KINDS {
        let share = outcomes.share(|outcome| outcome.kind.name == kind.name);
        let allowed = usize::from(WRONG_IN_MIDDLE.contains(&kind.name));
        if share.wrong[0] > allowed || share.wrong[1] > 0 {
            missed.push(format!("{}: {:?} wrong", kind.name, share.wrong));
        }
        let bound = SHORT.iter().find(|(name, _)| *name == kind.name).map_or(RIGHT, |(_, bound)| *bound);
        if share.right_at_end() < bound {
            missed.push(format!("{}: {:.3} right at the end, not {bound}", kind.name, share.right_at_end()));
        }
    }
    let unseen = outcomes.share(|outcome| !outcome.chosen_by());
    let all = outcomes.share(|_| true);
    for (name, share) in [("unseen", unseen), ("all", all)] {
        if share.right_at_end() < RIGHT || share.decided_in_middle() < DECIDED {
            missed.push(format!("{name}: {:.3} right, {:.3} decided", share.right_at_end(), share.decided_in_middle()));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
    page::check(&outcomes);
}

#[test]
fn the_corpus_has_as_many_kinds_on_either_side_and_each_sort_on_both() {
    let tuned = corpus::KINDS.iter().filter(|kind| kind.part == Part::Tuned).count();
    assert_eq!(2 * tuned, corpus::KINDS.len());
    for word in [Word::Growing, Word::LevelingOff, Word::Steady, Word::Sawtooth, Word::Retention, Word::NotTheHeap] {
        for side in [true, false] {
            assert!(
                corpus::KINDS.iter().any(|kind| (kind.part == Part::Tuned) == side && kind.right.contains(&word)),
                "{word:?} {side}"
            );
        }
    }
}
