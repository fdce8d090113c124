//! The comparison, as multisets: how many allocations each stack has, on both sides.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::rc::Rc;

use anyhow::{Result, bail, ensure};

use super::{Code, MOST_FRAMES, Walked};
use crate::profile::{Process, Stack};

/// Differences that are shown in full.
const SHOWN: usize = 3;

/// Memory that the allocator took from the kernel, as heaptide's JSON calls it.
const ALLOCATOR: &str = "allocator";

/// What a comparison found to be equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Equality {
    /// Distinct stacks that are equal to their last frame.
    pub stacks: usize,
    /// Allocations.
    pub allocations: u64,
    /// Frames of all distinct stacks.
    pub frames: usize,
    /// Frames of the deepest stack.
    pub deepest: usize,
    /// Allocations whose stack was reported without its outer frames; what was reported is equal.
    pub cut: u64,
}

/// A stack: the function of its first frame, and the addresses of the others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    memory: String,
    module: String,
    function: Rc<str>,
    callers: Vec<u64>,
    truncated: bool,
}

impl Key {
    /// Of a stack whose first frame is the caller of the allocation function; `None` when its function has no name.
    fn of(memory: &str, addresses: &[u64], truncated: bool, code: &Code) -> Option<Self> {
        let (leaf, callers) = addresses.split_first()?;
        let place = code.place(leaf - 1);
        let (memory, callers) = (memory.to_owned(), callers.to_vec());
        Some(Self { memory, module: place.module, function: place.function?, callers, truncated })
    }

    fn leaf(&self) -> (&str, &str, &str) {
        (&self.memory, &self.module, &self.function)
    }

    /// Whether it is the other without outer frames.
    fn is_cut_of(&self, whole: &Self) -> bool {
        self.leaf() == whole.leaf()
            && self.callers.len() < whole.callers.len()
            && whole.callers.starts_with(&self.callers)
    }

    /// Frames that both have in common, from the leaf on.
    fn in_common(&self, other: &Self) -> usize {
        self.callers.iter().zip(&other.callers).take_while(|(mine, others)| mine == others).count()
    }
}

type Counts = BTreeMap<Key, u64>;

/// Fails with both sides of the first few stacks that differ, side by side.
///
/// Of at most `cut` allocations the reported stack may lack outer frames: so many walks ended early, by what heaptide
/// says itself. The frames that it has must be equal all the same, and no stack may be reported so that is none.
///
/// Stacks whose first function allocates nothing of that kind in `walked` are not looked at: the workload did not ask
/// for them (the C library allocates too). A stack with a wrong first function is found, since the right one is missing.
pub fn same(name: &str, walked: &[Walked], process: &Process, code: &Code, cut: u64) -> Result<Equality> {
    let expected = expected(walked, code)?;
    let leaves: BTreeSet<_> = expected.keys().map(Key::leaf).collect();
    let (reported, within) = reported(process, code)?;
    let reported = reported.into_iter().filter(|(key, _)| leaves.contains(&key.leaf())).collect();
    let mut difference = Difference { within, ..Difference::of(&expected, &reported) };
    let stacks = expected.len() - difference.missing.len();
    let cut = difference.take_cut(cut);
    if !difference.is_nothing() {
        bail!("{name}: of {} stacks, {}", expected.len(), difference.text(code));
    }
    let frames = || expected.keys().map(|key| key.callers.len() + 1);
    let (allocations, deepest) = (expected.values().sum(), frames().max().unwrap_or(0));
    Ok(Equality { stacks, allocations, frames: frames().sum(), deepest, cut })
}

/// Allocations by stack that only one side has.
#[derive(Debug, Default)]
struct Difference {
    missing: Counts,
    invented: Counts,
    /// Of what the allocator took: stacks that end within the allocator.
    within: u64,
}

