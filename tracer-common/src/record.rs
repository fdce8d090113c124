//! The records of the rings. Each begins with the same [`Head`]; its kind gives the layout of the rest.
//!
//! All integers are in the byte order of the host. Times are nanoseconds of `CLOCK_MONOTONIC`.

use crate::{sampling::Counts, stack::MAX_FRAMES, unwind::File};

/// What a record says. A number is never given to another meaning.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A block was allocated: [`Allocation`].
    Allocation = 1,
    /// A block is being freed, at the entry of the function: [`Release`].
    Release = 2,
    /// A block is being resized, at the entry of the function: it has ended unless [`Kind::ResizeEnd`] says that the
    /// call failed: [`Release`].
    ResizeBegin = 3,
    /// What became of the resize that this thread had begun: [`Resize`].
    ResizeEnd = 4,
    /// A stack that allocations refer to by its id: [`Stack`] and its frames.
    Stack = 5,
    /// Memory was mapped: [`Map`].
    Map = 6,
    /// Memory is being unmapped, at the entry of the function: [`Unmap`].
    UnmapBegin = 7,
    /// What became of the unmapping that this thread had begun: [`UnmapEnd`].
    UnmapEnd = 8,
    /// A mapping is being resized or moved, at the entry of the function: [`Unmap`].
    RemapBegin = 9,
    /// What became of the remapping that this thread had begun: [`Remap`].
    RemapEnd = 10,
    /// The program break was moved: [`Break`].
    Break = 11,
    /// A process was forked: [`Fork`].
    Fork = 12,
    /// A process runs another program now: [`Head`] alone.
    Exec = 13,
    /// The last thread of a process has ended: [`Head`] alone.
    Exit = 14,
    /// A file whose table is needed was met for the first time: [`Wanted`].
    Wanted = 15,
    /// What is needed to go on with a stack that the kernel part could not follow to its end: [`Remainder`].
    Remainder = 16,
    /// The loader of a process changes, or has changed, what libraries it has: [`Head`] alone.
    Libraries = 17,
    /// A block was allocated that was chosen to stand for others, too: [`Sampled`].
    Sampled = 18,
    /// A thread has ended: [`Counted`].
    Counted = 19,
    /// A page was not there when it was touched, and is now: [`Fault`].
    Fault = 20,
}

impl Kind {
    /// The kind with this number.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Allocation,
            2 => Self::Release,
            3 => Self::ResizeBegin,
            4 => Self::ResizeEnd,
            5 => Self::Stack,
            6 => Self::Map,
            7 => Self::UnmapBegin,
            8 => Self::UnmapEnd,
            9 => Self::RemapBegin,
            10 => Self::RemapEnd,
            11 => Self::Break,
            12 => Self::Fork,
            13 => Self::Exec,
            14 => Self::Exit,
            15 => Self::Wanted,
            16 => Self::Remainder,
            17 => Self::Libraries,
            18 => Self::Sampled,
            19 => Self::Counted,
            20 => Self::Fault,
            _ => return None,
        })
    }
}

