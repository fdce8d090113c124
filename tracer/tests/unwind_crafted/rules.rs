//! Which rule, and where.

use heaptide::unwind::{Kind, Rule, Table, TableError};

use super::elf::{Frames, TEXT, elf};

/// What every compiler has functions share: CFA = rsp + 8, the return address is right below.
pub const SHARED: &[u8] = &[0x0c, 7, 8, 0x90, 1];

const REMEMBER: u8 = 0x0a;
const RESTORE: u8 = 0x0b;

fn frames() -> Frames {
    Frames::new("zR", SHARED)
}

/// Rules with their addresses, counted from the beginning of the code.
fn rows(frames: Frames) -> Vec<(u32, Rule)> {
    Table::parse(&frames.elf()).unwrap().rows().iter().map(|row| (row.pc, row.rule)).collect()
}

fn rsp(offset: i64) -> Rule {
    Rule::frame(Kind::Rsp, offset, 0).unwrap()
}

/// The rule of a function with `instructions`.
fn rule_of(instructions: &[u8]) -> Rule {
    rows(frames().function(0, 0x100, instructions))[0].1
}

/// `DW_CFA_def_cfa_expression`.
fn cfa_expression(expression: &[u8]) -> Vec<u8> {
    [&[0x0f, expression.len() as u8], expression].concat()
}

/// `DW_CFA_expression`.
fn expression(register: u8, expression: &[u8]) -> Vec<u8> {
    [&[0x10, register, expression.len() as u8], expression].concat()
}

#[test]
fn a_prologue_and_an_epilogue_have_a_row_a_step() {
    // push rbp; mov rbp, rsp; leave
    let body = &[0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x70, 0x0c, 7, 8];
    let saved = |kind| Rule::frame(kind, 16, 16).unwrap();
    let expected = [
        (0, rsp(8)),
        (1, saved(Kind::Rsp)),
        (4, saved(Kind::Rbp)),
        // The slot is still described, though rbp has its value back.
        (0x34, Rule::frame(Kind::Rsp, 8, 16).unwrap()),
        (0x40, Rule::NO_CFI),
    ];
    assert_eq!(rows(frames().function(0, 0x40, body)), expected);
}

#[test]
fn steps_that_change_nothing_have_no_row() {
    let body = &[0x41, 0x83, 3, 0x42, REMEMBER, 0x0e, 16, 0x43, RESTORE];
    assert_eq!(rows(frames().function(0, 0x40, body)), [(0, rsp(8)), (3, rsp(16)), (6, rsp(8)), (0x40, Rule::NO_CFI)]);
}

#[test]
fn code_between_functions_has_no_cfi_and_padding_ends_stacks() {
    let frames = frames().function(0x100, 0x21, &[]).function(0x130, 0x10, &[0x0e, 16]).function(0x150, 0x10, &[]);
    let expected = [
        (0, Rule::NO_CFI),
        (0x100, rsp(8)),
        (0x121, Rule::END),
        (0x130, rsp(16)),
        (0x140, Rule::NO_CFI),
        (0x150, rsp(8)),
        (0x160, Rule::NO_CFI),
    ];
    assert_eq!(rows(frames), expected);
}

#[test]
fn neighbours_with_the_same_rule_share_a_row() {
    let frames = frames().function(0, 0x20, &[]).function(0x20, 0x20, &[]).function(0x40, 0x20, &[]);
    assert_eq!(rows(frames), [(0, rsp(8)), (0x60, Rule::NO_CFI)]);
}

#[test]
fn functions_may_come_in_any_order() {
    let sorted = frames().function(0, 0x20, &[0x0e, 16]).function(0x20, 0x20, &[0x0e, 24]);
    let reversed = frames().function(0x20, 0x20, &[0x0e, 24]).function(0, 0x20, &[0x0e, 16]);
    assert_eq!(rows(sorted), rows(reversed));
}

#[test]
fn of_overlapping_functions_the_one_that_begins_later_holds_until_its_end() {
    let frames = frames().function(0, 0x100, &[0x60, 0x0e, 16]).function(0x10, 0x20, &[0x0e, 24]);
    let expected = [(0, rsp(8)), (0x10, rsp(24)), (0x30, rsp(16)), (0x100, Rule::NO_CFI)];
    assert_eq!(rows(frames), expected);
}

#[test]
fn a_function_that_ends_in_a_later_one_does_not_come_back() {
    let frames = frames().function(0, 0x20, &[]).function(0x10, 0x20, &[0x0e, 24]);
    assert_eq!(rows(frames), [(0, rsp(8)), (0x10, rsp(24)), (0x30, Rule::NO_CFI)]);
}

#[test]
fn of_functions_with_the_same_range_the_last_in_the_file_holds() {
    let frames = frames().function(0, 0x20, &[0x0e, 16]).function(0, 0x20, &[0x0e, 24]);
    assert_eq!(rows(frames), [(0, rsp(24)), (0x20, Rule::NO_CFI)]);
}

#[test]
fn functions_outside_the_code_are_left_out_and_counted() {
    let table = Table::parse(&frames().function(0x20_0000, 0x20, &[]).function(0, 0x20, &[]).elf()).unwrap();
    assert_eq!((table.stats().functions, table.stats().outside, table.rows().len()), (2, 1, 2));
}

#[test]
fn a_function_reaches_no_farther_than_the_code() {
    let rows = rows(frames().function(0xf_ff00, 0x1000, &[]));
    assert_eq!(rows.last(), Some(&(0x10_0000, Rule::NO_CFI)));
}

