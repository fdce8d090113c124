//! Whether a function that is called never comes back: the end of a program, behind a failed assertion.
//!
//! Code behind such a call is often another part of the function, and would seem to be reached from there. So the called
//! function is followed: on no way may it come to a return. Constants are followed as far as that decides its jumps, since
//! the C library's function that prints a message ends the program or not by its first argument.

use iced_x86::{
    Code as Opcode, ConditionCode, FlowControl, Instruction, InstructionInfoFactory, OpAccess, OpKind, Register,
};
use rustc_hash::FxHashMap;

use crate::sites::{
    arguments::CHANGED_BY_CALLS,
    code::{Code, decode},
    flow::after,
};

/// Most instructions that are followed for one function's calls, all together.
const MOST: usize = 20_000;

/// Calls within calls that are followed.
const DEEPEST: u32 = 4;

const REGISTERS: usize = 16;

/// What is known of the registers, whatever the way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Constants {
    values: [Option<u64>; REGISTERS],
    /// Whether the zero flag is set.
    zero: Option<bool>,
}

impl Constants {
    /// Nothing.
    pub(super) const UNKNOWN: Self = Self { values: [None; REGISTERS], zero: None };

    /// What is known after an instruction that is no call.
    pub(super) fn step(&mut self, instruction: &Instruction, factory: &mut InstructionInfoFactory) {
        let result = self.result(instruction);
        let zero = self.zero_after(instruction, result);
        for used in factory.info(instruction).used_registers() {
            let is_written =
                !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::None | OpAccess::NoMemAccess);
            let register = used.register().full_register();
            if is_written && register.is_gpr64() {
                self.values[register.number()] = None;
            }
        }
        if let Some(value) = result.filter(|_| instruction.op0_kind() == OpKind::Register && !is_test(instruction)) {
            self.values[instruction.op0_register().full_register().number()] = Some(value);
        }
        self.zero = zero;
    }

    /// What is known where a call goes on.
    pub(super) fn step_over_call(&mut self) {
        for register in CHANGED_BY_CALLS {
            self.values[register] = None;
        }
        self.zero = None;
    }

    /// Keeps what is known on another way here as well; says whether anything was lost.
    pub(super) fn meet(&mut self, other: &Self) -> bool {
        let before = *self;
        for (value, &others) in self.values.iter_mut().zip(&other.values) {
            *value = value.filter(|_| *value == others);
        }
        self.zero = self.zero.filter(|_| self.zero == other.zero);
        *self != before
    }

    /// Where the program can go on after an instruction that is no call.
    pub(super) fn ways(&self, instruction: &Instruction) -> [Option<u64>; 2] {
        let [next, goal] = after(instruction);
        match (instruction.condition_code(), self.zero) {
            (ConditionCode::e, Some(true)) | (ConditionCode::ne, Some(false)) if instruction.is_jcc_short_or_near() => {
                [None, goal]
            }
            (ConditionCode::e, Some(false)) | (ConditionCode::ne, Some(true)) if instruction.is_jcc_short_or_near() => {
                [next, None]
            }
            _ => [next, goal],
        }
    }

    /// What a register of 32 or 64 bits holds.
    fn value(&self, register: Register) -> Option<u64> {
        let value = self.values.get(register.full_register().number()).copied().flatten();
        match register {
            _ if register.is_gpr64() => value,
            _ if register.is_gpr32() => value.map(|value| value & 0xffff_ffff),
            _ => None,
        }
    }

    /// What an instruction computes of its two operands, 32 or 64 bits wide.
    fn result(&self, instruction: &Instruction) -> Option<u64> {
        let (to, from) = (instruction.op0_register(), instruction.op1_register());
        if instruction.op_count() != 2
            || instruction.op0_kind() != OpKind::Register
            || !(to.is_gpr32() || to.is_gpr64())
        {
            return None;
        }
        let operand = match instruction.op1_kind() {
            OpKind::Register
                if to == from && matches!(instruction.code(), Opcode::Xor_rm32_r32 | Opcode::Xor_r32_rm32) =>
            {
                return Some(0);
            }
            OpKind::Register => self.value(from)?,
            OpKind::Memory => return None,
            _ => instruction.immediate(1),
        };
        let value = match instruction.code() {
            Opcode::Mov_r64_rm64
            | Opcode::Mov_rm64_r64
            | Opcode::Mov_r32_rm32
            | Opcode::Mov_rm32_r32
            | Opcode::Mov_r32_imm32 => operand,
            Opcode::And_rm32_imm8
            | Opcode::And_EAX_imm32
            | Opcode::And_rm32_imm32
            | Opcode::Test_rm32_r32
            | Opcode::Test_rm64_r64 => self.value(to)? & operand,
            _ => return None,
        };
        Some(if to.is_gpr32() { value & 0xffff_ffff } else { value })
    }

    fn zero_after(&self, instruction: &Instruction, result: Option<u64>) -> Option<bool> {
        if instruction.rflags_modified() == 0 { self.zero } else { result.map(|result| result == 0) }
    }
}

