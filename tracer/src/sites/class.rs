//! Kinds of instructions, as far as the kernel may treat them differently.

use iced_x86::{Code, Instruction, Register};

/// What kind of instruction a probe is put on. A kind that the kernel may emulate is as narrow as the kernel's own test
/// for it, so that what is measured with one instruction of the kind holds for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `push` of a register.
    Push,
    /// A conditional jump to a fixed place.
    ConditionalJump,
    /// A jump to a fixed place.
    Jump,
    /// A call of a fixed place.
    Call,
    /// The `nop` of one byte.
    Nop,
    /// The `nop` of five bytes, which newer kernels replace by a call.
    Nop5,
    /// Any other `nop`.
    LongNop,
    /// `endbr64`, where functions begin that are built for control-flow enforcement.
    Endbr,
    /// `mov` from register to register.
    Move,
    /// `test` of registers.
    Test,
    /// A constant subtracted from the stack pointer.
    SubtractStack,
    /// Anything else.
    Other,
}

impl Class {
    /// How many there are.
    pub const COUNT: usize = 12;

    /// Each of them, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Push,
        Self::ConditionalJump,
        Self::Jump,
        Self::Call,
        Self::Nop,
        Self::Nop5,
        Self::LongNop,
        Self::Endbr,
        Self::Move,
        Self::Test,
        Self::SubtractStack,
        Self::Other,
    ];

    /// Its number, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The kind of an instruction.
    pub(super) fn of(instruction: &Instruction) -> Self {
        match instruction.code() {
            Code::Push_r64 => Self::Push,
            _ if instruction.is_jcc_short_or_near() => Self::ConditionalJump,
            Code::Jmp_rel8_64 | Code::Jmp_rel32_64 => Self::Jump,
            Code::Call_rel32_64 => Self::Call,
            // Only without a prefix: another makes it another instruction, or one that no kernel was asked about.
            Code::Nopd if instruction.len() == 1 => Self::Nop,
            Code::Nop_rm16 | Code::Nop_rm32 | Code::Nop_rm64 if instruction.len() == 5 => Self::Nop5,
            Code::Nop_rm16 | Code::Nop_rm32 | Code::Nop_rm64 | Code::Nopw | Code::Nopq => Self::LongNop,
            Code::Endbr64 => Self::Endbr,
            Code::Mov_r64_rm64 | Code::Mov_rm64_r64 if is_between_registers(instruction) => Self::Move,
            Code::Test_rm64_r64 if is_between_registers(instruction) => Self::Test,
            Code::Sub_rm64_imm8 | Code::Sub_rm64_imm32 if instruction.op0_register() == Register::RSP => {
                Self::SubtractStack
            }
            _ => Self::Other,
        }
    }

    /// A function with such an instruction, to be called without arguments, and where in it the instruction is. It
    /// changes nothing but registers that a called function may change.
    #[must_use]
    pub const fn sample(self) -> (&'static [u8], usize) {
        match self {
            // push %rbp; pop %rbp; ret
            Self::Push => (&[0x55, 0x5d, 0xc3], 0),
            // je to the next instruction
            Self::ConditionalJump => (&[0x74, 0x00, 0xc3], 0),
            Self::Jump => (&[0xeb, 0x00, 0xc3], 0),
            // call of the second ret
            Self::Call => (&[0xe8, 0x01, 0x00, 0x00, 0x00, 0xc3, 0xc3], 0),
            Self::Nop => (&[0x90, 0xc3], 0),
            // nopl 0(%rax,%rax)
            Self::Nop5 => (&[0x0f, 0x1f, 0x44, 0x00, 0x00, 0xc3], 0),
            // nopl 0(%rax)
            Self::LongNop => (&[0x0f, 0x1f, 0x40, 0x00, 0xc3], 0),
            Self::Endbr => (&[0xf3, 0x0f, 0x1e, 0xfa, 0xc3], 0),
            // mov %rdi,%rax
            Self::Move => (&[0x48, 0x89, 0xf8, 0xc3], 0),
            // test %rdi,%rdi
            Self::Test => (&[0x48, 0x85, 0xff, 0xc3], 0),
            // sub $8,%rsp; add $8,%rsp; ret
            Self::SubtractStack => (&[0x48, 0x83, 0xec, 0x08, 0x48, 0x83, 0xc4, 0x08, 0xc3], 0),
            // lea (%rdi),%rax
            Self::Other => (&[0x48, 0x8d, 0x07, 0xc3], 0),
        }
    }

    /// Whether kernels up to 6.12 emulate it (`branch_setup_ops`, `push_setup_ops`).
    #[must_use]
    pub const fn is_emulated_of_old(self) -> bool {
        matches!(self, Self::Push | Self::ConditionalJump | Self::Jump | Self::Call | Self::Nop)
    }
}

fn is_between_registers(instruction: &Instruction) -> bool {
    instruction.op0_kind() == iced_x86::OpKind::Register && instruction.op1_kind() == iced_x86::OpKind::Register
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions};

    fn class(bytes: &[u8]) -> Class {
        Class::of(&Decoder::new(64, bytes, DecoderOptions::NONE).decode())
    }

    #[test]
    fn each_sample_is_of_its_class() {
        for expected in Class::ALL {
            let (bytes, at) = expected.sample();
            assert_eq!(class(&bytes[at..]), expected);
            assert_eq!(Class::ALL[expected.index()], expected);
        }
    }

    #[test]
    fn what_only_looks_like_an_emulated_instruction_is_not_one() {
        assert_eq!(class(&[0x41, 0x54]), Class::Push); // push %r12
        assert_eq!(class(&[0xff, 0x37]), Class::Other); // push (%rdi)
        assert_eq!(class(&[0xff, 0xe0]), Class::Other); // jmp *%rax
        assert_eq!(class(&[0xe3, 0x00]), Class::Other); // jrcxz
        assert_eq!(class(&[0xf3, 0x90]), Class::Other); // pause
        assert_eq!(class(&[0x48, 0x8b, 0x07]), Class::Other); // mov (%rdi),%rax
        assert_eq!(class(&[0x48, 0x83, 0xe8, 0x08]), Class::Other); // sub $8,%rax
    }
}
