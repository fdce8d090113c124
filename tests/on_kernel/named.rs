//! Allocators that a user names: the numbers are those of programs that keep their own account of what such an allocator
//! gave them, and blocks of the C library beside it are counted once.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use heaptide_tests::heaptide::{self, Recording, Report};
use heaptide_tests::profile::{Process, Totals};
use heaptide_tests::program::Stream;
use heaptide_tests::truth::{self, Account};
use heaptide_tests::workload::Workload;
use heaptide_tests::{build, compare};
use nix::sys::signal::Signal;

/// The functions of `layers_library.c`, for the command line.
const LAYERS: &str = "layers_library:layer_get(size=0),layer_many(size=2*1)->ret,layer_try(size=1:int)->*0,\
                      layer_same(size=0),layer_resize(block=0,size=1),layer_put(1),layer_put_same(0),\
                      layer_collecting(size=0),layer_put_tree(block=0),layer_arena(size=0),layer_jumps(size=0)";

/// The same for a file.
const LAYERS_FILE: &str = r#"
[[allocator]]
name = "layers"
file = ["no-such-file", "*/workloads/layers_library"]
allocate = [
  { name = "layer_get", size = 0 },
  { name = "layer_many", size = 2, count = 1 },
  { name = "layer_try", size = 1, int = true, result = 0 },
  { name = "layer_same", size = 0 },
  { name = "layer_collecting", size = 0 },
  { name = "layer_arena", size = 0 },
  { name = "layer_jumps", size = 0 },
]
resize = [{ name = "layer_resize", block = 0, size = 1 }]
release = [
  { name = "layer_put", block = 1 },
  { name = "layer_put_same" },
  { name = "layer_put_tree" },
]
"#;

/// What a waiting workload knows and what heaptide says of it.
fn attached(mut workload: Workload, options: &[&str]) -> Result<(Vec<Account>, Report)> {
    let recording = Recording::attach(&[workload.pid()], options)?;
    workload.go()?;
    let accounts = workload.done()?;
    Ok((accounts, recording.stop()?))
}

/// A workload whose account must be heaptide's.
fn same(name: &str, arguments: &[&str], options: &[&str]) -> Result<Report> {
    let (accounts, report) = attached(Workload::start(name, arguments)?, options)?;
    compare::same(&format!("{name}, {options:?}"), &accounts, &report.profile)?;
    Ok(report)
}

fn from_start(name: &str, options: &[&str]) -> Result<Report> {
    let report = Recording::command(name, &[], options)?.end()?;
    ensure!(report.ended.status.code() == Some(0), "{:?}", report.ended);
    let accounts = truth::parse(report.ended.out.iter().map(String::as_str))?;
    compare::same(&format!("{name}, from its start, {options:?}"), &accounts, &report.profile)?;
    Ok(report)
}

fn only_process(report: &Report) -> Result<&Process> {
    report.profile.processes.first().context("no process is reported")
}

/// The report says how many functions of `allocator` were traced.
fn is_named(report: &Report, functions: usize, allocator: &str) -> Result<()> {
    let text = report.ended.out.join("\n");
    ensure!(text.contains(&format!("  {functions} functions of {allocator} traced in /")), "{text}");
    let process = only_process(report)?;
    let found = process.allocators.iter().find(|found| found.family == allocator);
    ensure!(found.is_some_and(|found| found.functions.len() == functions), "{:?}", process.allocators);
    Ok(())
}

fn path_of(name: &str) -> Result<String> {
    Ok(build::workload(name)?.to_str().context("a path of the build is text")?.to_owned())
}

fn layers(options: &[&str]) -> Result<()> {
    let report = same("layers", &[&path_of("layers_library")?], options)?;
    is_named(&report, 11, "layers")?;
    let unmatched = &report.profile.unknown["unmatched"];
    // The arena is given back by no function of the allocator. Every call that was left by a jump is told of.
    ensure!(unmatched["older_releases"] == 1 && unmatched["named_releases"] == 0, "{unmatched:?}");
    ensure!(unmatched["calls"] == 3 * 40, "{unmatched:?}");
    Ok(())
}

#[test]
fn blocks_of_an_allocator_on_top_of_another_are_counted_once() -> Result<()> {
    layers(&["--allocator", &format!("layers={LAYERS}")])
}

#[test]
fn blocks_of_an_allocator_on_top_of_another_are_counted_once_with_four_rings() -> Result<()> {
    layers(&["--allocator", &format!("layers={LAYERS}"), "--shards", "4"])
}