fn is_test(instruction: &Instruction) -> bool {
    matches!(instruction.code(), Opcode::Test_rm32_r32 | Opcode::Test_rm64_r64)
}

/// Follows called functions, and remembers them.
pub(super) struct Ends<'a, C: Code + ?Sized> {
    code: &'a C,
    factory: InstructionInfoFactory,
    /// By where a function begins and the first argument that it is given.
    known: FxHashMap<(u64, Option<u64>), bool>,
    followed: usize,
}

impl<'a, C: Code + ?Sized> Ends<'a, C> {
    pub(super) fn new(code: &'a C) -> Self {
        Self { code, factory: InstructionInfoFactory::new(), known: FxHashMap::default(), followed: 0 }
    }

    /// Whether the function that a call calls is proven never to return.
    pub(super) fn never_returns(&mut self, call: &Instruction, constants: &Constants) -> bool {
        self.is_proven(call, constants, 0)
    }

    fn is_proven(&mut self, call: &Instruction, constants: &Constants, depth: u32) -> bool {
        // What a computed call leads to is not known; a system call leads to no function.
        if !call.is_call_near() || depth > DEEPEST {
            return false;
        }
        let (begin, argument) = (call.near_branch_target(), constants.value(Register::RDI));
        if let Some(&known) = self.known.get(&(begin, argument)) {
            return known;
        }
        // A function that calls itself is taken to return.
        self.known.insert((begin, argument), false);
        let mut at_begin = Constants::UNKNOWN;
        at_begin.values[Register::RDI.number()] = argument;
        let proven = self.follow(begin, &at_begin, depth);
        self.known.insert((begin, argument), proven);
        proven
    }

    /// Whether no return is reached from `begin`.
    fn follow(&mut self, begin: u64, constants: &Constants, depth: u32) -> bool {
        let mut states: FxHashMap<u64, Constants> = FxHashMap::default();
        states.insert(begin, *constants);
        let mut open = vec![begin];
        while let Some(at) = open.pop() {
            self.followed += 1;
            let (Some(&before), Some(instruction)) = (states.get(&at), decode(self.code, at)) else { return false };
            if self.followed > MOST
                || matches!(instruction.flow_control(), FlowControl::Return | FlowControl::IndirectBranch)
            {
                return false;
            }
            let (mut state, mut ways) = (before, before.ways(&instruction));
            if matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall) {
                if self.is_proven(&instruction, &before, depth + 1) {
                    ways = [None; 2];
                }
                state.step_over_call();
            } else {
                state.step(&instruction, &mut self.factory);
            }
            for next in ways.into_iter().flatten() {
                let is_new = if let Some(known) = states.get_mut(&next) {
                    known.meet(&state)
                } else {
                    states.insert(next, state).is_none()
                };
                if is_new {
                    open.push(next);
                }
            }
        }
        true
    }
}
