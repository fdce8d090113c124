//! The workloads themselves: what the on-kernel tests are measured by must be sound, with nothing attached.

use std::process::Command;

use anyhow::{Result, ensure};
use heaptide_tests::kinds::{KINDS, Kind, Nature};
use heaptide_tests::program::Program;
use heaptide_tests::truth::{self, Account};
use heaptide_tests::workload::Workload;
use heaptide_tests::{build, pace, verdicts};

/// Every workload that keeps an account.
const WORKLOADS: [&str; 13] = [
    "before_main",
    "exec",
    "exits",
    "failing",
    "fork",
    "functions",
    "mappings",
    "middle",
    "operators",
    "realloc",
    "reuse",
    "threads",
    "vectors",
];

fn alone(name: &str) -> Result<Vec<Account>> {
    let ended = Program::start(&mut Command::new(build::workload(name)?))?.end()?;
    ensure!(ended.err.is_empty(), "{name} failed within {:?}: {:?}", pace::deadline(), ended.err);
    truth::parse(ended.out.iter().map(String::as_str))
}

#[test]
fn every_account_adds_up() -> Result<()> {
    for name in WORKLOADS {
        for account in alone(name)? {
            for site in &account.sites {
                let [Some(allocated), _, Some(freed), _, Some(outstanding), Some(_)] = site.numbers else {
                    anyhow::bail!("{name}: bytes and what is outstanding are always defined: {site:?}");
                };
                // A child's account begins with what it inherited.
                if account.role != "child" {
                    ensure!(allocated - freed == outstanding, "{name}: {site:?}");
                }
                if let [_, Some(allocated), _, Some(freed), _, Some(outstanding)] = site.numbers
                    && account.role != "child"
                {
                    ensure!(allocated - freed == outstanding, "{name}: {site:?}");
                }
            }
            ensure!(account.sites.iter().any(|site| site.numbers[0] > Some(0)), "{name} allocates nothing");
        }
    }
    Ok(())
}

#[test]
fn what_is_older_than_the_start_is_not_in_the_account() -> Result<()> {
    for (name, old) in [("before_main", "constructed"), ("middle", "older")] {
        let mut workload = Workload::start(name, &[])?;
        workload.go()?;
        let accounts = workload.done()?;
        let site = accounts[0].sites.iter().find(|site| site.function == old);
        ensure!(site.is_some_and(|site| site.numbers == [Some(0); 6]), "{name}: {accounts:?}");
    }
    Ok(())
}

#[test]
fn a_waiting_workload_ends_when_it_is_let_go() -> Result<()> {
    for name in ["functions", "vectors", "operators", "fork", "exec"] {
        let mut workload = Workload::start(name, &[])?;
        workload.go()?;
        workload.done()?;
        let ended = workload.end()?;
        ensure!(ended.status.code() == Some(0), "{name}: {ended:?}");
    }
    Ok(())
}

#[test]
fn each_kind_of_growth_leaks_where_its_label_says() -> Result<()> {
    let kinds: Vec<&'static Kind> = KINDS.iter().collect();
    let outcomes = verdicts::alone(&kinds, 1, 4)?;
    for outcome in &outcomes {
        let site = outcome.leaked.as_ref().map(|leaked| leaked.site.as_str());
        ensure!(site == outcome.label.leaks_in, "{}: {site:?} leaks", outcome.line());
    }
    for kind in kinds {
        for label in std::iter::once(&kind.main).chain(kind.forks) {
            let seen =
                outcomes.iter().any(|outcome| outcome.kind.name == kind.name && outcome.label.role == label.role);
            ensure!(seen, "there is no {} of {}", label.role, kind.name);
        }
    }
    let leaks = outcomes.iter().filter(|outcome| outcome.label.nature == Nature::Leaks).count();
    ensure!(leaks >= 13, "only {leaks} processes leak");
    Ok(())
}
