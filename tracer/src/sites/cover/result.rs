//! Where the value is that a function will return, and what may still happen until then.

use std::collections::BTreeMap;

use iced_x86::{Code as Opcode, Instruction, InstructionInfoFactory, OpAccess, OpKind, Register};

use super::graph::{Graph, Node};
use crate::sites::arguments::{CHANGED_BY_CALLS, copy};

/// What lies before an instruction and the function's end, on all ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rest {
    /// The registers that hold what will be returned: a bit each.
    registers: u16,
    /// Zero will be returned.
    is_zero: bool,
    /// Nothing is called any more.
    is_calm: bool,
    /// A return is reached.
    returns: bool,
}

impl Rest {
    /// Of a way without an end.
    const ENDLESS: Self = Self { registers: u16::MAX, is_zero: true, is_calm: true, returns: false };

    /// The result's register, once nothing can come between it and the return.
    pub(super) fn result(self) -> Option<u8> {
        let is_known = self.returns && self.is_calm && self.registers != 0 && !self.is_zero;
        is_known.then(|| self.registers.trailing_zeros() as u8)
    }

    /// Whether the call fails here: it returns zero, and nothing else can come between.
    pub(super) const fn fails(self) -> bool {
        self.returns && self.is_calm && self.is_zero
    }

    /// Whether a return is reached.
    pub(super) const fn returns(self) -> bool {
        self.returns
    }

    fn meet(self, other: Self) -> Self {
        Self {
            registers: self.registers & other.registers,
            is_zero: self.is_zero && other.is_zero,
            is_calm: self.is_calm && other.is_calm,
            returns: self.returns || other.returns,
        }
    }
}

/// The rest before each instruction: the greatest solution, found by going back from what changed.
pub(super) fn rests(graph: &Graph) -> BTreeMap<u64, Rest> {
    let mut factory = InstructionInfoFactory::new();
    let mut before: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (&at, node) in graph {
        for next in node.ways() {
            before.entry(next).or_default().push(at);
        }
    }
    let mut rests: BTreeMap<u64, Rest> = graph.keys().map(|&at| (at, Rest::ENDLESS)).collect();
    let mut open: Vec<u64> = graph.keys().copied().collect();
    while let Some(at) = open.pop() {
        let Some(node) = graph.get(&at) else { continue };
        let rest = rest(node, &rests, &mut factory);
        if rests.insert(at, rest) != Some(rest) {
            open.extend(before.get(&at).into_iter().flatten());
        }
    }
    rests
}

fn rest(node: &Node, rests: &BTreeMap<u64, Rest>, factory: &mut InstructionInfoFactory) -> Rest {
    if node.is_return() {
        return Rest { registers: 1 << Register::RAX.number(), is_zero: false, is_calm: true, returns: true };
    }
    if node.leaves {
        return Rest { registers: 0, is_zero: false, is_calm: false, returns: true };
    }
    let after = node.ways().filter_map(|next| rests.get(&next).copied()).reduce(Rest::meet).unwrap_or(Rest::ENDLESS);
    if node.is_call() {
        let changed = CHANGED_BY_CALLS.iter().fold(0_u16, |mask, register| mask | 1 << register);
        return Rest { registers: after.registers & !changed, is_calm: false, ..after };
    }
    if !after.returns {
        return after;
    }
    let instruction = &node.instruction;
    let kept = after.registers & !written(instruction, factory);
    let is_result = |register: usize| after.registers >> register & 1 != 0;
    let copied = copy(instruction).filter(|&(to, _)| is_result(to)).map_or(0, |(_, from)| 1 << from);
    let is_zero = after.is_zero || zeroed(instruction).is_some_and(is_result);
    Rest { registers: kept | copied, is_zero, ..after }
}

/// The registers that an instruction writes, as bits.
fn written(instruction: &Instruction, factory: &mut InstructionInfoFactory) -> u16 {
    let is_written =
        |access| !matches!(access, OpAccess::Read | OpAccess::CondRead | OpAccess::None | OpAccess::NoMemAccess);
    let used = factory.info(instruction).used_registers().iter();
    let registers = used.filter(|used| is_written(used.access())).map(|used| used.register().full_register());
    registers.filter(|register| register.is_gpr64()).fold(0, |mask, register| mask | 1 << register.number())
}

/// The register that an instruction makes zero as a whole.
fn zeroed(instruction: &Instruction) -> Option<usize> {
    let (to, from) = (instruction.op0_register(), instruction.op1_register());
    let is_zero = match instruction.code() {
        Opcode::Xor_rm32_r32 | Opcode::Xor_r32_rm32 | Opcode::Xor_rm64_r64 | Opcode::Xor_r64_rm64 => {
            instruction.op0_kind() == OpKind::Register && instruction.op1_kind() == OpKind::Register && to == from
        }
        Opcode::Mov_r32_imm32 => instruction.immediate(1) == 0,
        _ => false,
    };
    is_zero.then(|| to.full_register().number())
}
