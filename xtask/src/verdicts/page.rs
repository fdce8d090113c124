//! The tables of what was measured.

use heaptide_tests::kinds::{KINDS, Kind, Label, Nature, Word};
use heaptide_tests::verdicts::{self, Outcome, SECONDS};

use crate::bench::machine::Machine;

/// What was measured, and where.
pub(crate) struct Measured {
    pub(crate) machine: Machine,
    pub(crate) outcomes: Vec<Outcome>,
}

const BEGIN: &str = "# Verdicts on real programs, measured

```console
$ sudo -E cargo xtask verdicts                                   # twenty seeds: about eleven minutes; writes this page
$ sudo -E cargo xtask verdicts --seeds 5 --kind slow-leak        # one kind; may be repeated
```

Programs of known kinds (`tests/workloads/grows*`), time compressed to half a minute: real requests with sizes and lives by
chance, real allocators, threads, processes and mappings. One of each kind runs by each seed, all at once, watched by one
`heaptide watch` with a sample every 200 ms for 28 s. The simulated corpus that thresholds were chosen by is another one:
see [verdicts](verdicts.md). Thresholds were not chosen by these programs, but for one rule: that a
rise must go beyond where the curve was before came from a cache (expiry-cache, seed 1) that was called growing. So the seeds
here begin at 21: those before were looked at while rules were made.

*Wrong* is growth that is called harmless, or something harmless that is called growing; then, or when another
function than the one that leaks is called so first, or when less than 95 % of the verdicts are right, or of the leaks found where they are, the exit code is 1. Runs that
are neither right nor wrong are called too early, or something harmless is called something else that is harmless. Where a
process grows by steps, it can be too early to say so of the stack itself: then the one that grows fastest is named.
";

impl Measured {
    /// Of the leaks that were called growing, the share whose function is in the first suspect's stack; 1 of none.
    #[expect(clippy::cast_precision_loss, reason = "counts of some hundred")]
    pub(super) fn found(&self) -> f64 {
        let sites: Vec<bool> = self.outcomes.iter().filter_map(Outcome::is_site_found).collect();
        if sites.is_empty() {
            return 1.0;
        }
        sites.iter().filter(|found| **found).count() as f64 / sites.len() as f64
    }

    /// The page.
    pub(crate) fn page(&self) -> String {
        format!("{BEGIN}\n## Measured\n\n{}\n", self.table())
    }

    /// Its tables.
    pub(crate) fn table(&self) -> String {
        let counted = self.outcomes.iter().filter(|outcome| outcome.label.is_counted).count();
        let wrong = self.outcomes.iter().filter(|outcome| outcome.is_wrong()).count();
        let sites: Vec<bool> = self.outcomes.iter().filter_map(Outcome::is_site_found).collect();
        let found = sites.iter().filter(|found| **found).count();
        [
            format!("{}.\n", self.machine.line()),
            format!("- {counted} verdicts, {:.1} % right, {wrong} wrong.", 100.0 * verdicts::right(&self.outcomes)),
            format!(
                "- {} leaks called growing; the function that leaks is in the first suspect's stack of {found}.",
                sites.len()
            ),
            format!("- {}\n", self.rates()),
            head(),
            self.rows(),
        ]
        .join("\n")
    }

    /// Each outcome that must not be, in a line.
    pub(crate) fn faults(&self) -> Vec<String> {
        let fault = |outcome: &Outcome| outcome.fault().map(|fault| format!("{fault}: {}", outcome.line()));
        self.outcomes.iter().filter_map(fault).collect()
    }

    fn rows(&self) -> String {
        let labels =
            |kind: &'static Kind| std::iter::once(&kind.main).chain(kind.forks).map(move |label| (kind, label));
        let rows = KINDS.iter().flat_map(labels).filter_map(|(kind, label)| self.row(kind, label));
        rows.collect::<Vec<_>>().join("\n")
    }