#[test]
fn an_allocator_in_a_library_that_is_loaded_later_is_traced() -> Result<()> {
    let mut workload = Workload::start("layers", &["late", &path_of("layers_library")?])?;
    let mut recording = Recording::attach(&[workload.pid()], &["--allocator", &format!("layers={LAYERS}")])?;
    workload.go()?;
    workload.hear("loaded")?;
    let heaptide = recording.program();
    heaptide.hear(Stream::Err, "line that it is attached", |line| line.contains(" probes in layers_library"))?;
    workload.tell("go on")?;
    let accounts = workload.done()?;
    let report = recording.stop()?;
    compare::same("layers, loaded later", &accounts, &report.profile)?;
    is_named(&report, 11, "layers")
}

#[test]
fn a_file_names_allocators_as_well() -> Result<()> {
    let file = tempfile::NamedTempFile::with_suffix(".toml")?;
    std::fs::write(file.path(), LAYERS_FILE)?;
    layers(&["--allocator-file", file.path().to_str().context("a temporary file's path is text")?])
}

#[test]
fn without_a_name_the_same_blocks_are_those_of_the_c_library() -> Result<()> {
    // What makes the tests above worth something: they do not hold by themselves.
    let (accounts, report) = attached(Workload::start("layers", &[&path_of("layers_library")?])?, &[])?;
    ensure!(compare::same("layers, not named", &accounts, &report.profile).is_err(), "a header is no part of a block");
    Ok(())
}

/// All that `function` allocated has been freed, and it was something.
fn holds_nothing(report: &Report, function: &str) -> Result<()> {
    let sums = only_process(report)?.by_site(&[function]);
    let totals = sums.get(&(function.to_owned(), "heap".to_owned())).copied().unwrap_or_default();
    ensure!(totals.allocated.blocks > 100 && totals.outstanding.blocks == 0, "{function}: {totals:?}");
    Ok(())
}

#[test]
fn sqlite_s_allocator_is_traced_by_its_preset() -> Result<()> {
    let report = same("named_sqlite", &[], &["--allocator", "sqlite3"])?;
    is_named(&report, 5, "sqlite3")?;
    holds_nothing(&report, "run_database")
}

#[test]
fn sqlite_s_allocator_is_traced_from_the_start() -> Result<()> {
    let report = from_start("named_sqlite", &["--allocator", "sqlite3"])?;
    is_named(&report, 5, "sqlite3")?;
    holds_nothing(&report, "run_database")
}

#[test]
fn sqlite_s_allocator_is_traced_in_a_followed_command() -> Result<()> {
    is_named(&from_start("named_sqlite", &["--follow", "--allocator", "libsqlite3.so.[0-9]*:sqlite3"])?, 5, "sqlite3")
}

#[test]
fn openssl_s_allocator_is_traced_by_its_preset() -> Result<()> {
    let report = same("named_openssl", &[], &["--allocator", "openssl"])?;
    is_named(&report, 7, "openssl")?;
    holds_nothing(&report, "run_numbers")
}

#[test]
fn openssl_s_allocator_is_traced_from_the_start() -> Result<()> {
    from_start("named_openssl", &["--allocator", "openssl"])?;
    Ok(())
}

#[test]
fn glib_s_slices_are_traced_by_their_preset() -> Result<()> {
    is_named(&same("named_glib", &[], &["--allocator", "glib-slice"])?, 4, "glib-slice")
}

#[test]
fn glib_s_slices_are_traced_from_the_start() -> Result<()> {
    from_start("named_glib", &["--allocator", "glib-slice"])?;
    Ok(())
}

#[test]
fn memory_of_a_device_is_traced_by_cuda_s_preset() -> Result<()> {
    let report = same("named_cuda", &[&path_of("libcudart.so")?], &["--allocator", "cuda"])?;
    is_named(&report, 4, "cuda")
}

#[test]
fn several_allocators_are_traced_at_once() -> Result<()> {
    let options = ["--allocator", "sqlite3", "--allocator", "openssl", "--allocator", "libc.so.6:valloc(size=0)"];
    let report = same("named_sqlite", &[], &options)?;
    is_named(&report, 5, "sqlite3")?;
    let text = report.ended.out.join("\n");
    ensure!(text.contains("  1 function of c traced in /"), "{text}");
    let says = |line: &String| line.contains("no function of openssl found") && line.contains("libcrypto.so*");
    ensure!(report.ended.err.iter().any(says), "{:?}", report.ended.err);
    Ok(())
}

