//! How long the tables for unwinding take.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use heaptide_tests::build;
use heaptide_tests::program::{Program, Stream};

use super::figure::Figure;
use super::recording::Recording;

/// How many libraries the large process has.
pub(crate) const LIBRARIES: usize = 300;

/// Where they are taken from, the largest first.
const FOLDER: &str = "/usr/lib/x86_64-linux-gnu";

/// What one of the largest libraries there are may take, in seconds.
const MOST_FOR_LLVM: f64 = 0.5;

/// What all of the large process may take, in seconds.
const MOST_FOR_ALL: f64 = 2.0;

pub(crate) fn measure(heaptide: &Path) -> Result<Vec<Figure>> {
    let files = libraries()?;
    let mut figures = Vec::new();
    let alone = attach(heaptide, &[])?;
    let is_llvm = |file: &&PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libLLVM"));
    if let Some(llvm) = files.iter().find(is_llvm) {
        let with = attach(heaptide, std::slice::from_ref(llvm))?;
        figures.push(Figure::count("libLLVM", with.rows - alone.rows, "rows"));
        figures.push(Figure::new("libLLVM, tables", with.tables - alone.tables, "seconds").at_most(MOST_FOR_LLVM));
    }
    let most = files.get(..LIBRARIES).with_context(|| format!("{FOLDER} has only {} libraries", files.len()))?;
    let all = attach(heaptide, most)?;
    figures.push(Figure::count("all libraries", all.rows, "rows"));
    figures.push(Figure::new("all libraries, tables", all.tables, "seconds").at_most(MOST_FOR_ALL));
    figures.push(Figure::new("attach, no library but libc", alone.attach, "seconds"));
    figures.push(Figure::new("attach, all libraries", all.attach, "seconds"));
    Ok(figures)
}

struct Taken {
    /// Seconds until events were recorded.
    attach: f64,
    /// Seconds of the thread that makes tables.
    tables: f64,
    rows: u64,
}

fn attach(heaptide: &Path, libraries: &[PathBuf]) -> Result<Taken> {
    let mut target = Program::start(Command::new(build::workload("bench_mapped")?).args(libraries))?;
    target.hear(Stream::Out, "ready line", |line| line.starts_with("ready"))?;
    let begin = Instant::now();
    let recording = Recording::attach(heaptide, target.pid())?;
    let attach = begin.elapsed().as_secs_f64();
    let profile = recording.stop()?.profile;
    ensure!(profile.unwinding("files")? as usize >= libraries.len(), "not every library has a table");
    ensure!(profile.unwinding("files_refused")? == 0, "there was no room for a table");
    Ok(Taken { attach, tables: seconds(profile.unwinding("table_nanoseconds")?), rows: profile.unwinding("rows")? })
}

#[expect(clippy::cast_precision_loss, reason = "a time is far below 2^53 nanoseconds")]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// The libraries of this machine, each once, the largest first.
fn libraries() -> Result<Vec<PathBuf>> {
    let mut seen = HashSet::new();
    let mut files = Vec::new();
    for entry in fs::read_dir(FOLDER).with_context(|| format!("cannot list {FOLDER}"))? {
        let path = entry.with_context(|| format!("cannot list {FOLDER}"))?.path();
        let is_library = path.file_name().is_some_and(|name| name.to_string_lossy().contains(".so"));
        // Links that lead nowhere are left behind by packages.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if is_library && is_elf(&path) && seen.insert((metadata.dev(), metadata.ino())) {
            files.push((metadata.len(), path));
        }
    }
    files.sort_by(|(one, _), (other, _)| other.cmp(one));
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// Some are texts for the linker.
fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut magic)).is_ok()
        && magic == *b"\x7fELF"
}
