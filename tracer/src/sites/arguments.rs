//! Where the arguments of a call are, some instructions after its begin.

use iced_x86::{Code, Instruction, InstructionInfoFactory, OpAccess, OpKind, Register};

/// Arguments that travel in registers (System V ABI for x86-64).
pub(super) const IN_REGISTERS: usize = 6;

/// Their registers at a function's begin.
const AT_ENTRY: [Register; IN_REGISTERS] =
    [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];

/// General registers.
const REGISTERS: usize = 16;

/// Registers that a called function may change, by their numbers: `rax`, `rcx`, `rdx`, `rsi`, `rdi`, and `r8` to `r11`.
pub(super) const CHANGED_BY_CALLS: [usize; 9] = [0, 1, 2, 6, 7, 8, 9, 10, 11];

/// What is known of the registers at an instruction.
#[derive(Clone, PartialEq)]
pub(super) struct Arguments {
    /// Which argument each register holds, by its number in instructions.
    holds: [Option<u8>; REGISTERS],
    /// Bytes pushed since the entry; `None` once that is not known any more.
    depth: Option<u32>,
    /// The flags tell whether this argument is 0.
    tested: Option<u8>,
}

impl Arguments {
    /// At a function's begin.
    pub(super) fn at_entry() -> Self {
        let mut holds = [None; REGISTERS];
        for (argument, register) in AT_ENTRY.into_iter().enumerate() {
            holds[register.number()] = Some(argument as u8);
        }
        Self { holds, depth: Some(0), tested: None }
    }

    /// Number of a register that holds an argument: its own if it still does.
    pub(super) fn register_of(&self, argument: u8) -> Option<u8> {
        let own = AT_ENTRY.get(usize::from(argument)).map(|register| register.number());
        own.filter(|&number| self.holds[number] == Some(argument))
            .or_else(|| self.holds.iter().position(|&held| held == Some(argument)))
            .map(|number| number as u8)
    }

    /// Whether an argument is where it was at the begin.
    pub(super) fn is_unmoved(&self, argument: u8) -> bool {
        AT_ENTRY.get(usize::from(argument)).is_some_and(|register| self.holds[register.number()] == Some(argument))
    }

    /// Bytes pushed since the entry.
    pub(super) const fn depth(&self) -> Option<u32> {
        self.depth
    }

    /// The argument whose being 0 the flags tell.
    pub(super) const fn tested(&self) -> Option<u8> {
        self.tested
    }

    /// What is known after an instruction.
    pub(super) fn step(&mut self, instruction: &Instruction, factory: &mut InstructionInfoFactory) {
        self.depth = self.depth_after(instruction, factory);
        self.tested = if instruction.rflags_modified() == 0 { self.tested } else { self.test(instruction) };
        let copied = copy(instruction).map(|(to, from)| (to, self.holds[from]));
        for used in factory.info(instruction).used_registers() {
            let is_written =
                !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::None | OpAccess::NoMemAccess);
            let register = used.register().full_register();
            if is_written && register.is_gpr64() {
                self.holds[register.number()] = None;
            }
        }
        if let Some((to, held)) = copied {
            self.holds[to] = held;
        }
    }

    /// What is known where a call goes on: what it called has returned, and the stack is as it was.
    pub(super) fn step_over_call(&mut self) {
        for register in CHANGED_BY_CALLS {
            self.holds[register] = None;
        }
        self.tested = None;
    }

    /// Keeps what is known on another way here as well; says whether anything was lost.
    pub(super) fn meet(&mut self, other: &Self) -> bool {
        let before = self.clone();
        for (held, &others) in self.holds.iter_mut().zip(&other.holds) {
            *held = held.filter(|_| *held == others);
        }
        self.depth = self.depth.filter(|_| self.depth == other.depth);
        self.tested = self.tested.filter(|_| self.tested == other.tested);
        *self != before
    }

    fn depth_after(&self, instruction: &Instruction, factory: &mut InstructionInfoFactory) -> Option<u32> {
        let depth = i64::from(self.depth?);
        let moved = match instruction.code() {
            Code::Sub_rm64_imm8 | Code::Sub_rm64_imm32 if instruction.op0_register() == Register::RSP => {
                instruction.immediate(1).cast_signed()
            }
            Code::Add_rm64_imm8 | Code::Add_rm64_imm32 if instruction.op0_register() == Register::RSP => {
                instruction.immediate(1).cast_signed().checked_neg()?
            }
            Code::Leaveq | Code::Leavew => return None,
            // The increment of `enter` and of a `push` with a prefix is what the table says as well.
            _ if instruction.is_stack_instruction() => -i64::from(instruction.stack_pointer_increment()),
            _ => {
                let writes = |used: &iced_x86::UsedRegister| {
                    used.register().full_register() == Register::RSP
                        && !matches!(used.access(), OpAccess::Read | OpAccess::CondRead)
                };
                if factory.info(instruction).used_registers().iter().any(writes) {
                    return None;
                }
                0
            }
        };
        u32::try_from(depth.checked_add(moved)?).ok()
    }

    /// The argument that a comparison with 0 is about.
    fn test(&self, instruction: &Instruction) -> Option<u8> {
        let is_test = instruction.code() == Code::Test_rm64_r64
            && instruction.op0_kind() == OpKind::Register
            && instruction.op0_register() == instruction.op1_register();
        let is_comparison = matches!(instruction.code(), Code::Cmp_rm64_imm8 | Code::Cmp_rm64_imm32)
            && instruction.op0_kind() == OpKind::Register
            && instruction.immediate(1) == 0;
        let register = instruction.op0_register();
        ((is_test || is_comparison) && register.is_gpr64()).then(|| self.holds[register.number()]).flatten()
    }
}

