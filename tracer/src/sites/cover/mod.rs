//! Sites that take the place of a function's entry and return together.
//!
//! A hit at the entry and one at the return cost two traps for an allocation. Deep in the function there can be an instruction
//! where the size still is in a register and the block already is, and that the kernel emulates: one trap. A *cover* is a
//! set of such sites of which every call that gives a block passes exactly one. On ways where something is called on the
//! way to the block, which may allocate or map itself, a site before the call begins it: two traps, as with the entry and
//! the return. Where another function is jumped to, the call is probed from there on as from its entry.
//!
//! Proven over the disassembled function, with all its jumps:
//! - where the size is, where the caller's frame is and where its frame pointer is, forward from the begin ([`graph`]);
//! - which register holds what will be returned, and that nothing is called any more, backward from the returns ([`result`]);
//! - that every way passes one site ([`choose`]). A site is a *way* out of an instruction: where that is a conditional jump,
//!   the kernel part looks at the flags, so the way into a failed assertion is another one.
//!
//! What cannot be proven is refused, and entry and return are probed.

mod choose;
mod ends;
mod graph;
mod result;

use std::{fmt, ops::Range};

use super::{Class, Code, Prices};

/// What a site of a cover is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A call has begun that may call others.
    Begin,
    /// A block is about to be returned.
    Done,
    /// Another function is jumped to, which returns in this one's place: the call is probed from here on as from an entry on,
    /// with its return.
    Handover,
}

/// When a site that is a conditional jump counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The condition that must hold, by its number in instructions (`0x4`: equal).
    pub number: u8,
    /// Where it does not hold, the call fails.
    pub fails_else: bool,
}

/// A site of a cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is for.
    pub purpose: Purpose,
    /// Bytes from the function's begin.
    pub at: u64,
    /// Bytes of the instruction.
    pub length: u64,
    /// The instruction, as disassemblers write it.
    pub instruction: String,
    /// Its kind.
    pub class: Class,
    /// The register with the size, by its number in instructions. `None` where only calls come that have begun.
    pub size: Option<u8>,
    /// The register with the block; `None` where it is not known yet.
    pub block: Option<u8>,
    /// Bytes between the stack pointer and the return address.
    pub depth: u32,
    /// Where the caller's frame pointer was saved, in bytes below the return address; `None` where it is in its register.
    pub frame_pointer: Option<u32>,
    /// Whether calls come here that pass no other site.
    pub is_alone: bool,
    /// On which way from the instruction it counts; `None` for any.
    pub condition: Option<Condition>,
}

/// Why a function has no cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The code cannot be read as instructions.
    Unreadable,
    /// It computes where it jumps.
    ComputedJump,
    /// There is too much code.
    TooLarge,
    /// It goes on in another function.
    Elsewhere,
    /// A way to a return has no instruction that is emulated and behind which the block is known.
    Uncovered,
    /// A call on the way cannot be told of before it.
    UntoldCall,
    /// The size, the caller's frame or its frame pointer are not known at a site.
    OutOfReach,
    /// No call would pass a single site, or some would pass too many.
    NoCheaper,
    /// It goes on in another function that an exception may leave, and whose return must not be probed.
    Throws,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "its code cannot be read",
            Self::ComputedJump => "it computes where it jumps",
            Self::TooLarge => "too much code to be followed",
            Self::Elsewhere => "it goes on in another function",
            Self::Uncovered => "the block is not known at a cheap instruction on every way",
            Self::UntoldCall => "it calls others where its own call cannot be told of cheaply",
            Self::OutOfReach => "the size or the caller's frame is not known where the block is",
            Self::Throws => "it goes on in another function that an exception may leave",
            Self::NoCheaper => "other sites would not be cheaper",
        })
    }
}

/// Longest function that is looked at, in bytes: all of it is compared with what a process runs.
const LONGEST: u64 = 4096;

/// The sites, in the order of their addresses, of the function `whole` that takes a size as its argument number `size` and returns a block.
///
/// # Errors
/// Why there is none.
pub(super) fn cover(
    code: &(impl Code + ?Sized),
    whole: &Range<u64>,
    size: u8,
    prices: &Prices,
) -> Result<Vec<Part>, Refusal> {
    if whole.end - whole.start > LONGEST {
        return Err(Refusal::TooLarge);
    }
    let graph = graph::graph(code, whole)?;
    let rests = result::rests(&graph);
    let mut parts = choose::choose(&graph, &rests, whole.start, size, prices)?;
    parts.sort_by_key(|part| part.at);
    Ok(parts)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