impl Difference {
    fn of(expected: &Counts, reported: &Counts) -> Self {
        let more = |mine: &Counts, others: &Counts| -> Counts {
            let left = mine
                .iter()
                .map(|(key, &count)| (key.clone(), count.saturating_sub(others.get(key).copied().unwrap_or_default())));
            left.filter(|&(_, count)| count > 0).collect()
        };
        Self { missing: more(expected, reported), invented: more(reported, expected), within: 0 }
    }

    fn is_nothing(&self) -> bool {
        self.missing.is_empty() && self.invented.is_empty()
    }

    /// Takes out at most `most` allocations whose reported stack is the leaf side of a missing one; says how many.
    /// Longer ones first: they have fewer to belong to.
    fn take_cut(&mut self, most: u64) -> u64 {
        let mut taken = 0;
        let mut shortened: Vec<Key> = self.invented.keys().filter(|key| !key.truncated).cloned().collect();
        shortened.sort_by_key(|key| Reverse(key.callers.len()));
        for short in shortened {
            for (_, missing) in self.missing.iter_mut().filter(|(whole, _)| short.is_cut_of(whole)) {
                let Some(invented) = self.invented.get_mut(&short) else { break };
                let count = (*missing).min(*invented).min(most - taken);
                *missing -= count;
                *invented -= count;
                taken += count;
            }
        }
        for (_, missing) in self.missing.iter_mut().filter(|(whole, _)| whole.memory == ALLOCATOR) {
            let count = (*missing).min(self.within).min(most - taken);
            *missing -= count;
            self.within -= count;
            taken += count;
        }
        self.missing.retain(|_, count| *count > 0);
        self.invented.retain(|_, count| *count > 0);
        taken
    }

    fn text(&self, code: &Code) -> String {
        let (missing, invented) = (self.missing.len(), self.invented.len());
        let mut text = format!("{missing} are not reported as they are; {invented} are reported that are none\n");
        for (key, count) in self.missing.iter().take(SHOWN) {
            let same_leaf = self.invented.iter().filter(|(other, _)| other.leaf() == key.leaf());
            let nearest = same_leaf.max_by_key(|(other, _)| key.in_common(other));
            side_by_side(&mut text, (key, *count), nearest.map(|(key, count)| (key, *count)), code);
        }
        for (key, count) in self.invented.iter().take(if missing == 0 { SHOWN } else { 0 }) {
            side_by_side(&mut text, (key, 0), Some((key, *count)), code);
        }
        text
    }
}

fn expected(walked: &[Walked], code: &Code) -> Result<Counts> {
    let mut counts = Counts::new();
    for stack in walked {
        // Of a stack that grows out of the allocator, the deepest frames give way to the allocator's.
        ensure!(stack.memory != ALLOCATOR || stack.addresses.len() < MOST_FRAMES - 8, "too deep to be compared");
        let truncated = stack.addresses.len() > MOST_FRAMES;
        let kept = &stack.addresses[..stack.addresses.len().min(MOST_FRAMES)];
        match Key::of(&stack.memory, kept, truncated, code) {
            Some(key) => *counts.entry(key).or_default() += 1,
            None => bail!("the workload has no symbol for {:#x}", kept[0]),
        }
    }
    Ok(counts)
}

/// The reported stacks, and how many blocks of the allocator's have a stack that ends within the allocator.
fn reported(process: &Process, code: &Code) -> Result<(Counts, u64)> {
    let mut counts = Counts::new();
    let mut within = 0;
    for stack in &process.stacks {
        modules_are_right(stack, code)?;
        let addresses: Vec<u64> = stack.frames.iter().map(|frame| frame.address).collect();
        let own = if stack.memory == ALLOCATOR { allocator_frames(&addresses, code) } else { 0 };
        let addresses = &addresses[own..];
        if let Some(key) = Key::of(&stack.memory, addresses, stack.truncated, code) {
            *counts.entry(key).or_default() += stack.totals.allocated.blocks;
        } else if addresses.is_empty() && stack.memory == ALLOCATOR {
            within += stack.totals.allocated.blocks;
        }
    }
    Ok((counts, within))
}

