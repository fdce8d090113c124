use super::*;

const RET: u8 = 0xc3;

/// `endbr64`
const ENDBR: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

/// A function with one argument whose return is probed.
const ALLOCATES: Needs<'_> = Needs { arguments: &[0], is_fixed: false, is_returning: true, block: None };

/// A function that frees its first argument.
const RELEASES: Needs<'_> = Needs { arguments: &[0], is_fixed: false, is_returning: false, block: Some(0) };

fn planned(bytes: &[&[u8]], needs: Needs<'_>) -> Plan {
    let code = bytes.concat();
    plan(code.as_slice(), 0, code.len() as u64, needs, &Prices::of_old())
}

#[test]
fn a_function_that_begins_well_is_probed_there() {
    // push %rbp; ret
    let plan = planned(&[&[0x55, RET]], ALLOCATES);
    assert_eq!((plan.at, plan.registers.as_slice(), plan.fallback), (0, &[7][..], None));
}

#[test]
fn the_instruction_behind_an_endbr_is_as_good_as_the_begin() {
    // endbr64; push %rbp
    let plan = planned(&[&ENDBR, &[0x55, 0x5d, RET]], ALLOCATES);
    assert_eq!((plan.at, plan.length, plan.class, plan.depth), (4, 1, Class::Push, 0));
}

#[test]
fn an_argument_is_read_where_it_has_gone() {
    // mov %rdi,%rsi; mov $1,%edi; ja +0
    let plan = planned(&[&[0x48, 0x89, 0xfe, 0xbf, 1, 0, 0, 0, 0x77, 0, RET]], ALLOCATES);
    assert_eq!((plan.at, plan.registers.as_slice()), (8, &[6][..]));
    // The same where the programs read fixed registers.
    let plan = planned(&[&[0x48, 0x89, 0xfe, 0xbf, 1, 0, 0, 0, 0x77, 0, RET]], Needs { is_fixed: true, ..ALLOCATES });
    assert_eq!((plan.at, plan.fallback), (0, Some(Fallback::OutOfReach)));
}

#[test]
fn an_argument_that_is_gone_leaves_the_begin() {
    // xor %edi,%edi; push %rbp
    let plan = planned(&[&[0x31, 0xff, 0x55, 0x5d, RET]], ALLOCATES);
    assert_eq!((plan.at, plan.registers.as_slice(), plan.fallback), (0, &[7][..], Some(Fallback::OutOfReach)));
}

#[test]
fn a_return_is_probed_only_where_the_stack_has_not_moved() {
    // sub $0x18,%rsp; test %rdi,%rdi; jb +0
    let code: &[u8] = &[0x48, 0x83, 0xec, 0x18, 0x48, 0x85, 0xff, 0x72, 0, RET];
    assert_eq!(planned(&[code], ALLOCATES).fallback, Some(Fallback::OutOfReach));
    // A release is probed at its begin alone: how far the stack has moved is enough to know.
    let plan = planned(&[code], Needs { block: None, ..RELEASES });
    assert_eq!((plan.at, plan.depth), (7, 0x18));
}

#[test]
fn a_release_of_nothing_is_let_go_before_the_probe() {
    // test %rdi,%rdi; je out; push %rbp; pop %rbp; out: ret
    let plan = planned(&[&[0x48, 0x85, 0xff, 0x74, 2, 0x55, 0x5d, RET]], RELEASES);
    assert_eq!((plan.at, plan.class, plan.skips_null), (5, Class::Push, true));
    // test %rdi,%rdi; jne on; ret; on: push %rbp; pop %rbp; ret
    let plan = planned(&[&[0x48, 0x85, 0xff, 0x75, 1, RET, 0x55, 0x5d, RET]], RELEASES);
    assert_eq!((plan.at, plan.class, plan.skips_null), (6, Class::Push, true));
    // An allocation without bytes is one.
    let plan = planned(&[&[0x48, 0x85, 0xff, 0x74, 2, 0x55, 0x5d, RET]], ALLOCATES);
    assert_eq!((plan.at, plan.class, plan.skips_null), (3, Class::ConditionalJump, false));
    // A test of something else parts the calls.
    // test %rsi,%rsi; je out; push %rbp; pop %rbp; out: ret
    let plan = planned(&[&[0x48, 0x85, 0xf6, 0x74, 2, 0x55, 0x5d, RET]], RELEASES);
    assert_eq!((plan.at, plan.skips_null), (3, false));
}

