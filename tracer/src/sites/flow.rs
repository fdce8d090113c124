//! Which instructions come before which: whether an instruction is reached in one way only.

use std::ops::Range;

use iced_x86::{FlowControl, Instruction, Register};
use rustc_hash::{FxHashMap, FxHashSet};

use super::code::{Code, decode};

/// Most instructions that are followed from a function's begin: a large allocation function with all that it jumps to has
/// some thousand.
const MOST: usize = 20_000;

/// What was found out about a function's jumps.
pub(super) struct Flow {
    /// Each way into an instruction of the function's head: from where.
    ways: FxHashMap<u64, Vec<u64>>,
    /// What is in the way of knowing all of them.
    pub(super) unknown: Option<Unknown>,
}

/// Why not all jumps are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// A jump's goal is computed.
    Computed,
    /// There is too much code.
    Large,
}

impl Flow {
    /// Follows all jumps from `entry` on and keeps those into `head`. Code outside the function `whole` is followed, too,
    /// since a compiler moves rare parts of a function elsewhere. A computed jump there is a table of another function,
    /// which a compiler lets lead into that function alone.
    pub(super) fn follow(code: &(impl Code + ?Sized), entry: u64, head: &Range<u64>, whole: &Range<u64>) -> Self {
        let mut flow = Self { ways: FxHashMap::default(), unknown: None };
        let mut seen = FxHashSet::default();
        let mut open = vec![entry];
        while let Some(at) = open.pop() {
            if !seen.insert(at) {
                continue;
            }
            if seen.len() > MOST {
                flow.unknown = Some(Unknown::Large);
                break;
            }
            // Bytes that are no instruction end a path: padding behind a call that does not return.
            let Some(instruction) = decode(code, at) else { continue };
            if is_computed(&instruction) && whole.contains(&at) {
                flow.unknown = Some(Unknown::Computed);
                break;
            }
            for next in after(&instruction).into_iter().flatten() {
                if head.contains(&next) {
                    flow.ways.entry(next).or_default().push(at);
                }
                open.push(next);
            }
        }
        flow
    }

    /// Whether the only way into `to` is from `from`.
    pub(super) fn is_only_way(&self, from: u64, to: u64) -> bool {
        self.ways.get(&to).is_some_and(|ways| ways.iter().all(|&way| way == from))
    }
}

/// Where the program goes on after an instruction, as far as it says so.
pub(super) fn after(instruction: &Instruction) -> [Option<u64>; 2] {
    let (next, goal) = (instruction.next_ip(), instruction.near_branch_target());
    match instruction.flow_control() {
        FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall | FlowControl::Interrupt => {
            [Some(next), None]
        }
        FlowControl::ConditionalBranch | FlowControl::XbeginXabortXend => [Some(next), Some(goal)],
        FlowControl::UnconditionalBranch => [Some(goal), None],
        FlowControl::Return | FlowControl::IndirectBranch | FlowControl::Exception => [None, None],
    }
}

/// A jump whose goal is computed, other than by one word at a fixed place: that leads to another function (a PLT's entry, a
/// hook).
pub(super) fn is_computed(instruction: &Instruction) -> bool {
    instruction.flow_control() == FlowControl::IndirectBranch
        && !(instruction.memory_base() == Register::RIP && instruction.memory_index() == Register::None)
}