/// How many of a stack's first frames are the C library's, up to and with its public function.
fn allocator_frames(addresses: &[u64], code: &Code) -> usize {
    addresses.iter().take_while(|address| code.place(**address - 1).module.starts_with("libc.so")).count()
}

/// heaptide names the file and the place in it of each address.
fn modules_are_right(stack: &Stack, code: &Code) -> Result<()> {
    for frame in &stack.frames {
        let place = code.place(frame.address);
        let Some(module) = frame.module.as_deref() else {
            ensure!(place.module.is_empty() || place.module.starts_with('['), "{place} is reported without a module");
            continue;
        };
        ensure!(
            (module, frame.module_address) == (place.module.as_str(), place.address) || place.module.starts_with('['),
            "{:#x} is at {place}, and reported at {module}+{:#x}",
            frame.address,
            frame.module_address
        );
    }
    Ok(())
}

fn side_by_side(text: &mut String, walked: (&Key, u64), reported: Option<(&Key, u64)>, code: &Code) {
    const WIDTH: usize = 56;
    let counted = |(key, count): (&Key, u64)| {
        format!("{count} x {} {}{}", key.memory, key.function, if key.truncated { ", cut" } else { "" })
    };
    let mut line = |mark: char, left: &str, right: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{mark} {left:WIDTH$} {right}");
    };
    line(' ', "backtrace()", "heaptide");
    line(' ', &counted(walked), &reported.map_or_else(|| "nothing alike".to_owned(), counted));
    let (left, right) = (&walked.0.callers[..], reported.map_or(&[][..], |(key, _)| &key.callers));
    for index in 0..left.len().max(right.len()) {
        let shown = |side: &[u64]| side.get(index).map_or_else(String::new, |&address| code.describe(address));
        let mark = if left.get(index) == right.get(index) { ' ' } else { '!' };
        line(mark, &shown(left), &shown(right));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(callers: &[u64]) -> Key {
        let (memory, module) = ("heap".to_owned(), "program".to_owned());
        Key { memory, module, function: "leaf".into(), callers: callers.to_vec(), truncated: false }
    }

    fn counts(stacks: &[(&[u64], u64)]) -> Counts {
        stacks.iter().map(|(callers, count)| (key(callers), *count)).collect()
    }

    #[test]
    fn equal_stacks_differ_in_nothing() {
        let stacks = counts(&[(&[1, 2], 3), (&[1], 1)]);
        assert!(Difference::of(&stacks, &stacks).is_nothing());
    }

    #[test]
    fn a_stack_that_came_once_too_often_differs() {
        let difference = Difference::of(&counts(&[(&[1, 2], 3)]), &counts(&[(&[1, 2], 4)]));
        assert_eq!((difference.missing.len(), difference.invented), (0, counts(&[(&[1, 2], 1)])));
    }

    #[test]
    fn a_cut_stack_is_taken_for_one_that_it_belongs_to_and_only_as_often_as_allowed() {
        let expected = counts(&[(&[1, 2, 3], 1), (&[1, 2, 4], 1), (&[1, 5], 1)]);
        let reported = counts(&[(&[1, 2], 1), (&[1], 2)]);
        let mut difference = Difference::of(&expected, &reported);
        assert_eq!(difference.take_cut(2), 2);
        assert!(!difference.is_nothing());
        let mut difference = Difference::of(&expected, &reported);
        assert_eq!(difference.take_cut(9), 3);
        assert!(difference.is_nothing());
    }

    #[test]
    fn a_stack_with_a_wrong_frame_is_never_a_cut_one() {
        let mut difference = Difference::of(&counts(&[(&[1, 2, 3], 1)]), &counts(&[(&[1, 9], 1)]));
        assert_eq!(difference.take_cut(9), 0);
        assert!(difference.text(&Code::of(std::process::id()).unwrap()).contains("! +0x2 ?"));
    }
}