#[test]
fn a_block_is_reported_before_it_can_be_somebody_elses() {
    // mov %rdi,(%rsi); push %rbp: the store may put the block into a list
    let plan = planned(&[&[0x48, 0x89, 0x3e, 0x55, 0x5d, RET]], RELEASES);
    assert_eq!((plan.at, plan.fallback), (0, Some(Fallback::NoCheaper)));
    // mov %rdi,-8(%rsp): a word of its own stack
    let plan = planned(&[&[0x48, 0x89, 0x7c, 0x24, 0xf8, 0x55, 0x5d, RET]], RELEASES);
    assert_eq!(plan.at, 5);
}

#[test]
fn a_place_that_a_loop_comes_back_to_is_not_taken() {
    // mov %rdi,%rax; again: push %rbp; pop %rbp; dec %rsi; jne again; ret
    let code: &[u8] = &[0x48, 0x89, 0xf8, 0x55, 0x5d, 0x48, 0xff, 0xce, 0x75, 0xf9, RET];
    assert_eq!(planned(&[code], ALLOCATES).fallback, Some(Fallback::SeveralWays));
    // Into the middle of the instruction before: the same bytes, read in another way, lead to the place as well.
    let code: &[u8] = &[0x48, 0x89, 0xf8, 0x55, 0x5d, 0x48, 0xff, 0xce, 0x75, 0xf7, RET];
    assert_eq!(planned(&[code], ALLOCATES).fallback, Some(Fallback::SeveralWays));
    // Past the place.
    let code: &[u8] = &[0x48, 0x89, 0xf8, 0x55, 0x5d, 0x48, 0xff, 0xce, 0x75, 0xfa, RET];
    assert_eq!(planned(&[code], ALLOCATES).at, 3);
}

#[test]
fn a_part_of_the_function_elsewhere_can_come_back() {
    // mov %rdi,%rax; at: push %rbp; pop %rbp; jne rare; ret; (the function ends) rare: jmp at
    let code: &[u8] = &[0x48, 0x89, 0xf8, 0x55, 0x5d, 0x75, 1, RET, 0xeb, 0xf9];
    let plan = plan(code, 0, 8, ALLOCATES, &Prices::of_old());
    assert_eq!(plan.fallback, Some(Fallback::SeveralWays));
}

#[test]
fn a_jump_that_is_computed_could_lead_anywhere() {
    // mov %rdi,%rax; push %rbp; pop %rbp; jmp *%rsi
    let plan = planned(&[&[0x48, 0x89, 0xf8, 0x55, 0x5d, 0xff, 0xe6]], ALLOCATES);
    assert_eq!(plan.fallback, Some(Fallback::ComputedJump));
    // jmp *0(%rip): to another function, as a PLT does
    let plan = planned(&[&[0x48, 0x89, 0xf8, 0x55, 0x5d, 0xff, 0x25, 0, 0, 0, 0]], ALLOCATES);
    assert_eq!(plan.at, 3);
}

#[test]
fn where_another_function_begins_this_one_ends() {
    // mov %rdi,%rax; push %rbp: somebody else's
    let code: &[u8] = &[0x48, 0x89, 0xf8, 0x55, 0x5d, RET];
    assert_eq!(plan(code, 0, 3, ALLOCATES, &Prices::of_old()).fallback, Some(Fallback::NoCheaper));
    assert_eq!(plan(code, 0, 4, ALLOCATES, &Prices::of_old()).at, 3);
    // Not even the first instruction is known to be its own.
    assert_eq!(plan(code, 0, 1, ALLOCATES, &Prices::of_old()).fallback, Some(Fallback::Unreadable));
}

#[test]
fn what_is_no_code_leaves_the_begin() {
    assert_eq!(planned(&[&[0x06, 0x06]], ALLOCATES).fallback, Some(Fallback::Unreadable));
    assert_eq!(planned(&[&[]], ALLOCATES).registers, [7]);
}

#[test]
fn nothing_is_sought_behind_a_call() {
    // mov %rdi,%rbx; call +0; push %rbp
    let plan = planned(&[&[0x48, 0x89, 0xfb, 0xe8, 0, 0, 0, 0, 0x55, 0x5d, RET]], ALLOCATES);
    assert_eq!((plan.at, plan.class), (3, Class::Call));
}

#[test]
fn where_all_is_emulated_the_begin_is_as_good_as_any() {
    let all = Prices::measured([500.0; Class::COUNT], 400.0);
    let code: &[u8] = &[0x48, 0x89, 0xf8, 0x55, 0x5d, RET];
    let plan = plan(code, 0, code.len() as u64, ALLOCATES, &all);
    assert_eq!((plan.at, plan.fallback), (0, None));
}
