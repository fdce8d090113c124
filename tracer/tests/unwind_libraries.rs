//! Libraries of this system: every row against `readelf`, which has a reader of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use heaptide::unwind::{Kind, Rule, Table, TableError};

const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

fn table(path: &Path) -> Result<Table, TableError> {
    Table::build(&File::open(path).unwrap())
}

/// What `readelf` says of one address, in the form of a rule; `None` where it does not say it in numbers.
fn rule(columns: &[&str], values: &[&str]) -> Option<Rule> {
    let value = |name: &str| columns.iter().position(|column| *column == name).and_then(|index| values.get(index));
    match value("ra") {
        Some(&"c-8") => {}
        Some(&"u") => return Some(Rule::END),
        Some(&"exp") => return None,
        _ => return Some(Rule::NOT_EXPRESSIBLE),
    }
    let cfa = value("CFA")?;
    let (register, offset) = cfa.split_once('+')?;
    let kind = match register {
        "rsp" => Kind::Rsp,
        "rbp" => Kind::Rbp,
        _ => return Some(Rule::NOT_EXPRESSIBLE),
    };
    let slot = match value("rbp") {
        None | Some(&("u" | "s")) => 0,
        Some(saved) => saved.strip_prefix("c-")?.parse().ok()?,
    };
    Rule::frame(kind, offset.parse().ok()?, slot)
}

/// Compares all rows of `path`; how many.
fn compare(path: &Path) -> usize {
    let table = table(path).unwrap();
    let mut readelf = Command::new("readelf");
    readelf.args(["-W", "--debug-dump=frames-interp"]).arg(path).stdout(Stdio::piped());
    let mut readelf = readelf.spawn().unwrap();
    let (mut columns, mut compared) = (Vec::new(), 0);
    let mut in_function = false;
    for line in BufReader::new(readelf.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains(" FDE ") || line.contains(" CIE ") {
            in_function = line.contains(" FDE ");
        } else if line.trim_start().starts_with("LOC") {
            columns = line.split_whitespace().map(str::to_owned).collect();
        } else if let Some((address, _)) = line.split_once(' ')
            && let Ok(address) = u64::from_str_radix(address, 16)
            && in_function
        {
            let columns: Vec<_> = columns.iter().map(String::as_str).collect();
            // A register is named twice: `r10 (r10)`.
            let values: Vec<_> = line.split_whitespace().filter(|value| !value.starts_with('(')).collect();
            // Functions that the linker has dropped are described at address 0.
            if !table.text().contains(&address) {
                continue;
            }
            let Some(theirs) = rule(&columns, &values) else { continue };
            let ours = table.find(u32::try_from(address - table.base()).unwrap()).rule;
            assert_eq!(ours, theirs, "{} at {address:#x}: {line}", path.display());
            compared += 1;
        }
    }
    // It may have had complaints: what counts is how much it said.
    readelf.wait().unwrap();
    compared
}

#[test]
fn every_row_of_the_c_library_is_as_readelf_says() {
    let compared = compare(&Path::new(LIBRARIES).join("libc.so.6"));
    assert!(compared > 20_000, "{compared} rows");
}

#[test]
fn every_row_of_the_cpp_library_and_the_math_library_is_as_readelf_says() {
    let compared = ["libstdc++.so.6", "libm.so.6"].map(|name| compare(&Path::new(LIBRARIES).join(name)));
    assert!(compared.iter().all(|rows| *rows > 5_000), "{compared:?} rows");
}

#[test]
fn every_row_of_this_program_is_as_readelf_says() {
    let compared = compare(&std::env::current_exe().unwrap());
    assert!(compared > 5_000, "{compared} rows");
}

#[test]
fn the_c_library_has_what_ends_stacks_and_carries_signals() {
    let table = table(&Path::new(LIBRARIES).join("libc.so.6")).unwrap();
    let stats = table.stats();
    println!("{} rows, {} bytes: {stats:?}", table.rows().len(), table.bytes());
    assert_eq!(stats.rows_of(Kind::Signal), 1, "__restore_rt");
    assert!(stats.rows_of(Kind::Plt) >= 1, ".plt");
    assert!(stats.rows_of(Kind::End) >= 2, "clone, clone3");
    // The dynamic loader's entry into lazily bound functions, and a few that are written by hand.
    assert!(stats.not_expressible() * 1000 < table.rows().len() as u64, "{stats:?}");
    assert_eq!(stats.damaged, 0);
}

#[test]
fn every_library_of_this_system_of_a_usual_size_has_a_table() {
    let (mut files, mut rows, mut unknown, mut damaged, begin) = (0, 0, 0, 0, Instant::now());
    for entry in fs::read_dir(LIBRARIES).unwrap() {
        let path = entry.unwrap().path();
        let is_library = path.is_file() && !path.is_symlink() && path.to_string_lossy().contains(".so");
        // Unoptimized code takes a minute for the compilers' libraries.
        if !is_library || fs::metadata(&path).unwrap().len() > 8 << 20 {
            continue;
        }
        match table(&path) {
            Ok(table) => {
                files += 1;
                rows += table.rows().len() as u64;
                unknown += table.stats().not_expressible();
                damaged += table.stats().damaged;
            }
            // Linker scripts.
            Err(TableError::NotElf) => {}
            Err(error) => panic!("{}: {error:?}", path.display()),
        }
    }
    println!(
        "{files} files, {rows} rows, {unknown} not expressible, {damaged} functions damaged, {:?}",
        begin.elapsed()
    );
    assert!(files > 50 && rows > 100_000, "{files} files, {rows} rows");
    // Cryptographic code written by hand is not always described by what the standard allows.
    assert!(damaged <= 10, "{damaged} functions");
    assert!(unknown * 100 < rows, "{unknown} of {rows} rows are not expressible");
}
