use super::*;

/// A function in the shape of the C library's, up to `end`, and two others that it calls:
///
/// ```text
///       push %rbp; push %rbx; mov %rdi,%rbx; cmp $0x400,%rdi; ja slow
///       mov (%rsi),%rax; test $0xf,%al; jne die; pop %rbx; pop %rbp; ret
/// slow: call f; test %rax,%rax; je fail; pop %rbx; pop %rbp; ret
/// fail: xor %eax,%eax; pop %rbx; pop %rbp; ret
/// die:  call g
/// end:
/// f:    ret
/// g:    hlt; jmp g
/// ```
///
/// The other functions here differ from it as their comments say.
const PLAIN: (&str, u64) =
    ("55534889fb4881ff00040000770a488b06a80f75155b5dc3e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd", 0x2f);

/// Functions without a cover.
const REFUSED: &[(&str, u64, Refusal)] = &[
    // No jump behind the block.
    (
        "55534889fb4881ff000400007708488b06a80f5b5dc3e80d0000004885c074035b5dc331c05b5dc3c3f4ebfd",
        0x28,
        Refusal::Uncovered,
    ),
    // The size is overwritten before the site.
    (
        "55534889fb4881ff000400007714488b06a80fbb01000000bf0100000075155b5dc3e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x39,
        Refusal::OutOfReach,
    ),
    // The size is overwritten before the call.
    (
        "55534889fb4881ff00040000770a488b06a80f751f5b5dc3bb01000000bf01000000e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x39,
        Refusal::OutOfReach,
    ),
    // The result is changed behind the site.
    (
        "55534889fb4881ff00040000770e488b06a80f75194883c0105b5dc3e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x33,
        Refusal::Uncovered,
    ),
    // Another result is returned than at the site.
    (
        "55534889fb4881ff00040000770d488b06a80f7518488b015b5dc3e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x32,
        Refusal::Uncovered,
    ),
    // A part of the result is overwritten behind the site.
    (
        "55534889fb4881ff00040000770c488b06a80f7517b0015b5dc3e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x31,
        Refusal::Uncovered,
    ),
    // A loop around the only jump, with the same block.
    (
        "55534889fb4881ff00040000770f488b06a80f751a488b09ebf75b5dc3e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x34,
        Refusal::NoCheaper,
    ),
    // A loop around the site, left by a way without one.
    (
        "55534889fb4881ff000400007711488b06a80f751c48ffc9e302ebf55b5dc3e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x36,
        Refusal::Uncovered,
    ),
    // A system call between the block and the return.
    (
        "55534889fb4881ff00040000770c488b06a80f75170f055b5dc3e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x31,
        Refusal::UntoldCall,
    ),
    // A jump to another function.
    ("55534889fb4881ff00040000770f488b06a80f75035b5dc3e801000000c3f4ebfd", 0x1d, Refusal::Elsewhere),
    // A computed jump.
    (
        "55534889fb4881ff00040000770a488b06a80f75175b5dc3ffe1e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x31,
        Refusal::ComputedJump,
    ),
    // A computed call.
    (
        "55534889fb4881ff00040000770a488b06a80f75125b5dc3ffd14885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x2c,
        Refusal::UntoldCall,
    ),
    // A call behind the block on each way.
    (
        "55534889fb4881ff000400007715488b06a80f75204889c3e81d0000004889d85b5dc3e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x3a,
        Refusal::Uncovered,
    ),
    // The frame pointer is overwritten and was not saved.
    (
        "51534889fb4881ff00040000770c31ed488b06a80f75155b59c3e8120000004885c074035b59c331c05b59c3e801000000c3f4ebfd",
        0x31,
        Refusal::OutOfReach,
    ),
    // The saved frame pointer is overwritten.
    (
        "55534889fb4881ff00040000771131ed48894c2408488b06a80f75155b5dc3e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x36,
        Refusal::OutOfReach,
    ),
    // The stack is aligned.
    (
        "55534889fb4881ff00040000770e4883e4f0488b06a80f75155b5dc3e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x33,
        Refusal::OutOfReach,
    ),
    // A jump into an instruction.
    (
        "55534889fb4881ff000400007713ffc97402ba90909090488b06a80f75155b5dc3e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x38,
        Refusal::Unreadable,
    ),
    // The slow way passes the fast one's site.
    (
        "55534889fb4881ff0004000090488b06a80f75035b5dc3e80d0000004885c074035b5dc331c05b5dc3c3f4ebfd",
        0x29,
        Refusal::NoCheaper,
    ),
    // The same with 2.
    (
        "55534889fb4881ff00040000770a488b06a80f75155b5dc3e81b0000004885c074035b5dc331c05b5dc3bf02000000e80500000031dbebe0c3415783e7014189ffe8f2ffffff4585ff7503415fc3f4ebfd",
        0x38,
        Refusal::OutOfReach,
    ),
];

