//! The kernel part's unwinder in plain code, over a stack that was copied: slow, and easy to check.
//!
//! It decides nothing on its own. Where the two differ, one of them is wrong.

use heaptide_common::unwind::signal;

use super::{Kind, Rule};

/// The registers that unwinding needs, at one place of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// `rip`.
    pub pc: u64,
    /// `rsp`.
    pub sp: u64,
    /// `rbp`.
    pub bp: u64,
}

/// The process as it was.
pub trait Process {
    /// The rule that holds at `address`, where [`Rule::NO_CFI`] stands for "no file is mapped there" too.
    fn rule(&self, address: u64) -> Rule;

    /// The eight bytes at `address`; `None` when they cannot be read.
    fn word(&self, address: u64) -> Option<u64>;
}

/// Why an unwinding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The outermost frame was reached: the stack is whole.
    Bottom,
    /// The return address is 0, which some run-time systems put at the bottom of their threads.
    Zero,
    /// The frame's CFI cannot be said by a rule.
    NotExpressible,
    /// The stack could not be read there.
    Unreadable,
    /// The step leads down the stack, or nowhere: the rule does not fit the stack.
    NoProgress,
    /// There is no CFI, and `rbp` does not point to a frame.
    NoFrame,
    /// The largest depth was reached.
    TooDeep,
}

/// An unwound stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwound {
    /// Where each frame goes on, leaf first: the return addresses, and the interrupted instructions of signal frames.
    pub frames: Vec<u64>,
    /// Why it ended.
    pub end: End,
    /// Frames whose caller was guessed by the frame pointer, for want of CFI.
    pub guessed: usize,
}

/// Unwinds from the entry of a function (no instruction of it has run): the return address is on top of the stack.
/// At most `depth` frames.
#[must_use]
pub fn unwind_from_entry(process: &impl Process, entry: Registers, depth: usize) -> Unwound {
    let caller = process.word(entry.sp).map(|pc| Registers { pc, sp: entry.sp.wrapping_add(8), bp: entry.bp });
    match caller {
        Some(caller) => unwind(process, caller, true, depth),
        None => Unwound { frames: Vec::new(), end: End::Unreadable, guessed: 0 },
    }
}

/// Unwinds from `registers`, whose `pc` becomes the first frame; `returns`: that is a return address. At most `depth`
/// frames.
#[must_use]
pub fn unwind(process: &impl Process, registers: Registers, returns: bool, depth: usize) -> Unwound {
    let mut unwound = Unwound { frames: Vec::new(), end: End::TooDeep, guessed: 0 };
    let (mut registers, mut returns) = (registers, returns);
    while unwound.frames.len() < depth {
        if registers.pc == 0 {
            unwound.end = End::Zero;
            return unwound;
        }
        unwound.frames.push(registers.pc);
        // The call may be the last instruction of its function.
        let rule = process.rule(if returns { registers.pc - 1 } else { registers.pc });
        match step(process, rule, registers) {
            Ok(caller) => registers = caller,
            Err(end) => {
                unwound.end = end;
                return unwound;
            }
        }
        unwound.guessed += usize::from(rule.kind() == Kind::NoCfi);
        returns = rule.kind() != Kind::Signal;
    }
    unwound
}

/// The registers as they are in the caller once the frame has returned.
fn step(process: &impl Process, rule: Rule, registers: Registers) -> Result<Registers, End> {
    let Registers { pc, sp, bp } = registers;
    let word = |address| process.word(address).ok_or(End::Unreadable);
    let offset = rule.offset();
    let (cfa, anchor) = match rule.kind() {
        Kind::Rsp => (sp.wrapping_add_signed(offset), None),
        Kind::Rbp => (bp.wrapping_add_signed(offset), None),
        Kind::DerefRbp => (word(bp.wrapping_add_signed(offset))?, Some(bp.wrapping_add(8))),
        Kind::Plt => (sp.wrapping_add(if pc & 15 >= rule.plt_threshold() { 16 } else { 8 }), None),
        Kind::Signal => {
            let at = |place: u64| word(sp.wrapping_add(place));
            // A handler may run on a stack of its own, so the interrupted one can be anywhere.
            return Ok(Registers { pc: at(signal::RIP)?, sp: at(signal::RSP)?, bp: at(signal::RBP)? });
        }
        Kind::End => return Err(End::Bottom),
        Kind::NotExpressible => return Err(End::NotExpressible),
        Kind::NoCfi => return frame_pointer_step(process, registers),
    };
    if cfa <= sp || cfa & 7 != 0 {
        return Err(End::NoProgress);
    }
    let saved = anchor.unwrap_or(cfa).wrapping_sub(rule.slot());
    let bp = if rule.slot() == 0 { bp } else { word(saved)? };
    Ok(Registers { pc: word(cfa.wrapping_sub(8))?, sp: cfa, bp })
}

fn frame_pointer_step(process: &impl Process, registers: Registers) -> Result<Registers, End> {
    let Registers { sp, bp, .. } = registers;
    if bp < sp || bp & 7 != 0 {
        return Err(End::NoFrame);
    }
    let word = |address: u64| process.word(address).ok_or(End::NoFrame);
    Ok(Registers { pc: word(bp.wrapping_add(8))?, sp: bp.wrapping_add(16), bp: word(bp)? })
}
