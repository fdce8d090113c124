//! What a ring tells that is no account: others must know of it.

use heaptide_common::{
    record::{HELD, Remainder, flag},
    unwind::{File, Outcome},
};

use super::Key;
use crate::{stacks::Marks, unwind::reference::Registers};

/// What others than the shard must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A stack, to be kept by value.
    Stack {
        /// Whose.
        pid: u32,
        /// What allocations call it.
        id: u64,
        /// Return addresses, leaf first.
        frames: Box<[u64]>,
        /// What is to be known of it.
        marks: Marks,
    },
    /// What is needed to go on with a stack that was sent before.
    Remains(Box<Remains>),
    /// A process that will be traced was forked.
    Forked {
        /// The parent.
        parent: u32,
        /// The child.
        child: Key,
    },
    /// A process runs another program, in a new account.
    Program(Key),
    /// A process has loaded libraries or lost some, or is about to.
    Libraries(u32),
    /// A process has ended.
    Exited(u32),
    /// A stack has led to a file that has no table yet.
    Wanted {
        /// The process.
        pid: u32,
        /// The file, as the kernel numbers it.
        file: File,
        /// An address at which the process has it mapped.
        address: u64,
    },
}

/// A stack whose walk the kernel part could not end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    /// Whose.
    pub pid: u32,
    /// What allocations call it.
    pub id: u64,
    /// Why the walk ended.
    pub outcome: Outcome,
    /// The file without a table, when that is why.
    pub file: Option<File>,
    /// The registers in its last frame.
    pub registers: Registers,
    /// Whether that frame's instruction pointer is a return address.
    pub returns: bool,
    /// Whether a frame before is a guess.
    pub guessed: bool,
    /// Return addresses that the kernel keeps for return probes: their place on the stack, and the address.
    pub held: [[u64; 2]; HELD],
    /// The address of the first byte of `memory`.
    pub base: u64,
    /// A copy of the thread's stack.
    pub memory: Box<[u8]>,
}

impl Remains {
    pub(super) fn read(record: &Remainder, memory: &[u8]) -> Option<Self> {
        Some(Self {
            pid: record.head.pid,
            id: record.id,
            outcome: Outcome::from_number(record.outcome)?,
            file: (record.file != File::default()).then_some(record.file),
            registers: Registers { pc: record.pc, sp: record.sp, bp: record.bp },
            returns: record.after_call != 0,
            guessed: record.head.flags & flag::GUESSED != 0,
            held: record.held,
            base: record.base,
            memory: memory.into(),
        })
    }
}
