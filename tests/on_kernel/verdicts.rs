//! Verdicts on programs of known kinds: leaks of many kinds, caches, cycles, retention, growth beside the heap.
//!
//! Each kind runs once, all at the same time, for half a minute. All seeds: `cargo xtask verdicts`.

use anyhow::{Result, ensure};
use heaptide_tests::kinds::{KINDS, Kind};
use heaptide_tests::verdicts::{self, Outcome};

/// Of the 38 verdicts of one run so many must be exactly right. Where 95 % are in the long run, fewer are in one run of 2,000:
/// the tail of the binomial distribution. That 95 % are is held by `cargo xtask verdicts` over many seeds.
const RIGHT: f64 = 31.0 / 38.0;

const SEED: u64 = 1;

#[test]
fn real_programs_get_the_verdicts_that_they_should() -> Result<()> {
    let kinds: Vec<&'static Kind> = KINDS.iter().collect();
    let outcomes = verdicts::watch(&kinds, SEED)?;
    let table = verdicts::table(&outcomes);
    let faults: Vec<_> = outcomes.iter().filter_map(Outcome::fault).collect();
    ensure!(faults.is_empty(), "{faults:?}\n{table}");
    let right = verdicts::right(&outcomes);
    ensure!(right >= RIGHT, "{right:.3} of the verdicts are right\n{table}");
    // Otherwise nothing was told of suspects.
    let found = outcomes.iter().filter(|outcome| outcome.is_site_found() == Some(true)).count();
    ensure!(found >= 10, "only {found} leaks were found where they are\n{table}");
    Ok(())
}
