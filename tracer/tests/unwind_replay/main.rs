//! Stacks of real programs, walked by heaptide's rows, against the walk of libgcc's `backtrace()`: every frame equal.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read its files has failed")]

mod captured;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use captured::{Capture, Captures};
use heaptide::unwind::Kind;
use heaptide::unwind::reference::{End, Process as _, unwind_from_entry};

/// Stacks of each program; ten programs make ten thousand.
const COUNT: usize = 1000;
/// Deeper than any stack of the programs.
const DEPTH: usize = 512;
/// What every build of the C program has on its stacks.
const C_KINDS: [Kind; 5] = [Kind::Rsp, Kind::Rbp, Kind::DerefRbp, Kind::Signal, Kind::End];

/// The compiler's name, the file in `unwind_programs`, options.
fn build(directory: &Path, compiler: &str, source: &str, options: &[&str]) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/unwind_programs");
    let output = directory.join(source).with_extension("out");
    let status = Command::new(compiler).args(options).arg("-o").arg(&output).arg(sources.join(source)).status();
    assert!(status.unwrap().success(), "{compiler} {options:?} {source}: needed for this test");
    output
}

/// Runs the program and walks each of its stacks.
///
/// The stacks must hold frames of each of `kinds`: a program that makes none of them shows nothing.
fn every_frame_is_equal(compiler: &str, source: &str, options: &[&str], kinds: &[Kind]) {
    let directory = tempfile::tempdir().unwrap();
    // The code that captures has no need of the options: they must not decide how its own frame looks.
    let static_code: Vec<_> = options.iter().copied().filter(|option| *option == "-static").collect();
    let capture = build(directory.path(), "gcc", "capture.c", &[&["-c", "-O2"], static_code.as_slice()].concat());
    let link = format!("-Clink-arg={}", capture.display());
    let capture = if compiler == "rustc" { link } else { capture.display().to_string() };
    let program = build(directory.path(), compiler, source, &[options, &[&capture]].concat());

    let mut captures = Captures::start(&program, COUNT);
    let (mut stacks, mut seen) = (0, HashSet::new());
    while let Some(capture) = captures.next() {
        check(&captures, &capture, &program);
        stacks += 1;
        seen.extend(capture.frames.iter().map(|&pc| captures.at(&capture).rule(pc - 1).kind()));
    }
    assert!(kinds.iter().all(|kind| seen.contains(kind)), "{kinds:?} wanted, {seen:?}");
    assert!(stacks >= COUNT, "{stacks} stacks");
}

fn check(captures: &Captures, capture: &Capture, program: &Path) {
    let unwound = unwind_from_entry(&captures.at(capture), capture.registers, DEPTH);
    let names = |frames: &[u64]| frames.iter().map(|&pc| captures.name(pc)).collect::<Vec<_>>();
    let (theirs, ours) = (names(&capture.frames), names(&unwound.frames));
    assert_eq!(theirs, ours, "{}: ended by {:?}", program.display(), unwound.end);
    assert_eq!(unwound.frames, capture.frames);
    assert_eq!((unwound.end, unwound.guessed), (End::Bottom, 0), "{}: {ours:?}", program.display());
}

#[test]
fn optimized_c_unwinds_as_by_libgcc() {
    every_frame_is_equal("gcc", "stacks.c", &["-O2", "-pthread"], &C_KINDS);
}

#[test]
fn unoptimized_c_unwinds_as_by_libgcc() {
    every_frame_is_equal("gcc", "stacks.c", &["-O0", "-pthread"], &C_KINDS);
}

#[test]
fn small_c_unwinds_as_by_libgcc() {
    every_frame_is_equal("gcc", "stacks.c", &["-Os", "-pthread", "-no-pie", "-fcf-protection=full"], &C_KINDS);
}

#[test]
fn c_with_every_frame_realigned_unwinds_as_by_libgcc() {
    every_frame_is_equal("gcc", "stacks.c", &["-O3", "-mstackrealign", "-pthread"], &C_KINDS);
}

#[test]
fn c_with_frame_pointers_unwinds_as_by_libgcc() {
    every_frame_is_equal("gcc", "stacks.c", &["-O2", "-fno-omit-frame-pointer", "-pthread"], &C_KINDS);
}

#[test]
fn static_c_unwinds_as_by_libgcc() {
    every_frame_is_equal("gcc", "stacks.c", &["-O2", "-static", "-pthread"], &C_KINDS);
}

#[test]
fn optimized_cpp_unwinds_as_by_libgcc() {
    every_frame_is_equal("g++", "stacks.cpp", &["-O2", "-std=c++17", "-pthread"], &[Kind::Rbp, Kind::End]);
}

#[test]
fn unoptimized_cpp_unwinds_as_by_libgcc() {
    every_frame_is_equal("g++", "stacks.cpp", &["-O0", "-std=c++17", "-pthread"], &[Kind::Rbp, Kind::End]);
}

#[test]
fn optimized_rust_unwinds_as_by_libgcc() {
    every_frame_is_equal("rustc", "stacks.rs", &["--edition=2024", "-O"], &[Kind::Rsp, Kind::Rbp, Kind::End]);
}

#[test]
fn unoptimized_rust_unwinds_as_by_libgcc() {
    every_frame_is_equal("rustc", "stacks.rs", &["--edition=2024"], &[Kind::Rsp, Kind::Rbp, Kind::End]);
}
