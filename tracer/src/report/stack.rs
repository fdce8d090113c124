//! One stack with what it holds, and the order of stacks.

use std::cmp::Reverse;
use std::io;

use super::page::Page;
use super::words::{count, human};
use crate::profile::{Estimate, Frame, Memory, Process, Source, Stack};

/// The stacks of a process that hold memory of the wanted kinds, largest first.
pub(super) fn ranked(process: &Process, wanted: impl Fn(Memory) -> bool) -> Vec<&Stack> {
    let holds = |stack: &&Stack| wanted(stack.memory) && (stack.shown.bytes > 0 || stack.shown.blocks > 0);
    let mut stacks: Vec<&Stack> = process.stacks.iter().filter(holds).collect();
    stacks.sort_by_key(|stack| rank(stack));
    stacks
}

/// What to sort by: largest shown first.
pub(super) const fn rank(stack: &Stack) -> Reverse<(u64, u64)> {
    Reverse((stack.shown.bytes, stack.shown.blocks))
}

/// Writes a stack: the line that scripts look for, then its frames, leaf first. `note` follows that line.
pub(super) fn write(page: &mut Page<'_>, stack: &Stack, indent: &str, note: &str) -> io::Result<()> {
    // Plural even for one: memleak's readers match these very words.
    let (bytes, blocks) = (stack.shown.bytes, stack.shown.blocks);
    let what = if Memory::TOUCHED.contains(&stack.memory) { "pages" } else { "allocations" };
    let kind = kind(stack.memory);
    let estimate = stack.estimate.as_ref().map(estimated).unwrap_or_default();
    page.line(format_args!("{indent}{bytes} bytes in {blocks} {what} from stack{kind}{note}{estimate}"))?;
    write_frames(page, stack, indent)
}

/// Writes a stack's frames, leaf first.
pub(super) fn write_frames(page: &mut Page<'_>, stack: &Stack, indent: &str) -> io::Result<()> {
    let mut index = 0;
    for frame in &stack.frames {
        let module = frame.module.as_ref().map(|module| format!(" [{}]", unbracketed(module))).unwrap_or_default();
        for inlined in &frame.inlined {
            let source = source(inlined.source.as_ref());
            page.line(format_args!("{indent}  {index:>2} {}{source}{module} (inlined)", inlined.function))?;
            index += 1;
        }
        match &frame.place {
            Ok(place) => {
                let (function, offset, source) = (&place.function, place.offset, source(place.source.as_ref()));
                page.line(format_args!("{indent}  {index:>2} {function}+{offset:#x}{source}{module}"))?;
            }
            Err(reason) => {
                let (address, what, reason) = (frame.address, unknown(frame), reason.reason());
                page.line(format_args!("{indent}  {index:>2} {address:#x} {what} ({reason})"))?;
            }
        }
        index += 1;
    }
    if stack.frames.is_empty() {
        page.line(format_args!("{indent}     (no stack was taken)"))?;
    } else if stack.truncated {
        page.line(format_args!("{indent}     (deeper than can be kept: outer callers are missing)"))?;
    } else if stack.incomplete {
        page.line(format_args!("{indent}     (outer callers are missing)"))?;
    }
    Ok(())
}

/// ` (estimated from 7 blocks; 95 % sure: 1.4 MiB to 7.4 MiB)`.
fn estimated(Estimate { recorded, low_bytes, high_bytes }: &Estimate) -> String {
    let (blocks, low, high) = (count(*recorded, "block"), human(*low_bytes), human(*high_bytes));
    format!(" (estimated from {blocks}; 95 % sure: {low} to {high})")
}

/// How a frame without a name is called: `[libfoo.so+0x1f3a]`, or `[unknown]`.
pub(super) fn unknown(frame: &Frame) -> String {
    match &frame.module {
        Some(module) => format!("[{}+{:#x}]", unbracketed(module), frame.module_address),
        None => "[unknown]".to_owned(),
    }
}

/// A module's name, which stands in brackets here; some have them already (`[vdso]`, `[jit]`).
fn unbracketed(module: &str) -> &str {
    module.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(module)
}

/// ` (file.c:88)`: the file's name alone, since the directory is that of the machine that built it.
fn source(source: Option<&Source>) -> String {
    let Some((path, line)) = source else { return String::new() };
    let file = path.rsplit('/').next().unwrap_or(path);
    // Compilers give line 0 to what no line stands for.
    if *line == 0 { format!(" ({file})") } else { format!(" ({file}:{line})") }
}

const fn kind(memory: Memory) -> &'static str {
    match memory {
        Memory::Heap => "",
        Memory::Anonymous => " (anonymous mapping)",
        Memory::File => " (mapped file)",
        Memory::ThreadStack => " (thread stack)",
        Memory::Allocator => " (the allocator's own)",
        Memory::TouchedHeap => " (touched, heap)",
        Memory::TouchedAnonymous => " (touched, anonymous)",
        Memory::TouchedStack => " (touched, stack)",
        Memory::TouchedFileCopy => " (touched, copy of a file)",
        Memory::TouchedFile => " (touched, file)",
        Memory::TouchedShared => " (touched, shared)",
        Memory::TouchedHuge => " (touched, huge pages)",
    }
}
