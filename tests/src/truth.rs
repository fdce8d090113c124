//! What a workload says of its own memory.
//!
//! ```text
//! process PID GENERATION
//! truth SITE MEMORY allocated_bytes allocated_blocks freed_bytes freed_blocks outstanding_bytes outstanding_blocks
//! ```
//!
//! A number that is not defined (blocks of a mapping that was cut) is `-`. A workload of two processes puts a role
//! (`child`, `parent`) before every line. The site `*` stands for all memory of a kind that no other site is in.

use std::fmt;

use anyhow::{Context, Result, bail};

/// What the six numbers of a site are, in their order.
pub const NUMBERS: [&str; 6] =
    ["allocated bytes", "allocated blocks", "freed bytes", "freed blocks", "outstanding bytes", "outstanding blocks"];

/// The account of one process, between two execs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// `child` or `parent`; empty where there is one process.
    pub role: String,
    /// The process id.
    pub pid: u32,
    /// How many programs the process had run before.
    pub generation: u32,
    /// Its sites.
    pub sites: Vec<Site>,
}

/// One function, and one kind of memory that it allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The function.
    pub function: String,
    /// The kind of memory, as heaptide's JSON calls it.
    pub memory: String,
    /// The [`NUMBERS`]; `None` for one that is not defined.
    pub numbers: [Option<u64>; 6],
}

impl fmt::Display for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.pid, self.generation)?;
        if self.role.is_empty() { Ok(()) } else { write!(formatter, " ({})", self.role) }
    }
}

impl Account {
    /// The sum over all sites of one of the [`NUMBERS`], by its place.
    #[must_use]
    pub fn sum(&self, number: usize) -> u64 {
        self.sites.iter().filter_map(|site| site.numbers[number]).sum()
    }
}

/// Every account in the lines that a workload said. Other lines are left aside.
pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Vec<Account>> {
    let mut accounts: Vec<Account> = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (role, words) = match words.split_first() {
            Some((role @ (&"child" | &"parent"), rest)) => (*role, rest),
            _ => ("", words.as_slice()),
        };
        match words {
            ["process", pid, generation] => accounts.push(Account {
                role: role.to_owned(),
                pid: pid.parse().with_context(|| format!("no process id in {line:?}"))?,
                generation: generation.parse().with_context(|| format!("no generation in {line:?}"))?,
                sites: Vec::new(),
            }),
            ["truth", function, memory, numbers @ ..] => {
                // Two processes may print at the same time: a line belongs to the last account of its role.
                let account = accounts.iter_mut().rev().find(|account| account.role == role);
                let account = account.with_context(|| format!("no process before {line:?}"))?;
                account.sites.push(Site {
                    function: (*function).to_owned(),
                    memory: (*memory).to_owned(),
                    numbers: numbers_of(numbers).with_context(|| format!("not six numbers: {line:?}"))?,
                });
            }
            _ => {}
        }
    }
    if accounts.iter().all(|account| account.sites.is_empty()) {
        bail!("the workload said nothing of its memory");
    }
    Ok(accounts)
}

fn numbers_of(words: &[&str]) -> Result<[Option<u64>; 6]> {
    let number = |word: &&str| if *word == "-" { Ok(None) } else { word.parse().map(Some) };
    let numbers: Vec<Option<u64>> = words.iter().map(number).collect::<Result<_, _>>()?;
    numbers.try_into().map_err(|numbers: Vec<_>| anyhow::anyhow!("{} numbers", numbers.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_two_processes_are_kept_apart() {
        let lines = [
            "ready 1",
            "child process 12 0",
            "parent process 11 0",
            "child truth kept heap 1 2 3 4 5 6",
            "parent truth kept heap 7 8 9 10 11 12",
            "child truth cut anonymous 1 - 3 - 5 6",
        ];
        let accounts = parse(lines).unwrap();
        assert_eq!(accounts.iter().map(|account| account.pid).collect::<Vec<_>>(), [12, 11]);
        assert_eq!(accounts[0].sites.len(), 2);
        assert_eq!(accounts[0].sites[1].numbers, [Some(1), None, Some(3), None, Some(5), Some(6)]);
        assert_eq!(accounts[1].sites[0].numbers[0], Some(7));
    }

    #[test]
    fn a_line_with_a_number_too_few_is_an_error() {
        assert!(parse(["process 1 0", "truth kept heap 1 2 3 4 5"]).is_err());
    }

    #[test]
    fn a_workload_that_says_nothing_is_an_error() {
        assert!(parse(["ready 1", "process 1 0", "done"]).is_err());
    }
}
