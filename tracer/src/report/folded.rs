//! Folded stacks, for flame graphs: `process;outermost;…;leaf bytes`, one line a stack, sorted.

use std::collections::BTreeMap;
use std::io;

use super::growth;
use super::page::is_printable;
use super::stack::unknown;
use crate::profile::{Frame, Process, Profile, Stack};

/// What stands for a frame that is not known.
const UNKNOWN: &str = "[unknown]";

/// Writes the outstanding bytes (those to be shown) of heap and anonymous mappings; of a recording of growth, what was
/// touched and is still there, without the pages of files. Stacks that read the same are
/// added up; those that hold nothing are left out.
pub fn write(out: &mut dyn io::Write, profile: &Profile) -> io::Result<()> {
    let counts = |stack: &&Stack| growth::counts(profile, stack.memory) && stack.shown.bytes > 0;
    let held: Vec<(&Process, Vec<&Stack>)> =
        profile.processes.iter().map(|process| (process, process.stacks.iter().filter(counts).collect())).collect();
    let several = held.iter().filter(|(_, stacks)| !stacks.is_empty()).count() > 1;
    let mut lines: BTreeMap<String, u64> = BTreeMap::new();
    for (process, stacks) in held {
        let root = if several { format!("{}-{}", process.name, process.pid) } else { process.name.clone() };
        for stack in stacks {
            let bytes = lines.entry(line(&root, stack)).or_default();
            *bytes = bytes.saturating_add(stack.shown.bytes);
        }
    }
    for (stack, bytes) in lines {
        writeln!(out, "{stack} {bytes}")?;
    }
    Ok(())
}

/// The stack, root first.
fn line(root: &str, stack: &Stack) -> String {
    let mut line = String::new();
    push(&mut line, root, "");
    // The outermost frames are not there, or none is.
    if stack.incomplete || stack.frames.is_empty() {
        push(&mut line, UNKNOWN, "");
    }
    for frame in stack.frames.iter().rev() {
        push_frame(&mut line, frame);
    }
    line
}

fn push_frame(line: &mut String, frame: &Frame) {
    match &frame.place {
        Ok(place) => push(line, &place.function, ""),
        Err(_) => push(line, &unknown(frame), ""),
    }
    for inlined in frame.inlined.iter().rev() {
        push(line, &inlined.function, "_[i]");
    }
}

/// Adds a frame: one that holds nothing which ends a frame or a line, and does not begin or end with a space.
fn push(line: &mut String, name: &str, suffix: &str) {
    if !line.is_empty() {
        line.push(';');
    }
    let before = line.len();
    line.extend(name.trim().chars().map(|character| match character {
        ';' => ':',
        character if character.is_whitespace() => ' ',
        character if is_printable(character) => character,
        _ => char::REPLACEMENT_CHARACTER,
    }));
    if line.len() == before {
        line.push_str(UNKNOWN);
    }
    line.push_str(suffix);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::{Inlined, Memory, Place, Unnamed, Usage};

    fn frame(name: &str) -> Frame {
        let place = Ok(Place { function: name.into(), offset: 1, source: None });
        Frame { address: 1, module: None, module_address: 0, build_id: None, place, inlined: Vec::new() }
    }

    fn stack(names: &[String], bytes: u64) -> Stack {
        let frames = names.iter().map(|name| frame(name).into()).collect();
        let shown = Usage::block(bytes);
        Stack { shown, frames, ..Stack::default() }
    }

    fn process(name: &str, stacks: Vec<Stack>) -> Process {
        Process { pid: 7, name: name.to_owned(), stacks, ..Process::default() }
    }

    fn folded(processes: Vec<Process>) -> String {
        let profile = Profile { processes, ..Profile::default() };
        let mut out = Vec::new();
        write(&mut out, &profile).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn other_memory_and_empty_stacks_are_left_out() {
        let mut file = stack(&["map".into()], 5);
        file.memory = Memory::File;
        assert_eq!(folded(vec![process("p", vec![file, stack(&["none".into()], 0)])]), "");
    }

    #[test]
    fn inlined_functions_stand_between_their_holder_and_what_it_calls() {
        let mut outer = frame("outer");
        let inlined = |name: &str| Inlined { function: name.into(), source: None };
        outer.inlined = vec![inlined("innermost"), inlined("inner")];
        let mut stack = stack(&["leaf".into()], 9);
        stack.frames.push(outer.into());
        assert_eq!(folded(vec![process("p", vec![stack])]), "p;outer;inner_[i];innermost_[i];leaf 9\n");
    }

    #[test]
    fn frames_without_a_name_give_their_module_and_address() {
        let mut stack = stack(&["leaf".into()], 9);
        let unnamed = Frame { place: Err(Unnamed::NoSymbol), module_address: 0x1f3a, ..frame("") };
        let named = Frame { module: Some("libfoo.so".into()), ..unnamed.clone() };
        stack.frames.push(named.into());
        stack.frames.push(unnamed.into());
        assert_eq!(folded(vec![process("p", vec![stack])]), "p;[unknown];[libfoo.so+0x1f3a];leaf 9\n");
    }

    #[test]
    fn what_was_cut_off_is_unknown() {
        let mut stack = stack(&["leaf".into()], 9);
        stack.incomplete = true;
        assert_eq!(folded(vec![process("p", vec![stack])]), "p;[unknown];leaf 9\n");
    }

    proptest! {
        /// The rule by which inferno and flamegraph.pl read a line: what is behind the last space is the number.
        #[test]
        fn any_names_give_lines_that_flame_graphs_read(
            name in any::<String>(),
            stacks in prop::collection::vec((prop::collection::vec(any::<String>(), 0..4), 1..u64::MAX / 8), 1..6),
        ) {
            let sum: u64 = stacks.iter().map(|(_, bytes)| bytes).sum();
            let stacks = stacks.iter().map(|(names, bytes)| stack(names, *bytes)).collect();
            let folded = folded(vec![process(&name, stacks)]);
            let mut read = 0;
            for line in folded.strip_suffix('\n').unwrap().split('\n') {
                prop_assert_eq!(line.trim(), line);
                let (stack, number) = line.rsplit_once(' ').unwrap();
                prop_assert!(number.bytes().all(|byte| byte.is_ascii_digit()));
                prop_assert!(!stack.chars().any(char::is_control));
                prop_assert!(stack.split(';').all(|frame| !frame.is_empty() && frame.trim() == frame));
                read += number.parse::<u64>().unwrap();
            }
            prop_assert_eq!(read, sum);
            prop_assert!(folded.lines().is_sorted_by(|one, next| one.rsplit_once(' ') < next.rsplit_once(' ')));
        }

        #[test]
        fn as_many_frames_come_out_as_went_in(names in prop::collection::vec(any::<String>(), 1..8)) {
            let folded = folded(vec![process("p", vec![stack(&names, 1)])]);
            prop_assert_eq!(folded.matches(';').count(), names.len());
        }
    }
}