/// The sums of what was allocated by calls that a script made by way of libffi.
fn by_foreign_calls(process: &Process) -> Totals {
    let is_foreign = |module: &Option<String>| module.as_ref().is_some_and(|name| name.starts_with("libffi"));
    let mut sum = Totals::default();
    for stack in process.stacks.iter().filter(|stack| stack.memory == "heap") {
        if stack.frames.first().is_some_and(|frame| is_foreign(&frame.module)) {
            sum += stack.totals;
        }
    }
    sum
}

/// What a script that an interpreter runs says of its calls is what heaptide says of them.
fn same_by_script(interpreter: &str, script: &str, preset: &str) -> Result<Report> {
    ensure!(Path::new(interpreter).exists(), "{interpreter} is missing: `cargo xtask setup --tests` installs it");
    let workload = Workload::run(Command::new(interpreter).arg(build::script(script)?))?;
    let (accounts, report) = attached(workload, &["--allocator", preset])?;
    let numbers = accounts[0].sites[0].numbers.map(Option::unwrap_or_default);
    let reported = by_foreign_calls(only_process(&report)?).numbers();
    ensure!(numbers == reported, "{script} says {numbers:?}, heaptide {reported:?}");
    let lost: u64 = report.profile.unknown["lost"].values().sum();
    ensure!(lost == 0 && report.profile.unknown["refused"]["live_blocks"] == 0, "{:?}", report.profile.unknown);
    Ok(report)
}

#[test]
fn python_s_allocator_is_traced_by_its_preset() -> Result<()> {
    is_named(&same_by_script("/usr/bin/python3", "named_python.py", "python")?, 12, "python")
}

#[test]
fn ruby_s_allocator_is_traced_by_its_preset() -> Result<()> {
    let report = same_by_script("/usr/bin/ruby", "named_ruby.rb", "ruby")?;
    is_named(&report, 6, "ruby")?;
    // The garbage: a collector that runs within a call of the allocator has freed most of it, and it is seen.
    let is_garbage = |functions: Vec<&str>| functions.contains(&"rb_str_times");
    let mut garbage = Totals::default();
    for stack in only_process(&report)?.stacks.iter().filter(|stack| is_garbage(stack.functions().collect())) {
        garbage += stack.totals;
    }
    ensure!(garbage.allocated.blocks >= 20_000 && garbage.outstanding.blocks < 50, "{garbage:?}");
    ensure!(report.profile.unknown["unmatched"]["replaced_blocks"] == 0, "{:?}", report.profile.unknown);
    Ok(())
}

#[test]
fn what_is_wrong_with_a_name_is_told_before_anything_is_done() -> Result<()> {
    let workload = Workload::start("middle", &[])?;
    let pid = workload.pid().to_string();
    let file = tempfile::NamedTempFile::with_suffix(".toml")?;
    std::fs::write(file.path(), "[[allocator]]\nname = \"a\"\nfile = \"a\"\nrelease = []\n")?;
    let path = file.path().to_str().context("a temporary file's path is text")?;
    let wrong: [(&[&str], &str); 4] = [
        (&["--allocator", "sqlite4"], "there is no preset \"sqlite4\""),
        (&["--allocator", "a.so:f(size=9)"], "f: there is no argument 9"),
        (&["--allocator-file", path], "line 1: a has no function that allocates"),
        (&["--allocator-file", "/nonexistent.toml"], "cannot read /nonexistent.toml"),
    ];
    for (arguments, words) in wrong {
        let ended = heaptide::run([&["record", "-p", &pid], arguments].concat())?;
        ensure!(ended.status.code() == Some(2) && ended.out.is_empty(), "{arguments:?}: {ended:?}");
        ensure!(ended.err.first().is_some_and(|line| line.contains(words)), "{arguments:?}: {ended:?}");
    }
    Ok(())
}

#[test]
fn doctor_lists_what_would_be_traced() -> Result<()> {
    let workload = Workload::start("named_sqlite", &[])?;
    let pid = workload.pid().to_string();
    let ended = heaptide::run(["doctor", "-p", &pid, "--allocator", "sqlite3", "--allocator", "nginx"])?;
    workload.signal(Signal::SIGTERM)?;
    let text = ended.out.join("\n");
    ensure!(text.contains("(sqlite3)\n") && text.contains("  sqlite3_realloc64 "), "{text}");
    ensure!(text.contains("no function of nginx found"), "{text}");
    Ok(())
}
