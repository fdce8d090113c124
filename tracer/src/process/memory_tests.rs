use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;

const MIB: u64 = 1 << 20;
const PAGE: usize = 4096;

/// Memory in use by other tests of the same process comes and goes by much less than this.
const SLACK: u64 = 24 * MIB;

/// Re-reads what is carried otherwise.
fn read_now(reader: &mut MemoryReader) -> ProcessMemory {
    reader.thrift = Thrift::default();
    reader.read().unwrap()
}

/// A shell that tells when it has done as it was asked, and then lives until its standard input is closed.
fn shell(script: &str) -> Child {
    let script = format!("{script}\necho ready; read line");
    let mut command = Command::new("sh");
    let mut child = command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn touched_memory_is_seen_to_come_and_to_go() {
    const SIZE: usize = 64 << 20;
    let rose = |before: u64, after: u64| after.saturating_sub(before).abs_diff(SIZE as u64) < SLACK;
    let mut reader = MemoryReader::new(std::process::id()).unwrap();
    let before = read_now(&mut reader);
    let mut memory = vec![0_u8; SIZE];
    memory.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
    let after = read_now(&mut reader);
    assert!(rose(before.rss, after.rss), "{before:?} {after:?}");
    assert!(rose(before.anonymous, after.anonymous), "{before:?} {after:?}");
    assert!(rose(before.pss.unwrap(), after.pss.unwrap()), "{before:?} {after:?}");
    assert!(rose(before.uss.unwrap(), after.uss.unwrap()), "{before:?} {after:?}");
    assert!(after.minor_faults > before.minor_faults, "{before:?} {after:?}");
    drop(black_box(memory));
    let freed = read_now(&mut reader);
    assert!(rose(freed.uss.unwrap(), after.uss.unwrap()), "{freed:?} {after:?}");
    assert_eq!(reader.why_no_pss(), None);
}

#[test]
fn the_parts_are_the_whole() {
    let mut reader = MemoryReader::new(std::process::id()).unwrap();
    let memory = reader.read().unwrap();
    assert_eq!(memory.rss, memory.anonymous + memory.file + memory.shmem);
    assert!(memory.file > 0 && memory.uss.unwrap() <= memory.pss.unwrap(), "{memory:?}");
}

#[test]
fn pages_shared_with_a_child_are_divided() {
    // The subshell is a fork of the shell, and has all its pages in common with it.
    let child = shell("exec 3<&0; blob=$(head -c 16000000 /dev/zero | tr '\\0' x); (read line) <&3 &");
    let memory = MemoryReader::new(child.id()).unwrap().read().unwrap();
    let (pss, uss) = (memory.pss.unwrap(), memory.uss.unwrap());
    assert!(memory.anonymous > 16_000_000, "{memory:?}");
    // Half of the blob at least is the child's.
    assert!(pss + 7_000_000 < memory.rss && uss + 14_000_000 < memory.rss, "{memory:?}");
    end(child);
}

#[test]
fn between_reads_the_last_value_is_carried() {
    let mut reader = MemoryReader::new(std::process::id()).unwrap();
    assert_eq!(reader.pss_age(), None);
    let first = reader.read().unwrap();
    let age = reader.pss_age().unwrap();
    // As if it had taken long.
    reader.thrift.took(reader.now(), 1_000_000_000);
    let mut memory = vec![0_u8; 8 << 20];
    memory.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
    let second = reader.read().unwrap();
    assert_eq!((first.pss, first.uss), (second.pss, second.uss));
    assert!(second.pss.is_some() && reader.pss_age().unwrap() > age);
    drop(black_box(memory));
}

#[test]
fn a_process_that_ended_is_gone_and_so_is_a_zombie() {
    let mut child = shell("true");
    let mut reader = MemoryReader::new(child.id()).unwrap();
    assert!(reader.read().unwrap().rss > 0);
    let pidfd = rustix::process::pidfd_open(
        rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap(),
        rustix::process::PidfdFlags::empty(),
    )
    .unwrap();
    drop(child.stdin.take());
    let polled = nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(&pidfd), nix::poll::PollFlags::POLLIN);
    nix::poll::poll(&mut [polled], nix::poll::PollTimeout::NONE).unwrap();
    let zombie = reader.read();
    let another = MemoryReader::new(child.id()).unwrap().read();
    child.wait().unwrap();
    assert!(matches!(zombie, Err(MemoryError::Gone { .. })), "{zombie:?}");
    assert!(matches!(another, Err(MemoryError::Gone { .. })), "{another:?}");
    assert!(matches!(reader.read(), Err(MemoryError::Gone { .. })));
    assert!(matches!(MemoryReader::new(child.id()), Err(MemoryError::Gone { .. })));
    assert!(matches!(MemoryReader::new(0), Err(MemoryError::Gone { .. })));
    assert!(matches!(MemoryReader::new(u32::MAX), Err(MemoryError::Gone { .. })));
}

#[test]
fn why_there_is_no_proportional_set_is_told_once() {
    let mut reader = MemoryReader::new(std::process::id()).unwrap();
    assert_eq!(reader.why_no_pss_once(), None);
    reader.why_not = Some(reason(7, &ProcError::PermissionDenied(None)));
    assert_eq!(reader.why_no_pss_once(), Some("/proc/7/smaps_rollup may not be read (run heaptide with sudo)"));
    assert_eq!(reader.why_no_pss_once(), None);
    assert!(reader.why_no_pss().is_some());
    assert!(reason(7, &ProcError::NotFound(None)).contains("4.14"));
}