/// Functions with one, and the sites: in the order of their addresses, with the condition that must hold.
const COVERED: &[(&str, u64, &[&str])] = &[
    // A second jump behind the site.
    (
        "55534889fb4881ff000400007710488b06a80f751b4885c97401905b5dc3e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x35,
        &["0x13 done if 4", "0x1e begin", "0x26 done if 5 or fails"],
    ),
    // A loop around the site.
    (
        "55534889fb4881ff00040000770f488b06a80f751a48ffc975f45b5dc3e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x34,
        &["0x18 done if 4", "0x1d begin", "0x25 done if 5 or fails"],
    ),
    // A jump from behind the site to right behind it, past another block.
    (
        "55534889fb4881ff000400007714488b06a80f751f48ffc97805488b01ebf65b5dc3e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x39,
        &["0x18 done if 8", "0x22 begin", "0x2a done if 5 or fails"],
    ),
    // A loop with the same block, left by a jump.
    (
        "55534889fb4881ff00040000770f488b06a80f751a48ffc975f75b5dc3e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x34,
        &["0x18 done if 4", "0x1d begin", "0x25 done if 5 or fails"],
    ),
    // A way past the site joins behind it.
    (
        "55534889fb4881ff00040000770f488b064885c97404a80f75155b5dc3e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x34,
        &["0x14 done", "0x1d begin", "0x25 done if 5 or fails"],
    ),
    // A call behind the block on one way, past which the site is another one.
    (
        "55534889fb4881ff00040000770a488b06a80f75275b5dc3e8240000004885c074154889c34885c97407e812000000eb004889d85b5dc331c05b5dc3e801000000c3f4ebfd",
        0x41,
        &["0x13 done if 4", "0x18 begin", "0x28 done if 4", "0x2f done"],
    ),
    // A word beside the saved frame pointer is written.
    (
        "55534889fb4881ff00040000771031ed48890c24488b06a80f75155b5dc3e8120000004885c074035b5dc331c05b5dc3e801000000c3f4ebfd",
        0x35,
        &["0x19 done if 4", "0x1e begin", "0x26 done if 5 or fails"],
    ),
    // The failed assertion may return, and what follows it is a part of the function.
    (
        "55534889fb4881ff00040000770a488b06a80f75155b5dc3e8140000004885c074035b5dc331c05b5dc3e802000000ebe7c3f4ebfd",
        0x31,
        &["0x13 done if 4", "0x18 begin", "0x20 done if 5 or fails", "0x2a begin"],
    ),
    // What is called never returns when its argument is 1.
    (
        "55534889fb4881ff00040000770a488b06a80f75155b5dc3e81c0000004885c074035b5dc331c05b5dc3bf01000000e806000000488b03ebdfc3415783e7014189ffe8f2ffffff4585ff7503415fc3f4ebfd",
        0x39,
        &["0x13 done if 4", "0x18 begin", "0x20 done if 5 or fails"],
    ),
];

