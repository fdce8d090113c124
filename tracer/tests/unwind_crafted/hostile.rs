//! Files made to do harm, and files that were damaged: an error or a sound table, within bounds.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use heaptide::unwind::{Table, TableError};
use proptest::collection::vec;
use proptest::prelude::*;

use super::elf::{Frames, TEXT_SIZE, elf};
use super::rules::SHARED;

/// A real file that has all that can be damaged: this test's C library would do, but is large.
const REAL: &str = "/usr/lib/x86_64-linux-gnu/libm.so.6";

/// A table may be wrong about a damaged file, but it is always one that can be searched.
fn assert_sound(table: &Table, file_size: usize) {
    let rows = table.rows();
    assert!(rows.is_sorted_by(|a, b| a.pc < b.pc), "each address once, in their order");
    assert!(rows.windows(2).all(|pair| pair[0].rule != pair[1].rule), "neighbours differ");
    assert!(rows.first().is_none_or(|row| row.pc == 0), "every address has a rule");
    // A row takes at least one byte of instructions, a function at least sixteen and three rows.
    assert!(rows.len() <= file_size + 1, "{} rows of {file_size} bytes", rows.len());
    assert_eq!(table.stats().rows.iter().sum::<u64>(), rows.len() as u64);
    for row in rows {
        assert_eq!(table.find(row.pc), *row);
    }
}

fn check(bytes: &[u8]) {
    if let Ok(table) = Table::parse(bytes) {
        assert_sound(&table, bytes.len());
    }
}

fn real() -> Vec<u8> {
    std::fs::read(REAL).unwrap()
}

/// Three functions with every form of instruction.
fn plain() -> Frames {
    Frames::new("zR", SHARED)
        .function(0, 0x40, &[0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x0a, 0x70, 0x0c, 7, 8, 0x41, 0x0b])
        .function(0x40, 0x40, &[0x0f, 3, 0x76, 0x78, 6, 0x10, 6, 2, 0x76, 0, 0x02, 4, 0x07, 16])
        .function(0x30, 0x100, &[0x03, 4, 0, 0x04, 1, 0, 0, 0, 0x2e, 16, 0x11, 6, 2])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_as_a_file_do_no_harm(bytes in vec(any::<u8>(), 0..4096)) {
        check(&bytes);
    }

    #[test]
    fn any_bytes_as_call_frame_information_do_no_harm(bytes in vec(any::<u8>(), 0..2048)) {
        check(&elf(".eh_frame", &bytes));
        check(&elf(".debug_frame", &bytes));
    }

    #[test]
    fn any_instructions_do_no_harm(shared in vec(any::<u8>(), 0..64), own in vec(vec(any::<u8>(), 0..64), 1..8)) {
        let mut frames = Frames::new("zR", &shared);
        for (index, instructions) in (0..).zip(&own) {
            frames = frames.function(index * 0x30, 0x40, instructions);
        }
        check(&frames.elf());
    }

    #[test]
    fn any_ranges_do_no_harm(ranges in vec((0..TEXT_SIZE as u32 * 2, any::<u32>()), 1..64)) {
        let mut frames = Frames::new("zR", SHARED);
        for (start, size) in ranges {
            frames = frames.function(start, size >> (start & 31), &[0x41, 0x0e, (start & 0x78) as u8 + 8]);
        }
        check(&frames.elf());
    }

    #[test]
    fn a_damaged_file_does_no_harm(changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..16)) {
        let mut bytes = plain().elf();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        check(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_real_file_does_no_harm(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..64),
        header in vec((0_usize..1024, any::<u8>()), 0..2),
    ) {
        let mut bytes = real();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        for (place, value) in header {
            bytes[place] = value;
        }
        check(&bytes);
    }
}

#[test]
fn a_file_cut_anywhere_does_no_harm() {
    let bytes = plain().elf();
    for length in 0..bytes.len() {
        check(&bytes[..length]);
    }
}

#[test]
fn a_file_and_its_bytes_give_the_same_rows() {
    let file = Table::build(&File::open(REAL).unwrap()).unwrap();
    assert_eq!(file.rows(), Table::parse(&real()).unwrap().rows());
}

#[test]
fn reading_a_file_does_not_move_its_position() {
    let file = File::open(REAL).unwrap();
    Table::build(&file).unwrap();
    assert_eq!(std::io::Seek::stream_position(&mut &file).unwrap(), 0);
}

#[test]
fn a_section_larger_than_any_real_one_is_refused_before_it_is_read() {
    let mut bytes = plain().elf();
    // The size in the second section header: a hole of the file that takes no disk.
    let size = bytes.len() - 2 * 64 + 32;
    bytes[size..size + 8].copy_from_slice(&(1_u64 << 36).to_le_bytes());
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    file.set_len(1 << 37).unwrap();
    assert!(matches!(Table::build(&file), Err(TableError::TooLarge(".eh_frame"))));
}

#[test]
fn instructions_that_many_functions_share_are_not_run_for_ever() {
    // 60,000 bytes of instructions for each of 20,000 functions: more than a billion steps when nobody counts.
    let mut frames = Frames::new("zR", &[&[0x0a, 0x0b].repeat(30_000), SHARED].concat());
    for index in 0..20_000 {
        frames = frames.function(index * 16, 16, &[]);
    }
    let begin = Instant::now();
    assert!(matches!(Table::parse(&frames.elf()), Err(TableError::TooLarge(".eh_frame"))));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[test]
fn functions_within_functions_take_time_in_proportion() {
    // Each holds all that follow, so that each comes back once at its end.
    let mut frames = Frames::new("zR", SHARED);
    for index in 0..20_000 {
        frames = frames.function(index * 8, 400_000 - index * 16, &[0x41, 0x0e, (index % 15) as u8 * 8 + 8]);
    }
    let bytes = frames.elf();
    let begin = Instant::now();
    check(&bytes);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[test]
fn other_files_are_told_from_damaged_ones() {
    assert!(matches!(Table::parse(b"#!/bin/sh\n"), Err(TableError::NotElf)));
    let with = |place: usize, value: u8| {
        let mut bytes = plain().elf();
        bytes[place] = value;
        Table::parse(&bytes)
    };
    assert!(matches!(with(0, 0), Err(TableError::NotElf)));
    // 32 bits; big-endian; ARM.
    for (place, value) in [(4, 1), (5, 2), (18, 183)] {
        assert!(matches!(with(place, value), Err(TableError::Foreign)));
    }
    // The section headers lie behind the end of the file.
    assert!(matches!(with(44, 1), Err(TableError::Damaged("section header table"))));
}
