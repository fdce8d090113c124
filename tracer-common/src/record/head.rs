//! What every record begins with.

/// What a record says. A number is never given to another meaning.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A block was allocated: [`super::Allocation`].
    Allocation = 1,
    /// A block is being freed, at the entry of the function: [`super::Release`].
    Release = 2,
    /// A block is being resized, at the entry of the function: it has ended unless [`Kind::ResizeEnd`] says that the
    /// call failed: [`super::Release`].
    ResizeBegin = 3,
    /// What became of the resize that this thread had begun: [`super::Resize`].
    ResizeEnd = 4,
    /// A stack that allocations refer to by its id: [`super::Stack`] and its frames.
    Stack = 5,
    /// Memory was mapped: [`super::Map`].
    Map = 6,
    /// Memory is being unmapped, at the entry of the function: [`super::Unmap`].
    UnmapBegin = 7,
    /// What became of the unmapping that this thread had begun: [`super::UnmapEnd`].
    UnmapEnd = 8,
    /// A mapping is being resized or moved, at the entry of the function: [`super::Unmap`].
    RemapBegin = 9,
    /// What became of the remapping that this thread had begun: [`super::Remap`].
    RemapEnd = 10,
    /// The program break was moved: [`super::Break`].
    Break = 11,
    /// A process was forked: [`super::Fork`].
    Fork = 12,
    /// A process runs another program now: [`Head`] alone.
    Exec = 13,
    /// The last thread of a process has ended: [`Head`] alone.
    Exit = 14,
    /// A file whose table is needed was met for the first time: [`super::Wanted`].
    Wanted = 15,
    /// What is needed to go on with a stack that the kernel part could not follow to its end: [`super::Remainder`].
    Remainder = 16,
    /// The loader of a process changes, or has changed, what libraries it has: [`Head`] alone.
    Libraries = 17,
    /// A block was allocated that was chosen to stand for others, too: [`super::Sampled`].
    Sampled = 18,
    /// A thread has ended: [`super::Counted`].
    Counted = 19,
    /// A page was not there when it was touched, and is now: [`super::Fault`].
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

const _: () = {
    assert!(size_of::<Head>() == 24);
};
