//! Reports of profiles made by hand, compared with the files in `tests/golden/<case>/<format>`.
//!
//! `HEAPTIDE_BLESS=1 cargo test -p heaptide --test golden` accepts what the reports are now; read the difference first.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read its files has failed")]

mod leaking;
mod profiles;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use heaptide::profile::Profile;
use heaptide::report::text::TextOptions;
use heaptide::report::watch::conclusion;
use heaptide::report::{folded, json, text};
use jiff::tz::TimeZone;

use leaking::leaking;
use profiles::{
    all_kinds_of_memory, budget, budget_ended, budget_in_pulses, empty, everything_unknown, exact, growth,
    inlined_frames, more_than_shown, profile, replaced_allocator, sampled, several_processes, weird_names,
};

fn directory(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(case)
}

/// Compares with the file, or accepts.
fn check(case: &str, format: &str, report: &[u8]) {
    let path = directory(case).join(format);
    if std::env::var_os("HEAPTIDE_BLESS").is_some_and(|bless| bless == "1") {
        fs::create_dir_all(directory(case)).unwrap();
        fs::write(&path, report).unwrap();
    }
    let golden = fs::read(&path).unwrap_or_else(|error| panic!("tests/golden/{case}/{format}: {error}"));
    let (golden, report) = (String::from_utf8_lossy(&golden), String::from_utf8_lossy(report));
    assert!(golden == report, "tests/golden/{case}/{format} differs; it is now:\n{report}");
}

/// The same JSON in ASCII, so that a hostile name in a golden file does no harm to who reads it.
fn ascii(json: &str) -> String {
    let mut units = [0; 2];
    let mut ascii = String::new();
    for character in json.chars() {
        if character.is_ascii() && character != '\u{7f}' {
            ascii.push(character);
        } else {
            character.encode_utf16(&mut units).iter().for_each(|unit| write!(ascii, "\\u{unit:04x}").unwrap());
        }
    }
    ascii
}

fn check_all(case: &str, profile: &Profile, options: &TextOptions) {
    let mut out = Vec::new();
    text::write(&mut out, profile, options).unwrap();
    check(case, "text", &out);
    out.clear();
    folded::write(&mut out, profile).unwrap();
    check(case, "folded", &out);
    out.clear();
    json::write(&mut out, profile).unwrap();
    assert_eq!(String::from_utf8_lossy(&out).lines().count(), 1, "JSON is one line");
    let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value, serde_json::to_value(profile).unwrap());
    // One line is good for programs; indented, people can read what changed.
    check(case, "json", ascii(&format!("{value:#}\n")).as_bytes());
}

#[test]
fn an_exact_profile_says_so() {
    check_all("exact", &exact(), &TextOptions::default());
}

#[test]
fn several_processes_have_sums_of_their_own_and_together() {
    check_all("several_processes", &several_processes(), &TextOptions::default());
}

#[test]
fn nothing_outstanding_is_a_result() {
    check_all("empty", &empty(), &TextOptions::default());
}

#[test]
fn the_silence_of_a_replaced_allocator_is_explained() {
    check_all("replaced_allocator", &replaced_allocator(), &TextOptions::default());
}

#[test]
fn no_process_is_a_result() {
    check_all("no_process", &profile(Vec::new()), &TextOptions::default());
}

#[test]
fn everything_unknown_is_said() {
    check_all("everything_unknown", &everything_unknown(), &TextOptions::default());
}

#[test]
fn weird_names_do_no_harm() {
    check_all("weird_names", &weird_names(), &TextOptions::default());
}

#[test]
fn inlined_frames_are_marked() {
    check_all("inlined_frames", &inlined_frames(), &TextOptions::default());
}

#[test]
fn other_kinds_of_memory_stay_apart() {
    check_all("all_kinds_of_memory", &all_kinds_of_memory(), &TextOptions::default());
}

#[test]
fn files_and_thread_stacks_are_shown_when_asked_for() {
    let options = TextOptions { show_files: true, show_thread_stacks: true, ..TextOptions::default() };
    check_all("all_kinds_of_memory_shown", &all_kinds_of_memory(), &options);
}

#[test]
fn growth_tells_what_became_resident() {
    check_all("growth", &growth(), &TextOptions::default());
}

#[test]
fn estimates_are_named_as_such() {
    check_all("sampled", &sampled(), &TextOptions::default());
}

#[test]
fn what_was_done_to_keep_a_budget_is_told() {
    check_all("budget", &budget(), &TextOptions::default());
    check_all("budget_in_pulses", &budget_in_pulses(Some(1.6)), &TextOptions::default());
    check_all("budget_in_too_few_pulses", &budget_in_pulses(None), &TextOptions::default());
    check_all("budget_ended", &budget_ended(), &TextOptions::default());
}

#[test]
fn stacks_that_are_not_shown_are_counted() {
    check_all("more_than_shown", &more_than_shown(), &TextOptions { top: 3, ..TextOptions::default() });
}

#[test]
fn growth_is_explained_and_its_suspects_are_named() {
    let options = TextOptions { zone: TimeZone::UTC, ..TextOptions::default() };
    check_all("leaking", &leaking(), &options);
    let mut out = Vec::new();
    conclusion::write(&mut out, &leaking(), 1, &TimeZone::UTC).unwrap();
    check("leaking", "conclusion", &out);
    out.clear();
    conclusion::write_json(&mut out, &leaking(), 1, &TimeZone::UTC).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
    check("leaking", "conclusion.json", ascii(&format!("{value:#}\n")).as_bytes());
}

#[test]
fn the_profile_of_the_peak_shows_what_was_held_then() {
    let peak = leaking().at_peak();
    let shown: u64 = peak.processes[0].stacks.iter().map(|stack| stack.shown.bytes).sum();
    assert_eq!(Some(shown), peak.processes[0].peak.map(|peak| peak.bytes));
    assert!(peak.processes[0].stacks.is_sorted_by(|one, other| one.shown.bytes >= other.shown.bytes));
}
