//! Where the probes of real functions go: `tests/prologues/functions.txt`, compared with `plans.txt` beside it, and
//! `bodies.txt`, compared with `covers.txt`.
//!
//! `HEAPTIDE_BLESS=1 cargo test -p heaptide --test sites` accepts what is chosen now; read the difference first.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read its files has failed")]

use std::{collections::BTreeMap, fs, path::Path};

use heaptide::{
    allocator::{FoundFunction, Role},
    sites::{Code, Part, Prices, Purpose, Site},
};
use heaptide_common::{
    Signature,
    signature::{Argument, Cookie},
};

/// Names of registers, by their numbers in instructions.
const REGISTERS: [&str; 16] =
    ["rax", "rcx", "rdx", "rbx", "-", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

/// What the manual pages say of the arguments: those with size, count, old block, and the result's place.
fn role(name: &str) -> Role {
    let argument = |index| Argument::new(index).unwrap();
    let (size, count, old, out) = match name {
        "free" | "_ZdlPv" => return Role::Release,
        "malloc" | "_Znwm" => (0, None, None, None),
        "calloc" => (1, Some(0), None, None),
        "realloc" => (1, None, Some(0), None),
        "posix_memalign" => (2, None, None, Some(0)),
        "aligned_alloc" => (1, None, None, None),
        _ => panic!("{name}"),
    };
    Role::Allocate(Signature {
        size: argument(size),
        count: count.map(argument),
        old: old.map(argument),
        out: out.map(argument),
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// `debian-12 glibc free: +0x9 push %rbp (old rdi)`
fn line(function: &str) -> String {
    let fields: Vec<_> = function.split(' ').collect();
    let [release, allocator, name, size, hex] = fields[..] else { panic!("{function}") };
    let size = size.parse().unwrap();
    let found =
        FoundFunction { name: name.into(), aliases: Vec::new(), file_offset: 0, size, room: size, role: role(name) };
    let prices = Prices::of_old();
    let Site { plan, cookie, .. } = Site::choose(bytes(hex).as_slice(), &found, &prices);
    let fields = [("size", cookie.size()), ("count", cookie.count()), ("old", cookie.old()), ("out", cookie.out())];
    let registers: Vec<_> = fields
        .into_iter()
        .filter(|&(_, register)| Cookie::named(register))
        .map(|(field, register)| format!("{field} {}", REGISTERS[register as usize]))
        .collect();
    let depth = cookie.depth();
    let depth = if depth > 0 { format!("; {depth} bytes pushed") } else { String::new() };
    let mut line = format!(
        "{release} {allocator} {name}: +0x{:x} {} ({}{depth})",
        plan.at,
        plan.instruction,
        registers.join(", ")
    );
    if plan.skips_null {
        line += ", not for NULL";
    }
    if !prices.is_emulated(plan.class) {
        line += ", stepped";
    }
    match plan.fallback {
        Some(fallback) => format!("{line}: {fallback}"),
        None => line,
    }
}

/// Pieces of a file's code, by their places.
struct Pieces(BTreeMap<u64, Vec<u8>>);

impl Code for Pieces {
    fn read(&self, offset: u64, bytes: &mut [u8]) -> usize {
        let Some((begin, piece)) = self.0.range(..=offset).next_back() else { return 0 };
        let rest = usize::try_from(offset - begin).ok().and_then(|within| piece.get(within..)).unwrap_or_default();
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        count
    }
}

/// `debian-12 glibc malloc:`, and a line for each of its sites.
fn covered(function: &str) -> String {
    let fields: Vec<_> = function.split(' ').collect();
    let [release, allocator, name, begin, size, pieces @ ..] = fields.as_slice() else { panic!("{function}") };
    let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let pieces = pieces.iter().map(|piece| piece.split_once(':').unwrap());
    let code = Pieces(pieces.map(|(at, code)| (hex(at), bytes(code))).collect());
    let (file_offset, size) = (hex(begin), size.parse().unwrap());
    let found =
        FoundFunction { name: (*name).into(), aliases: Vec::new(), file_offset, size, room: size, role: role(name) };
    let Site { cover, .. } = Site::choose(&code, &found, &Prices::of_old());
    match cover.unwrap() {
        Ok(parts) => {
            let lines = parts.iter().map(|(part, _)| format!("\n  {}", part_line(part)));
            format!("{release} {allocator} {name}:{}", lines.collect::<String>())
        }
        Err(refusal) => format!("{release} {allocator} {name}: {refusal}"),
    }
}

/// `+0x157 jne 0x98c20: done, size rbx, block rax, 40 bytes pushed, rbp saved at 16, if 4`
fn part_line(part: &Part) -> String {
    let purpose = match part.purpose {
        Purpose::Begin => "begin",
        Purpose::Done => "done",
        Purpose::Handover => "handover",
    };
    let mut words = vec![purpose.to_owned()];
    words.extend(part.size.map(|register| format!("size {}", REGISTERS[usize::from(register)])));
    words.extend(part.block.map(|register| format!("block {}", REGISTERS[usize::from(register)])));
    words.push(format!("{} bytes pushed", part.depth));
    words.extend(part.frame_pointer.map(|bytes| format!("rbp saved at {bytes}")));
    words.extend(part.condition.map(|condition| {
        format!("if {}{}", condition.number, if condition.fails_else { ", else it fails" } else { "" })
    }));
    if part.is_alone {
        words.push("alone".to_owned());
    }
    format!("+{:#x} {}: {}", part.at, part.instruction, words.join(", "))
}

/// Compares what is chosen now for each line of a file with the file beside it.
fn compare(functions: &str, golden: &str, line: fn(&str) -> String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/prologues");
    let functions = fs::read_to_string(folder.join(functions)).unwrap();
    let plans: String = functions.lines().map(|function| line(function) + "\n").collect();
    let golden = folder.join(golden);
    if std::env::var_os("HEAPTIDE_BLESS").is_some() {
        fs::write(&golden, &plans).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_else(|error| panic!("{}: {error}", golden.display()));
    for (plan, expected) in plans.lines().zip(expected.lines()) {
        assert_eq!(plan, expected);
    }
    assert_eq!(plans.lines().count(), expected.lines().count());
}

#[test]
fn probes_of_real_functions_go_where_they_were_seen_to_belong() {
    compare("functions.txt", "plans.txt", line);
}

#[test]
fn sites_that_take_the_place_of_entry_and_return_are_those_that_were_seen_to() {
    compare("bodies.txt", "covers.txt", covered);
}