/// The registers of a copy: to and from.
pub(super) fn copy(instruction: &Instruction) -> Option<(usize, usize)> {
    let is_move = matches!(instruction.code(), Code::Mov_r64_rm64 | Code::Mov_rm64_r64)
        && instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Register;
    is_move.then(|| (instruction.op0_register().number(), instruction.op1_register().number()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions};

    /// After all instructions of `bytes`.
    fn after(bytes: &[u8]) -> Arguments {
        let (mut arguments, mut factory) = (Arguments::at_entry(), InstructionInfoFactory::new());
        for instruction in &mut Decoder::new(64, bytes, DecoderOptions::NONE) {
            assert!(!instruction.is_invalid());
            arguments.step(&instruction, &mut factory);
        }
        arguments
    }

    #[test]
    fn a_copy_is_followed_when_the_original_is_overwritten() {
        // mov %rdi,%rsi; mov $1,%edi
        let arguments = after(&[0x48, 0x89, 0xfe, 0xbf, 1, 0, 0, 0]);
        assert_eq!((arguments.register_of(0), arguments.register_of(1)), (Some(6), None));
        assert!(!arguments.is_unmoved(0));
    }

    #[test]
    fn a_part_that_is_written_is_the_whole_lost() {
        // mov $1,%dil
        assert_eq!(after(&[0x40, 0xb7, 1]).register_of(0), None);
        // mov %edi,%eax: the upper half is lost in the copy
        let arguments = after(&[0x89, 0xf8]);
        assert_eq!(arguments.register_of(0), Some(7));
        assert_eq!(arguments.holds[0], None);
        // cmove %rsi,%rdi: it may have been written
        assert_eq!(after(&[0x48, 0x0f, 0x44, 0xfe]).register_of(0), None);
        // mul %rsi writes two registers that it does not name
        assert_eq!(after(&[0x48, 0xf7, 0xe6]).register_of(2), None);
    }

    #[test]
    fn the_stack_is_followed_as_far_as_it_is_known() {
        // push %rbp; push %r12; sub $0x28,%rsp
        assert_eq!(after(&[0x55, 0x41, 0x54, 0x48, 0x83, 0xec, 0x28]).depth(), Some(56));
        // push %rbp; pop %rbp
        assert_eq!(after(&[0x55, 0x5d]).depth(), Some(0));
        // and $-16,%rsp
        assert_eq!(after(&[0x48, 0x83, 0xe4, 0xf0]).depth(), None);
        // sub %rax,%rsp
        assert_eq!(after(&[0x48, 0x29, 0xc4]).depth(), None);
        // sub $0x28,%rsp; add $0x20,%rsp
        assert_eq!(after(&[0x48, 0x83, 0xec, 0x28, 0x48, 0x83, 0xc4, 0x20]).depth(), Some(8));
        // push %rbp; mov %rsp,%rbp; sub $0x20,%rsp; leave
        assert_eq!(after(&[0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x20, 0xc9]).depth(), None);
        // add $8,%rsp: above the entry
        assert_eq!(after(&[0x48, 0x83, 0xc4, 8]).depth(), None);
    }

    #[test]
    fn flags_tell_of_an_argument_until_they_are_written() {
        // test %rdi,%rdi
        assert_eq!(after(&[0x48, 0x85, 0xff]).tested(), Some(0));
        // cmp $0,%rsi
        assert_eq!(after(&[0x48, 0x83, 0xfe, 0]).tested(), Some(1));
        // test %rdi,%rdi; mov %rdi,%rax
        assert_eq!(after(&[0x48, 0x85, 0xff, 0x48, 0x89, 0xf8]).tested(), Some(0));
        // test %rdi,%rdi; add $1,%rax
        assert_eq!(after(&[0x48, 0x85, 0xff, 0x48, 0x83, 0xc0, 1]).tested(), None);
        // test %edi,%edi: the upper half is not tested
        assert_eq!(after(&[0x85, 0xff]).tested(), None);
        // test %rdi,%rsi
        assert_eq!(after(&[0x48, 0x85, 0xfe]).tested(), None);
    }
}
