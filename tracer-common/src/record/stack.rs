//! Stacks, and what is needed to go on with one.

use super::Head;
use crate::{stack::MAX_FRAMES, unwind::File};

/// A stack; its `head.frames` return addresses follow, leaf first.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Stack {
    /// What, who, when.
    pub head: Head,
    /// The stack's id.
    pub id: u64,
}

/// A [`Stack`] with room for the deepest, as the kernel part builds it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FullStack {
    /// The record.
    pub stack: Stack,
    /// Its return addresses, leaf first.
    pub frames: [u64; MAX_FRAMES],
}

/// A stack has led to a file that has no table yet.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Wanted {
    /// What, who, when.
    pub head: Head,
    /// The file.
    pub file: File,
    /// An address at which the process has it mapped.
    pub address: u64,
}

/// The rest of a stack whose walk ended at a file without a table, or while mappings were being changed. The
/// [`super::Kind::Stack`] with the same id holds the frames so far, and no other stack has this id. `length` bytes of the
/// process's stack follow, from address `base` on.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Remainder {
    /// What, who, when.
    pub head: Head,
    /// The stack's id.
    pub id: u64,
    /// Why the walk ended: the number of a [`crate::unwind::Outcome`].
    pub outcome: u64,
    /// Instruction pointer of the last frame.
    pub pc: u64,
    /// Its stack pointer.
    pub sp: u64,
    /// Its `rbp`.
    pub bp: u64,
    /// 1 when `pc` is a return address.
    pub after_call: u64,
    /// The address of the first byte that follows.
    pub base: u64,
    /// How many bytes follow.
    pub length: u64,
    /// The file without a table; 0 for any other outcome.
    pub file: File,
    /// Return addresses that the kernel keeps for return probes: their place on the stack, and the address that belongs
    /// there. Places of 0 are unused.
    pub held: [[u64; 2]; HELD],
}

/// Functions with a return probe that a thread can be in at one time, as far as is looked.
pub const HELD: usize = 8;

/// Bytes of the stack that go with a [`Remainder`] at most, a multiple of a page.
pub const REMAINDER_BYTES: usize = 32 << 10;

/// A [`Remainder`] with room for as much as there can be, as the kernel part builds it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FullRemainder {
    /// The record.
    pub remainder: Remainder,
    /// The stack, from [`Remainder::base`] on.
    pub memory: [u8; REMAINDER_BYTES],
}

const _: () = {
    assert!(size_of::<Stack>() == 32);
    assert!(size_of::<FullStack>() == 32 + 8 * MAX_FRAMES);
    assert!(size_of::<Wanted>() == 48);
    assert!(size_of::<Remainder>() == 104 + 16 * HELD);
};
