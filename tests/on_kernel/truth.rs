//! heaptide's numbers are the workloads' own.

use anyhow::{Context, Result, ensure};
use heaptide_tests::heaptide::Recording;
use heaptide_tests::workload::Workload;
use heaptide_tests::{compare, pace, truth};

/// Attached to the waiting workload, stopped when its work is done.
fn attached(name: &str, options: &[&str]) -> Result<()> {
    attached_to(Workload::start(name, &[])?, name, options)
}

/// Attached to two threads that take and release blocks as fast as they can.
fn attached_to_reuse(options: &[&str]) -> Result<()> {
    let turns = pace::times(500_000).to_string();
    attached_to(Workload::start("reuse", &[&turns])?, "reuse", options)
}

fn attached_to(mut workload: Workload, name: &str, options: &[&str]) -> Result<()> {
    let recording = Recording::attach(&[workload.pid()], options)?;
    workload.go()?;
    let accounts = workload.done()?;
    let report = recording.stop()?;
    compare::same(&format!("{name}, attached"), &accounts, &report.profile)
}

/// Started by heaptide, recorded from its first instruction to its end.
fn from_start(name: &str, options: &[&str]) -> Result<()> {
    let report = Recording::command(name, &[], options)?.end()?;
    ensure!(report.ended.status.code() == Some(0), "{:?}", report.ended);
    let accounts = truth::parse(report.ended.out.iter().map(String::as_str))?;
    compare::same(&format!("{name}, from its start"), &accounts, &report.profile)
}

#[test]
fn every_allocation_function_is_counted_at_its_caller() -> Result<()> {
    attached("functions", &[])
}

#[test]
fn every_allocation_function_is_counted_from_the_start() -> Result<()> {
    from_start("functions", &[])
}

#[test]
fn each_way_through_malloc_is_counted() -> Result<()> {
    attached("ways", &[])
}

#[test]
fn each_way_through_malloc_is_counted_from_the_start() -> Result<()> {
    from_start("ways", &[])
}

#[test]
fn a_realloc_ends_the_old_block_only_when_it_succeeds() -> Result<()> {
    attached("realloc", &[])
}

#[test]
fn a_realloc_is_counted_from_the_start() -> Result<()> {
    from_start("realloc", &[])
}

#[test]
fn blocks_freed_by_other_threads_are_freed() -> Result<()> {
    attached("threads", &[])
}

#[test]
fn blocks_freed_by_other_threads_are_freed_with_four_rings() -> Result<()> {
    attached("threads", &["--shards", "4"])
}

#[test]
fn blocks_freed_by_other_threads_are_freed_from_the_start() -> Result<()> {
    from_start("threads", &[])
}

#[test]
fn addresses_reused_at_full_speed_are_never_mixed_up() -> Result<()> {
    attached_to_reuse(&[])
}

#[test]
fn addresses_reused_at_full_speed_are_never_mixed_up_with_four_rings() -> Result<()> {
    attached_to_reuse(&["--shards", "4"])
}

#[test]
fn failing_calls_leave_no_trace() -> Result<()> {
    attached("failing", &[])
}

#[test]
fn failing_calls_leave_no_trace_from_the_start() -> Result<()> {
    from_start("failing", &[])
}

#[test]
fn mappings_are_ranges_that_can_be_cut() -> Result<()> {
    attached("mappings", &[])
}

#[test]
fn mappings_are_ranges_that_can_be_cut_with_four_rings() -> Result<()> {
    attached("mappings", &["--shards", "4"])
}

#[test]
fn mappings_are_ranges_that_can_be_cut_from_the_start() -> Result<()> {
    from_start("mappings", &[])
}

#[test]
fn older_blocks_are_neither_invented_nor_counted() -> Result<()> {
    attached("middle", &[])
}

#[test]
fn constructors_that_ran_before_the_trace_are_not_counted() -> Result<()> {
    attached("before_main", &[])
}

#[test]
fn constructors_are_counted_from_the_start() -> Result<()> {
    from_start("before_main", &[])
}

#[test]
fn operators_of_cpp_are_counted_at_the_function_that_uses_them() -> Result<()> {
    attached("operators", &[])
}

#[test]
fn operators_of_cpp_are_counted_from_the_start() -> Result<()> {
    from_start("operators", &[])
}

#[test]
fn vectors_of_rust_are_counted_at_the_function_that_grows_them() -> Result<()> {
    attached("vectors", &[])
}

#[test]
fn vectors_of_rust_are_counted_from_the_start() -> Result<()> {
    from_start("vectors", &[])
}

#[test]
fn two_processes_of_one_program_are_kept_apart() -> Result<()> {
    let mut first = Workload::start("functions", &[])?;
    let mut second = Workload::start("realloc", &[])?;
    let mut third = Workload::start("realloc", &[])?;
    let recording = Recording::attach(&[first.pid(), second.pid(), third.pid()], &[])?;
    let mut accounts = Vec::new();
    for workload in [&mut first, &mut second, &mut third] {
        workload.go()?;
    }
    for workload in [&mut first, &mut second, &mut third] {
        accounts.extend(workload.done()?);
    }
    compare::same("three processes", &accounts, &recording.stop()?.profile)
}

#[test]
fn a_process_that_is_not_named_is_not_traced() -> Result<()> {
    let mut traced = Workload::start("realloc", &[])?;
    let mut other = Workload::start("realloc", &[])?;
    let recording = Recording::attach(&[traced.pid()], &[])?;
    other.go()?;
    other.done()?;
    traced.go()?;
    let accounts = traced.done()?;
    let report = recording.stop()?;
    compare::same("the traced process", &accounts, &report.profile)?;
    let pids: Vec<u32> = report.profile.processes.iter().map(|process| process.pid).collect();
    ensure!(pids == [traced.pid()], "reported: {pids:?}, traced: {}", traced.pid());
    Ok(())
}

#[test]
fn an_arena_made_within_a_free_is_the_allocators() -> Result<()> {
    let mut workload = Workload::start("first_free", &[])?;
    let recording = Recording::attach(&[workload.pid()], &[])?;
    workload.go()?;
    let accounts = workload.done()?;
    let report = recording.stop()?;
    compare::same("first_free", &accounts, &report.profile)?;
    let process = report.profile.process(workload.pid(), 0).context("the process is not reported")?;
    let (own, growth) = (process.sum("anonymous"), process.sum("allocator"));
    ensure!(own.allocated.bytes == 0 && growth.allocated.bytes > 0, "{own:?} {growth:?}");
    Ok(())
}
