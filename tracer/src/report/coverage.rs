//! Which allocators of a process were traced, how often each was called, and what silence means.

use std::io;

use super::page::Page;
use super::words::{count, duration};
use crate::numbers::float;
use crate::profile::{Allocator, Calls};

/// Silence that was shorter, in seconds, says nothing.
const TELLING: f64 = 1.0;

/// Fewer calls a second are told as their number.
const OFTEN: f64 = 10.0;

/// What is said of a process whose allocators were silent.
const WARNING: &str = "warning: it called none of these functions. It was idle, or it takes its memory from an allocator that is not traced.";

/// Writes a line for each allocator, and a warning when none of them was called.
pub(super) fn write(page: &mut Page<'_>, allocators: &[Allocator]) -> io::Result<()> {
    let busiest = busiest(allocators);
    for allocator in allocators {
        let Allocator { file, family, functions, calls } = allocator;
        let functions = count(functions.len() as u64, "function");
        let calls = calls.map_or_else(String::new, |calls| format!(": {}", words(calls, busiest)));
        page.line(format_args!("  {functions} of {family} traced in {file}{calls}"))?;
    }
    if allocators.is_empty() {
        page.line(format_args!("  no allocator was found: only mapped memory is known"))?;
    }
    if is_silent(allocators) {
        page.line(format_args!("  {WARNING}"))?;
    }
    Ok(())
}

/// Whether none of a process's allocators was called, for so long that it tells something.
pub(super) fn is_silent(allocators: &[Allocator]) -> bool {
    let all = || allocators.iter().filter_map(|allocator| allocator.calls);
    all().all(|calls| calls.count == 0) && all().any(|calls| calls.seconds >= TELLING)
}

/// The allocator that the process calls, when it calls one.
fn busiest(allocators: &[Allocator]) -> Option<&Allocator> {
    // Of shared calls, nobody knows whose they are.
    let own = |allocator: &&Allocator| allocator.calls.is_some_and(|calls| calls.count > 0 && !calls.shared);
    allocators.iter().filter(own).max_by_key(|allocator| allocator.calls.map(|calls| calls.count))
}

fn words(calls: Calls, busiest: Option<&Allocator>) -> String {
    let time = duration(calls.seconds);
    let all = if calls.shared { " in all programs that have it" } else { "" };
    let rate = float(calls.count) / calls.seconds;
    if calls.count == 0 {
        let instead = busiest.map_or_else(String::new, |other| format!(", {} is called instead", other.family));
        format!("no call in {time}{all}{instead}")
    } else if calls.seconds >= TELLING && rate >= OFTEN {
        format!("{rate:.0} calls a second{all}")
    } else {
        format!("{} in {time}{all}", count(calls.count, "call"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allocator(family: &str, calls: impl Into<Option<Calls>>) -> Allocator {
        let functions = vec!["malloc".to_owned(), "free".to_owned()];
        Allocator {
            file: format!("/usr/lib/lib{family}.so"),
            family: family.to_owned(),
            functions,
            calls: calls.into(),
        }
    }

    fn calls(count: u64, seconds: f64) -> Calls {
        Calls { count, seconds, shared: false }
    }

    fn written(allocators: &[Allocator]) -> Vec<String> {
        let mut out = Vec::new();
        write(&mut Page::new(&mut out), allocators).unwrap();
        String::from_utf8(out).unwrap().lines().map(|line| line.trim().to_owned()).collect()
    }

    fn of_one(calls: impl Into<Option<Calls>>) -> Vec<String> {
        let mut lines = written(&[allocator("glibc", calls)]);
        let line = lines.remove(0);
        lines.insert(0, line.strip_prefix("2 functions of glibc traced in /usr/lib/libglibc.so").unwrap().to_owned());
        lines
    }

    #[test]
    fn calls_are_told_by_the_second_when_there_are_enough_of_them() {
        assert_eq!(of_one(calls(123_456, 10.0)), [": 12346 calls a second"]);
        assert_eq!(of_one(calls(99, 10.0)), [": 99 calls in 10 s"]);
        assert_eq!(of_one(calls(1, 10.0)), [": 1 call in 10 s"]);
        assert_eq!(of_one(calls(5000, 0.034)), [": 5000 calls in 34 ms"]);
        assert_eq!(of_one(None), [""]);
    }

    #[test]
    fn silence_is_a_warning_when_it_was_long_enough() {
        assert_eq!(of_one(calls(0, 10.0)), [": no call in 10 s", WARNING]);
        assert_eq!(of_one(calls(0, 0.5)), [": no call in 0.50 s"]);
        assert_eq!(of_one(calls(0, 0.0)), [": no call in 0 s"]);
    }

    #[test]
    fn silence_beside_a_busy_allocator_is_explained() {
        let lines = written(&[
            allocator("glibc", calls(0, 10.0)),
            allocator("jemalloc", calls(123_450, 10.0)),
            allocator("cpp", calls(3, 10.0)),
        ]);
        assert_eq!(
            lines[0],
            "2 functions of glibc traced in /usr/lib/libglibc.so: no call in 10 s, jemalloc is called instead"
        );
        assert_eq!(lines.len(), 3, "{lines:?}");
    }

    #[test]
    fn calls_of_several_programs_are_told_as_such_and_explain_no_silence() {
        let shared = |count, seconds| Calls { count, seconds, shared: true };
        assert_eq!(of_one(shared(500, 10.0)), [": 50 calls a second in all programs that have it"]);
        let lines = written(&[allocator("glibc", calls(0, 10.0)), allocator("jemalloc", shared(1000, 10.0))]);
        assert_eq!(lines[0], "2 functions of glibc traced in /usr/lib/libglibc.so: no call in 10 s");
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(of_one(shared(0, 10.0)), [": no call in 10 s in all programs that have it", WARNING]);
    }
}