/// The first 24 bytes of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Head {
    /// A [`Kind`].
    pub kind: u16,
    /// Bits of the kind's own: see [`flag`].
    pub flags: u16,
    /// The process (thread group), as the initial PID namespace numbers it.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// Frames of a [`Kind::Stack`], else 0.
    pub frames: u32,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`; 0 in records of what ends or begins to end, whose time nobody needs
    /// ([`Kind::Release`], [`Kind::ResizeBegin`], [`Kind::ResizeEnd`], [`Kind::UnmapBegin`], [`Kind::RemapBegin`]).
    pub time: u64,
}

/// Bits of [`Head::flags`].
pub mod flag {
    /// The call came from within an allocator's function: the allocator's own growth.
    pub const BENEATH: u16 = 1;
    /// The call succeeded.
    pub const SUCCEEDED: u16 = 2;
    /// Parent and child share their memory (`vfork`, `clone(CLONE_VM)`) until the child runs another program.
    pub const SHARES_MEMORY: u16 = 4;
    /// The stack was deeper than can be kept.
    pub const TRUNCATED: u16 = 8;
    /// The stack ends before its outermost frame, for whatever reason.
    pub const INCOMPLETE: u16 = 16;
    /// A frame of the stack is a guess by the frame pointer: its code has no call frame information.
    pub const GUESSED: u16 = 32;
    /// The release came from within a function of a user-named allocator. It may be of a block that was handed out (a
    /// collector that frees while it is asked for memory), or of what the allocator itself stands on: only whoever knows
    /// the live blocks can tell.
    pub const NESTED: u16 = 64;
    /// The release is by a function of a user-named allocator.
    pub const NAMED: u16 = 128;
    /// The page that a fault has brought may not be written to: of memory without a file it is the kernel's page of zeroes,
    /// which all share; of a file that is mapped privately, the file's own page.
    pub const READ_ONLY: u16 = 256;
    /// The first frame of the stack is an instruction that was interrupted, and no return address.
    pub const INTERRUPTED: u16 = 512;
}

/// What a page that was touched belongs to: values of [`Fault::memory`].
pub mod touched {
    /// Not known: the process was just changing its mappings.
    pub const UNKNOWN: u32 = 0;
    /// Memory without a file.
    pub const ANONYMOUS: u32 = 1;
    /// Memory below the program break (`[heap]`).
    pub const BREAK: u32 = 2;
    /// A stack that grows by itself: that of a process's first thread.
    pub const STACK: u32 = 3;
    /// A file that is mapped privately: what is written to becomes a copy of the process's own.
    pub const PRIVATE_FILE: u32 = 4;
    /// A file that is mapped to be shared.
    pub const FILE: u32 = 5;
    /// Memory to be shared, which has no file on a disk: `shmem`, `tmpfs`, `memfd`.
    pub const SHARED: u32 = 6;
    /// Huge pages of `hugetlbfs`, which are no part of a process's resident memory.
    pub const HUGE: u32 = 7;
}

/// A block was allocated.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Allocation {
    /// What, who, when.
    pub head: Head,
    /// Where the block begins.
    pub address: u64,
    /// Bytes asked for.
    pub size: u64,
    /// The stack's id; 0 when it could not be taken.
    pub stack: u64,
}

/// A block was allocated that was chosen to stand for others, too.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Sampled {
    /// The block. Its head's kind is [`Kind::Sampled`].
    pub allocation: Allocation,
    /// The interval by which it was chosen; 1 or 0 when every block is recorded.
    pub interval: u32,
    /// For how many times its length the pulse stands in which it was recorded; 1 or 0 when it was not in pulses.
    pub pulse: u32,
}

/// A thread has ended. Of two that end at the same time, the last may be told of first: after its process's exit.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Counted {
    /// What, who, when.
    pub head: Head,
    /// What it had done.
    pub counts: Counts,
}

/// A block is being freed or resized.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Release {
    /// What, who, when.
    pub head: Head,
    /// Where the block begins.
    pub address: u64,
}

/// What became of a resize; [`flag::SUCCEEDED`] tells.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Resize {
    /// What, who, when.
    pub head: Head,
    /// Where the block began before the call.
    pub address: u64,
}

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

/// Memory was mapped by `mmap`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Map {
    /// What, who, when.
    pub head: Head,
    /// Where it begins.
    pub address: u64,
    /// Bytes asked for, not rounded to pages.
    pub length: u64,
    /// The stack's id; 0 when it could not be taken.
    pub stack: u64,
    /// `PROT_` bits of the call.
    pub protection: u32,
    /// `MAP_` bits of the call.
    pub flags: u32,
}

/// Memory is being unmapped or remapped.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Unmap {
    /// What, who, when.
    pub head: Head,
    /// Where the range begins.
    pub address: u64,
    /// Bytes, not rounded to pages.
    pub length: u64,
}

/// What became of an unmapping; [`flag::SUCCEEDED`] tells.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct UnmapEnd {
    /// What, who, when.
    pub head: Head,
}

/// What became of a remapping; [`flag::SUCCEEDED`] tells.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Remap {
    /// What, who, when.
    pub head: Head,
    /// Where the range begins now.
    pub address: u64,
    /// Bytes asked for, not rounded to pages.
    pub length: u64,
    /// The stack's id; 0 when it could not be taken.
    pub stack: u64,
}

/// The program break was moved.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Break {
    /// What, who, when.
    pub head: Head,
    /// The break before the call; 0 when the call does not tell (`brk`).
    pub before: u64,
    /// The break after the call.
    pub after: u64,
    /// The stack's id; 0 when it could not be taken.
    pub stack: u64,
}

/// A page was not there when it was touched, and is now.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Fault {
    /// What, who, when.
    pub head: Head,
    /// The address that was touched.
    pub address: u64,
    /// The stack's id; 0 when it could not be taken.
    pub stack: u64,
    /// What the page belongs to, of [`touched`].
    pub memory: u32,
    /// Bytes of the page, a power of two; 0 when that is not known.
    pub bytes: u32,
}

/// A process was forked.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable)
)]
pub struct Fork {
    /// What, who (the parent), when.
    pub head: Head,
    /// The child's process id.
    pub child: u32,
    /// 0.
    pub unused: u32,
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
/// [`Kind::Stack`] with the same id holds the frames so far, and no other stack has this id. `length` bytes of the
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
    assert!(size_of::<Remainder>() == 104 + 16 * HELD);
    assert!(size_of::<Wanted>() == 48);
    assert!(size_of::<Head>() == 24);
    assert!(size_of::<Allocation>() == 48);
    assert!(size_of::<Sampled>() == 56);
    assert!(size_of::<Counted>() == 48);
    assert!(size_of::<Release>() == 32);
    assert!(size_of::<Resize>() == 32);
    assert!(size_of::<Stack>() == 32);
    assert!(size_of::<FullStack>() == 32 + 8 * MAX_FRAMES);
    assert!(size_of::<Map>() == 56);
    assert!(size_of::<Unmap>() == 40);
    assert!(size_of::<UnmapEnd>() == 24);
    assert!(size_of::<Remap>() == 48);
    assert!(size_of::<Break>() == 48);
    assert!(size_of::<Fork>() == 32);
    assert!(size_of::<Fault>() == 48);
};
