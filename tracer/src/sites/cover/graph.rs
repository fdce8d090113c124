//! The instructions of a function with the ways between them, and what is known before each.

use std::{collections::BTreeMap, ops::Range};

use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, OpAccess, Register, UsedMemory};

use super::{Refusal, ends::Constants, ends::Ends};
use crate::sites::{
    Class,
    arguments::Arguments,
    code::{Code, decode},
    flow::is_computed,
};

/// Most instructions of a function.
const MOST: usize = 4096;

/// Where the caller's frame pointer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FramePointer {
    /// Still, or again, in its register.
    pub(super) in_register: bool,
    /// On the stack: bytes below where the stack pointer was at the function's begin.
    pub(super) saved: Option<u32>,
}

/// What is known before an instruction, on whatever way it is reached.
#[derive(Clone, PartialEq)]
pub(super) struct Facts {
    pub(super) arguments: Arguments,
    pub(super) frame_pointer: FramePointer,
    constants: Constants,
}

/// An instruction of the function.
pub(super) struct Node {
    pub(super) instruction: Instruction,
    pub(super) facts: Facts,
    /// Where the program can go on: with the next instruction, or elsewhere.
    pub(super) ways: [Option<u64>; 2],
    /// It is a jump to another function, which returns in this one's place.
    pub(super) leaves: bool,
}

impl Node {
    /// Whether it calls something that may return.
    pub(super) fn is_call(&self) -> bool {
        is_call(&self.instruction) && self.ways != [None; 2]
    }

    pub(super) fn is_return(&self) -> bool {
        self.instruction.flow_control() == FlowControl::Return
    }

    pub(super) fn ways(&self) -> impl Iterator<Item = u64> + use<> {
        self.ways.into_iter().flatten()
    }
}

/// All that can be reached from the begin of a function.
pub(super) type Graph = BTreeMap<u64, Node>;

/// Follows all ways through the function `whole`. Calls that are proven never to return end theirs.
pub(super) fn graph(code: &(impl Code + ?Sized), whole: &Range<u64>) -> Result<Graph, Refusal> {
    let mut factory = InstructionInfoFactory::new();
    let mut ends = Ends::new(code);
    let mut graph = Graph::new();
    let begin = Facts {
        arguments: Arguments::at_entry(),
        frame_pointer: FramePointer { in_register: true, saved: None },
        constants: Constants::UNKNOWN,
    };
    let mut open = vec![(whole.start, begin)];
    while let Some((at, facts)) = open.pop() {
        if let Some(node) = graph.get_mut(&at) {
            if !node.facts.meet(&facts) {
                continue;
            }
        } else {
            if graph.len() >= MOST {
                return Err(Refusal::TooLarge);
            }
            let instruction = instruction(code, at, whole)?;
            let leaves = Class::of(&instruction) == Class::Jump && !whole.contains(&instruction.near_branch_target());
            graph.insert(at, Node { instruction, facts, ways: [None; 2], leaves });
        }
        let Some(node) = graph.get_mut(&at) else { continue };
        let (instruction, mut facts) = (node.instruction, node.facts.clone());
        node.ways = facts.constants.ways(&instruction);
        if is_call(&instruction) {
            if ends.never_returns(&instruction, &facts.constants) {
                node.ways = [None; 2];
            }
            facts.step_over_call();
        } else {
            facts.step(&instruction, &mut factory);
        }
        if node.leaves {
            node.ways = [None; 2];
        }
        open.extend(node.ways().map(|next| (next, facts.clone())));
    }
    is_read_in_one_way(&graph).then_some(graph).ok_or(Refusal::Unreadable)
}

fn is_call(instruction: &Instruction) -> bool {
    matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall)
}

/// The function's instruction at `at`, which has to be its own.
fn instruction(code: &(impl Code + ?Sized), at: u64, whole: &Range<u64>) -> Result<Instruction, Refusal> {
    if !whole.contains(&at) {
        return Err(Refusal::Elsewhere);
    }
    let instruction = decode(code, at).ok_or(Refusal::Unreadable)?;
    if instruction.next_ip() > whole.end {
        return Err(Refusal::Elsewhere);
    }
    match instruction.flow_control() {
        FlowControl::IndirectBranch if is_computed(&instruction) => Err(Refusal::ComputedJump),
        FlowControl::IndirectBranch => Err(Refusal::Elsewhere),
        FlowControl::XbeginXabortXend | FlowControl::Interrupt => Err(Refusal::Unreadable),
        _ => Ok(instruction),
    }
}

/// Whether no instruction begins within another: a breakpoint in the one would change the other.
fn is_read_in_one_way(graph: &Graph) -> bool {
    graph.iter().zip(graph.keys().skip(1)).all(|((_, node), &next)| node.instruction.next_ip() <= next)
}

impl Facts {
    fn step(&mut self, instruction: &Instruction, factory: &mut InstructionInfoFactory) {
        let depth = self.arguments.depth();
        self.arguments.step(instruction, factory);
        self.constants.step(instruction, factory);
        self.frame_pointer.step(instruction, factory, depth, self.arguments.depth());
    }

    fn step_over_call(&mut self) {
        self.arguments.step_over_call();
        self.constants.step_over_call();
    }

    /// Keeps what is known on another way here as well; says whether anything was lost.
    fn meet(&mut self, other: &Self) -> bool {
        let lost = self.arguments.meet(&other.arguments);
        let lost = self.constants.meet(&other.constants) || lost;
        self.frame_pointer.meet(other.frame_pointer) || lost
    }
}

impl FramePointer {
    fn step(
        &mut self,
        instruction: &Instruction,
        factory: &mut InstructionInfoFactory,
        before: Option<u32>,
        after: Option<u32>,
    ) {
        let is_it = instruction.op_count() == 1 && instruction.op0_register() == Register::RBP;
        let is_restored =
            is_it && instruction.mnemonic() == iced_x86::Mnemonic::Pop && before.is_some() && self.saved == before;
        let info = factory.info(instruction);
        let is_written =
            |access| !matches!(access, OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess | OpAccess::None);
        if info
            .used_registers()
            .iter()
            .any(|used| used.register().full_register() == Register::RBP && is_written(used.access()))
        {
            self.in_register = false;
        }
        let is_push = instruction.mnemonic() == iced_x86::Mnemonic::Push;
        let hits = |memory: &UsedMemory| {
            is_written(memory.access()) && memory.base() == Register::RSP && !is_push && self.is_hit_by(memory, before)
        };
        if info.used_memory().iter().any(hits) {
            self.saved = None;
        }
        // What is above the stack pointer is gone.
        self.saved = self.saved.filter(|&saved| after.is_none_or(|depth| saved <= depth));
        if is_it && is_push && self.in_register && self.saved.is_none() {
            self.saved = after;
        }
        self.in_register |= is_restored;
    }

    /// Whether a write by the stack pointer, which is `depth` bytes below its begin, may touch the saved word.
    fn is_hit_by(self, memory: &UsedMemory, depth: Option<u32>) -> bool {
        let (Some(saved), Some(depth)) = (self.saved, depth) else { return true };
        let begin = memory.displacement().cast_signed().saturating_sub(i64::from(depth));
        let size = i64::try_from(memory.memory_size().size()).unwrap_or_default();
        let saved = -i64::from(saved);
        memory.index() != Register::None || size == 0 || (begin < saved + 8 && saved < begin.saturating_add(size))
    }

    fn meet(&mut self, other: Self) -> bool {
        let before = *self;
        self.in_register &= other.in_register;
        self.saved = self.saved.filter(|_| self.saved == other.saved);
        *self != before
    }
}
