//! The instructions that every call of a function passes, from its begin on.

use std::ops::Range;

use iced_x86::{Code as Opcode, FlowControl, Instruction, InstructionInfoFactory, OpAccess, Register, UsedMemory};

use super::{
    arguments::Arguments,
    code::{Code, decode},
};

/// Most instructions of a path.
const MOST: usize = 48;

/// An instruction that every call passes.
pub(super) struct Place {
    /// The instruction.
    pub(super) instruction: Instruction,
    /// What is known when it is reached.
    pub(super) arguments: Arguments,
    /// Whether calls whose block is NULL have left the path before it.
    pub(super) skips_null: bool,
}

/// The path through a function, from its begin until calls go different ways. Where `block` names the argument that says
/// which block is meant, calls without a block are let go: the path goes on behind the test for it.
pub(super) fn path(code: &(impl Code + ?Sized), whole: &Range<u64>, block: Option<u8>) -> Vec<Place> {
    let mut factory = InstructionInfoFactory::new();
    let (mut places, mut arguments, mut skips_null) = (Vec::new(), Arguments::at_entry(), false);
    let mut at = whole.start;
    while places.len() < MOST {
        let Some(instruction) = decode(code, at) else { break };
        if instruction.next_ip() > whole.end {
            break;
        }
        // A block that is being freed may be somebody else's once the function has written that somewhere.
        let is_over = block.is_some() && writes_elsewhere(&instruction, &mut factory);
        let next = if is_over { None } else { next(&instruction, &arguments, block) };
        let before = arguments.clone();
        arguments.step(&instruction, &mut factory);
        let is_test = next.is_some() && instruction.flow_control() == FlowControl::ConditionalBranch;
        places.push(Place { instruction, arguments: before, skips_null });
        skips_null |= is_test;
        // Only forward and within the function: anything else has no end, or is another function's.
        match next.filter(|next| *next > at && whole.contains(next)) {
            Some(next) => at = next,
            None => break,
        }
    }
    places
}

/// Whether an instruction writes to memory other than the stack.
fn writes_elsewhere(instruction: &Instruction, factory: &mut InstructionInfoFactory) -> bool {
    let is_elsewhere = |memory: &UsedMemory| {
        !matches!(memory.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess)
            && memory.base() != Register::RSP
    };
    factory.info(instruction).used_memory().iter().any(is_elsewhere)
}

/// Where all calls (with a block) go on after an instruction.
fn next(instruction: &Instruction, arguments: &Arguments, block: Option<u8>) -> Option<u64> {
    match instruction.flow_control() {
        FlowControl::Next => Some(instruction.next_ip()),
        FlowControl::ConditionalBranch if block.is_some() && arguments.tested() == block => match instruction.code() {
            Opcode::Je_rel8_64 | Opcode::Je_rel32_64 => Some(instruction.next_ip()),
            Opcode::Jne_rel8_64 | Opcode::Jne_rel32_64 => Some(instruction.near_branch_target()),
            _ => None,
        },
        // A call changes the registers, and what it calls may be traced itself.
        _ => None,
    }
}