#[test]
fn a_realigned_frame_is_found_through_its_word_below_rbp() {
    // GCC's way: CFA = *(rbp - 8), rbp saved at rbp.
    let body = [cfa_expression(&[0x76, 0x78, 0x06]), expression(6, &[0x76, 0])].concat();
    assert_eq!(rule_of(&body), Rule::frame(Kind::DerefRbp, -8, 8).unwrap());
}

#[test]
fn rbp_saved_at_a_place_relative_to_itself_is_relative_to_the_cfa_when_that_is_too() {
    let body = [&[0x0c, 6, 16][..], &expression(6, &[0x76, 0])].concat();
    assert_eq!(rule_of(&body), Rule::frame(Kind::Rbp, 16, 16).unwrap());
}

#[test]
fn linkage_stubs_keep_their_threshold() {
    for threshold in [5, 6, 9, 10, 11] {
        let body = cfa_expression(&[0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x30 + threshold, 0x2a, 0x33, 0x24, 0x22]);
        assert_eq!(rule_of(&body), Rule::plt(threshold));
    }
    // With another shift it means something else.
    let body = cfa_expression(&[0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x34, 0x24, 0x22]);
    assert_eq!(rule_of(&body), Rule::NOT_EXPRESSIBLE);
}

#[test]
fn a_signal_frame_is_one_only_in_the_kernels_layout() {
    let frame = |rip: u8| {
        let body =
            [cfa_expression(&[0x77, 0xa0, 1, 0x06]), expression(6, &[0x77, 0xf8, 0]), expression(16, &[0x77, rip, 1])];
        let mut frames = frames();
        frames.share("zRS", &[]);
        rows(frames.function(0, 0x100, &body.concat()))[0].1
    };
    assert_eq!(frame(0xa8), Rule::SIGNAL);
    assert_eq!(frame(0xa0), Rule::NOT_EXPRESSIBLE);
}

#[test]
fn an_undefined_return_address_is_the_end() {
    assert_eq!(rule_of(&[0x07, 16]), Rule::END);
}

#[test]
fn what_no_rule_can_say_is_not_expressible() {
    let cases: [(&str, &[u8]); 8] = [
        ("the CFA in r10", &[0x0c, 10, 0]),
        ("the return address elsewhere", &[0x90, 2]),
        ("the return address in a register", &[0x09, 16, 3]),
        ("rbp in a register", &[0x09, 6, 3]),
        ("rbp saved above the CFA", &[0x11, 6, 0x7e]),
        ("a slot too far down", &[0x86, 32]),
        ("an offset that is no multiple of a word", &[0x0e, 12]),
        ("a frame of 4 MiB", &[0x0e, 0x80, 0x80, 0x80, 2]),
    ];
    for (what, instructions) in cases {
        assert_eq!(rule_of(instructions), Rule::NOT_EXPRESSIBLE, "{what}");
    }
    assert_eq!(rule_of(&[0x86, 31]), Rule::frame(Kind::Rsp, 8, 31 * 8).unwrap());
}

#[test]
fn of_a_function_with_an_unknown_instruction_nothing_is_known() {
    let table = Table::parse(&frames().function(0, 0x20, &[0x41, 0x0e, 16, 0x3f]).function(0x20, 0x20, &[]).elf());
    let table = table.unwrap();
    assert_eq!(table.find(0x10).rule, Rule::NOT_EXPRESSIBLE);
    assert_eq!(table.find(0x20).rule, rsp(8));
    assert_eq!((table.stats().damaged, table.stats().not_expressible()), (1, 1));
}

#[test]
fn an_entry_that_cannot_be_read_makes_the_file_damaged() {
    let mut section = frames().function(0, 0x20, &[]).section();
    let length = section.len();
    section[length - 4..].copy_from_slice(&[0xf0, 0xff, 0, 0]);
    let result = Table::parse(&elf(".eh_frame", &section));
    assert!(matches!(result, Err(TableError::Cfi { section: ".eh_frame", .. })), "{result:?}");
}

#[test]
fn debug_frame_is_read_where_it_is_all_there_is() {
    // One CIE, one FDE with absolute addresses.
    let mut section = vec![0x14, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1];
    section.resize(24, 0);
    section.extend_from_slice(&[0x14, 0, 0, 0, 0, 0, 0, 0]);
    section.extend_from_slice(&TEXT.to_le_bytes());
    section.extend_from_slice(&0x40_u64.to_le_bytes());
    let table = Table::parse(&elf(".debug_frame", &section)).unwrap();
    assert_eq!((table.find(0x3f).rule, table.find(0x40).rule), (rsp(8), Rule::NO_CFI));
    assert!(table.stats().debug_frame && !table.stats().eh_frame);
}

#[test]
fn a_file_without_cfi_has_no_rows_and_no_rule() {
    let table = Table::parse(&elf(".comment", b"made by hand")).unwrap();
    assert_eq!((table.rows(), table.find(0).rule, table.find(u32::MAX).rule), (&[][..], Rule::NO_CFI, Rule::NO_CFI));
}

#[test]
fn the_bias_comes_from_the_executable_segment() {
    let table = Table::parse(&frames().function(0x40, 0x20, &[]).elf()).unwrap();
    assert_eq!((table.base(), table.text()), (TEXT, TEXT..TEXT + 0x10_0000));
    // The segment begins at 0x1000 of the file.
    assert_eq!(table.bias(0x7f00_0000_0000, 0x1000), Some(0x7f00_0000_0000));
    assert_eq!(table.bias(0x7f00_0000_0000, 0x3000), Some(0x7eff_ffff_e000));
    assert_eq!(table.bias(0x7f00_0000_0000, 0), None);
    assert_eq!(table.bias(0x7f00_0000_0000, 0x10_1000), None);
}