fn covered(hex: &str, end: u64, prices: &Prices) -> Result<Vec<Part>, Refusal> {
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    cover(bytes.as_slice(), &(0..end), 0, prices)
}

fn told(parts: &[Part]) -> Vec<String> {
    let told = |part: &Part| {
        let purpose = if part.purpose == Purpose::Begin { "begin" } else { "done" };
        let condition = part.condition.map(|condition| {
            format!(" if {}{}", condition.number, if condition.fails_else { " or fails" } else { "" })
        });
        format!("{:#x} {purpose}{}", part.at, condition.unwrap_or_default())
    };
    parts.iter().map(told).collect()
}

#[test]
fn a_fast_way_has_one_site_and_a_slow_one_two() {
    let (hex, end) = PLAIN;
    let parts = covered(hex, end, &Prices::of_old()).unwrap();
    assert_eq!(told(&parts), ["0x13 done if 4", "0x18 begin", "0x20 done if 5 or fails"]);
    let [fast, begin, slow] = parts.as_slice() else { panic!("{parts:?}") };
    // The size is in rdi; on the slow way it is in rbx when the call has returned, and the block in rax.
    assert_eq!((fast.size, begin.size, slow.size), (Some(7), Some(7), Some(3)));
    assert_eq!((fast.block, begin.block, slow.block), (Some(0), None, Some(0)));
    assert!(parts.iter().all(|part| part.depth == 16 && part.frame_pointer.is_none()));
    assert!(fast.is_alone && !begin.is_alone && !slow.is_alone);
}

#[test]
fn what_cannot_be_proven_is_refused() {
    for &(hex, end, refusal) in REFUSED {
        assert_eq!(covered(hex, end, &Prices::of_old()), Err(refusal), "{hex}");
    }
}

#[test]
fn each_way_has_its_site_where_it_is_proven() {
    for &(hex, end, expected) in COVERED {
        assert_eq!(told(&covered(hex, end, &Prices::of_old()).unwrap()), expected, "{hex}");
    }
}

#[test]
fn a_frame_pointer_is_read_where_it_was_saved() {
    let (hex, end, _) = COVERED.iter().find(|(_, _, sites)| sites[0] == "0x19 done if 4").unwrap();
    let parts = covered(hex, *end, &Prices::of_old()).unwrap();
    // `xor %ebp,%ebp` is on the fast way alone.
    assert_eq!(parts.iter().map(|part| part.frame_pointer).collect::<Vec<_>>(), [Some(8), None, None]);
}

#[test]
fn no_site_is_where_the_kernel_steps() {
    let (hex, end) = PLAIN;
    let mut prices = [9_000.0; Class::COUNT];
    prices[Class::Push.index()] = 700.0;
    assert_eq!(covered(hex, end, &Prices::measured(prices, 500.0)), Err(Refusal::UntoldCall));
    prices[Class::Call.index()] = 700.0;
    assert_eq!(covered(hex, end, &Prices::measured(prices, 500.0)), Err(Refusal::Uncovered));
}

#[test]
fn no_code_and_too_much_are_refused() {
    assert_eq!(covered("", 0, &Prices::of_old()), Err(Refusal::Elsewhere));
    assert_eq!(covered("", 8, &Prices::of_old()), Err(Refusal::Unreadable));
    assert_eq!(covered("c3", u64::MAX, &Prices::of_old()), Err(Refusal::TooLarge));
    // A function that returns what it was given has no block to tell of.
    assert_eq!(covered("4889f8c3", 4, &Prices::of_old()), Err(Refusal::Uncovered));
    // A function that only ever fails: xor %eax,%eax; ret
    assert_eq!(covered("31c0c3", 3, &Prices::of_old()), Err(Refusal::NoCheaper));
    // One that never returns: jmp to itself
    assert_eq!(covered("ebfe", 2, &Prices::of_old()), Err(Refusal::NoCheaper));
}