    fn row(&self, kind: &Kind, label: &Label) -> Option<String> {
        let same = |outcome: &&Outcome| outcome.kind.name == kind.name && outcome.label.role == label.role;
        let outcomes: Vec<&Outcome> = self.outcomes.iter().filter(same).collect();
        let first = outcomes.first()?;
        let is_main = first.label.role == kind.main.role;
        let (name, what) = if is_main { (kind.name, kind.what) } else { ("", label.role) };
        let right = label.right.iter().map(|word| word.name()).collect::<Vec<_>>().join(", ");
        let count = |word: Option<Word>| match outcomes.iter().filter(|outcome| outcome.word() == word).count() {
            0 => String::new(),
            count if word.is_some_and(|word| label.is_wrong(word)) => format!("**{count}**"),
            count => count.to_string(),
        };
        let counts = Word::ALL.map(|word| count(Some(word))).join(" | ");
        Some(format!("| {name} | {what} | {right} | {counts} | {} |", count(None)))
    }

    /// How far the rates of leaks are from what the programs say themselves.
    fn rates(&self) -> String {
        let mut off: Vec<f64> = self.outcomes.iter().filter_map(off).collect();
        off.sort_by(f64::total_cmp);
        let (Some(half), Some(most)) = (off.get(off.len() / 2), off.get(off.len() * 9 / 10)) else {
            return "No rates of leaks were told.".to_owned();
        };
        format!(
            "Rates of leaks that grow all the time are off by {:.0} % or less for half of them, {:.0} % or less for nine in ten.",
            100.0 * half,
            100.0 * most
        )
    }
}

/// By what share of the true rate the verdict's rate is off. Only where the true one is the same all the time.
#[expect(clippy::cast_precision_loss, reason = "a leak is far below 2^52 bytes")]
fn off(outcome: &Outcome) -> Option<f64> {
    const UNEVEN: [&str; 3] = ["late-leak", "unbounded-vector", "log-buffer"];
    let leaks = outcome.label.nature == Nature::Leaks && !UNEVEN.contains(&outcome.kind.name);
    let judged = outcome.judged.as_ref().filter(|judged| leaks && judged.verdict == Word::Growing)?;
    let truth = outcome.leaked.as_ref()?.bytes as f64 / f64::from(SECONDS);
    (truth > 0.0).then_some((judged.growth_bytes_per_second? / truth - 1.0).abs())
}

fn head() -> String {
    let words = Word::ALL.map(Word::name).join(" | ");
    format!("| kind | what it does | right | {words} | none |\n|---|---|---|{}", "---:|".repeat(Word::ALL.len() + 1))
}

#[cfg(test)]
mod tests {
    use heaptide_tests::verdicts::Leaked;

    use super::*;

    fn outcome(name: &str, verdict: Option<&str>, rate: f64, bytes: u64) -> Outcome {
        let kind = KINDS.iter().find(|kind| kind.name == name).unwrap();
        let judged = verdict.map(|verdict| {
            let text = format!(
                r#"{{"pid":1,"verdict":"{verdict}","confidence":0.9,"growth_bytes_per_second":{rate},"explanation":"so"}}"#
            );
            serde_json::from_str(&text).unwrap()
        });
        Outcome { kind, label: &kind.main, seed: 3, judged, leaked: Some(Leaked { site: "x".to_owned(), bytes }) }
    }

    fn measured(outcomes: Vec<Outcome>) -> Measured {
        Measured { machine: Machine::look().unwrap(), outcomes }
    }

    #[test]
    fn a_wrong_verdict_and_a_missing_one_stand_out() {
        let measured = measured(vec![
            outcome("steady", Some("steady"), 0.0, 0),
            outcome("steady", Some("growing"), 0.0, 0),
            outcome("steady", None, 0.0, 0),
        ]);
        let table = measured.table();
        assert!(
            table.contains("| steady | requests come and go | steady | **1** |  | 1 |  |  |  |  |  | 1 |"),
            "{table}"
        );
        assert!(table.contains("3 verdicts, 33.3 % right, 1 wrong"), "{table}");
        assert_eq!(measured.faults().len(), 2);
    }

    #[test]
    fn rates_are_compared_with_the_truth() {
        let measured = measured(vec![outcome("linear-leak", Some("growing"), 110.0, 3000)]);
        assert!(measured.table().contains("off by 10 % or less for half"), "{}", measured.table());
        // It has no suspect: nobody is accused, and the leak is not found where it is.
        assert_eq!((measured.faults().len(), measured.found()), (0, 0.0));
    }
}
