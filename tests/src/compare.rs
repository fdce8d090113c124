//! Whether what heaptide says is what the workload knows: every number that differs, in one table.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Result, bail};

use crate::profile::{Process, Profile, Totals};
use crate::truth::{Account, NUMBERS};

/// The kinds of memory that a program allocates itself. (The allocator's own growth is the allocator's affair.)
const KINDS: [&str; 4] = ["heap", "anonymous", "file", "thread_stack"];

/// What must be zero for a report to be exact.
const NOTHING_MISSING: [(&str, &[&str]); 3] = [
    ("lost", &["allocations", "releases", "resizes", "mappings", "processes", "calls"]),
    ("refused", &["by_size", "live_blocks"]),
    ("unmatched", &["replaced_blocks", "results", "processes", "undecodable"]),
];

#[derive(Debug)]
struct Difference {
    process: String,
    site: String,
    memory: String,
    number: String,
    expected: String,
    reported: String,
}

/// Fails with a table of every number of `profile` that is not what `accounts` say, and of everything that the profile
/// itself says is missing.
pub fn same(workload: &str, accounts: &[Account], profile: &Profile) -> Result<()> {
    let mut differences = missing(profile);
    for account in accounts {
        match profile.process(account.pid, account.generation) {
            Some(process) => {
                differences.extend(of_account(account, process));
                differences.extend(of_sums(account, process));
            }
            None => differences.push(Difference {
                process: account.to_string(),
                site: String::new(),
                memory: String::new(),
                number: "process".to_owned(),
                expected: "reported".to_owned(),
                reported: "missing".to_owned(),
            }),
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    bail!("{workload}: {} differences\n{}", differences.len(), table(&differences));
}

fn of_account(account: &Account, process: &Process) -> Vec<Difference> {
    let sites: Vec<&str> = account.sites.iter().map(|site| site.function.as_str()).collect();
    let reported = process.by_site(&sites);
    let known: BTreeMap<(&str, &str), _> =
        account.sites.iter().map(|site| ((site.function.as_str(), site.memory.as_str()), site.numbers)).collect();
    let mut differences = Vec::new();
    for site in &sites {
        for memory in KINDS {
            let expected = match known.get(&(*site, memory)) {
                Some(numbers) => *numbers,
                // Memory of another kind outside of all sites: the C library's.
                None if *site == "*" => continue,
                None => [Some(0); 6],
            };
            let reported = reported.get(&((*site).to_owned(), memory.to_owned())).copied().unwrap_or_default();
            differences.extend(of_site(account, site, memory, expected, &reported));
        }
    }
    differences
}

fn of_site(
    account: &Account,
    site: &str,
    memory: &str,
    expected: [Option<u64>; 6],
    reported: &Totals,
) -> Vec<Difference> {
    let pairs = NUMBERS.iter().zip(expected).zip(reported.numbers());
    let differing = pairs.filter_map(|((name, expected), reported)| match expected {
        Some(expected) if expected != reported => Some(Difference {
            process: account.to_string(),
            site: site.to_owned(),
            memory: memory.to_owned(),
            number: (*name).to_owned(),
            expected: expected.to_string(),
            reported: reported.to_string(),
        }),
        _ => None,
    });
    differing.collect()
}

/// The process's own sums must be those of its stacks.
fn of_sums(account: &Account, process: &Process) -> Vec<Difference> {
    let mut sums: BTreeMap<&str, Totals> = BTreeMap::new();
    for stack in &process.stacks {
        *sums.entry(&stack.memory).or_default() += stack.totals;
    }
    let of_kind = |memory| {
        let of_stacks = sums.get(memory).copied().unwrap_or_default();
        let of_process = process.sums.get(memory).copied().unwrap_or_default();
        of_site(account, "(sums of all stacks)", memory, of_stacks.numbers().map(Some), &of_process)
    };
    KINDS.into_iter().flat_map(of_kind).collect()
}

fn missing(profile: &Profile) -> Vec<Difference> {
    let all = NOTHING_MISSING.iter().flat_map(|(group, names)| names.iter().map(move |name| (*group, *name)));
    let nonzero = all.filter_map(|(group, name)| {
        let reported = profile.unknown.get(group).and_then(|group| group.get(name));
        (reported != Some(&0)).then(|| Difference {
            process: String::new(),
            site: String::new(),
            memory: "unknown".to_owned(),
            number: format!("{group}.{name}"),
            expected: "0".to_owned(),
            reported: reported.map_or_else(|| "no such field".to_owned(), u64::to_string),
        })
    });
    nonzero.collect()
}

fn table(differences: &[Difference]) -> String {
    let heading = ["process", "site", "memory", "number", "expected", "reported"].map(str::to_owned);
    let mut rows = vec![heading];
    for row in differences {
        let Difference { process, site, memory, number, expected, reported } = row;
        rows.push([process, site, memory, number, expected, reported].map(Clone::clone));
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(text, "{cell:<width$}  ");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth;

    const EXACT: &str = r#"
        "unknown": {
            "lost": {"allocations": 0, "releases": 0, "resizes": 0, "mappings": 0, "processes": 0, "calls": 0},
            "refused": {"by_size": 0, "live_blocks": 0},
            "unmatched": {"replaced_blocks": 0, "results": 0, "processes": 0, "undecodable": 0}
        }"#;

    const TOTALS: &str = r#"{
        "inherited": {"bytes": 0, "blocks": 0}, "allocated": {"bytes": 30, "blocks": 3},
        "freed": {"bytes": 10, "blocks": 1}, "outstanding": {"bytes": 20, "blocks": 2}}"#;

    const FRAME: &str = r#"{
        "address": 1, "module": "a", "module_address": 1, "place": {"named": {"function": "kept"}}}"#;

    fn profile(memory: &str, unknown: &str) -> Profile {
        let stack = format!(r#"{{"memory": "{memory}", "totals": {TOTALS}, "truncated": false, "frames": [{FRAME}]}}"#);
        let sums = format!(r#"{{"{memory}": {TOTALS}}}"#);
        let process = format!(
            r#"{{"pid": 7, "generation": 0, "forked_from": null, "end": null, "sums": {sums}, "stacks": [{stack}]}}"#
        );
        serde_json::from_str(&format!(r#"{{"schema": 1, "processes": [{process}], {unknown}}}"#)).unwrap()
    }

    fn difference(profile: &Profile, truth: &str) -> String {
        let accounts = truth::parse(["process 7 0", truth]).unwrap();
        same("test", &accounts, profile).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn equal_numbers_are_no_difference() {
        assert_eq!(difference(&profile("heap", EXACT), "truth kept heap 30 3 10 1 20 2"), "");
    }

    #[test]
    fn an_undefined_number_is_not_compared() {
        assert_eq!(difference(&profile("heap", EXACT), "truth kept heap 30 - 10 - 20 2"), "");
    }

    #[test]
    fn one_byte_too_many_is_a_line_in_the_table() {
        let text = difference(&profile("heap", EXACT), "truth kept heap 30 3 10 1 19 2");
        assert!(text.contains("test: 1 differences"), "{text}");
        assert!(text.contains("7/0      kept  heap    outstanding bytes  19        20"), "{text}");
    }

    #[test]
    fn memory_of_another_kind_at_a_site_is_a_difference() {
        let text = difference(&profile("anonymous", EXACT), "truth kept heap 30 3 10 1 20 2");
        assert!(text.contains("test: 12 differences"), "{text}");
    }

    #[test]
    fn a_site_that_was_not_reported_is_a_difference() {
        let text = difference(&profile("heap", EXACT), "truth other heap 1 1 0 0 1 1");
        assert!(text.contains("other"), "{text}");
    }

    #[test]
    fn a_lost_event_is_a_difference() {
        let lossy = EXACT.replace(r#""releases": 0"#, r#""releases": 4"#);
        let text = difference(&profile("heap", &lossy), "truth kept heap 30 3 10 1 20 2");
        assert!(text.contains("lost.releases"), "{text}");
    }

    #[test]
    fn a_process_that_is_not_reported_is_a_difference() {
        let accounts = truth::parse(["process 8 0", "truth kept heap 30 3 10 1 20 2"]).unwrap();
        let text = same("test", &accounts, &profile("heap", EXACT)).unwrap_err().to_string();
        assert!(text.contains("missing"), "{text}");
    }
}
