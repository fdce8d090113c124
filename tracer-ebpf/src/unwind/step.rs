//! One frame that must be looked up or read for, or the end of the walk.

use heaptide_common::{
    record::FullStack,
    stack::MAX_FRAMES,
    unwind::{Kind, Outcome, Rule, signal},
};

use super::{
    Walk,
    cache::{Cache, Place},
    held,
    table::{self, Found},
    take_frame, untake_frame, window,
};

/// Takes one frame, or says in `walk.outcome` why there is none.
///
/// # Safety
/// As [`super::walk`].
#[inline(always)]
pub unsafe fn one(walk: *mut Walk, record: *mut FullStack, cache: Cache) {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        let rule = match rule(walk, cache) {
            Ok(Some(rule)) => rule,
            Ok(None) => {
                // The frame's own address was not what it seemed, and is taken anew.
                untake_frame(walk);
                take_frame(walk, record);
                return;
            }
            Err(outcome) => {
                (*walk).outcome = outcome as u64;
                return;
            }
        };
        match apply(walk, rule) {
            // A return address of 0 is where thread libraries and boot code end their stacks.
            Ok(()) if (*walk).pc == 0 => (*walk).outcome = Outcome::Complete as u64,
            // Only now is it known that there is one more frame than can be kept.
            Ok(()) if (*walk).frames >= MAX_FRAMES as u64 => (*walk).outcome = Outcome::TooDeep as u64,
            Ok(()) => take_frame(walk, record),
            Err(outcome) => (*walk).outcome = outcome as u64,
        }
    }
}

/// The frame's rule, from the cache or from the tables; `None` when another address was put in the place of its own.
#[inline(always)]
unsafe fn rule(walk: *mut Walk, cache: Cache) -> Result<Option<Rule>, Outcome> {
    // SAFETY: as in `one`.
    unsafe {
        let at = (*walk).pc - (*walk).after_call;
        let place = Place::of(at, (*walk).salt);
        let bits = cache.load(place);
        if bits >> Rule::BITS == 0 {
            return Ok(Some(Rule::from_bits(bits as u32)));
        }
        let found = table::find(at);
        match found {
            Found::Rule(rule) => {
                cache.store(place, rule);
                Ok(Some(rule))
            }
            // The kernel's own page for return probes is no file; the byte before it is not even mapped. The true
            // address is the kernel's to tell, whether or not it tells what is mapped.
            Found::Anonymous | Found::Unmapped | Found::Busy => {
                let held = held::return_address((*walk).sp.wrapping_sub(8));
                if held != 0 && held != (*walk).pc {
                    (*walk).pc = held;
                    return Ok(None);
                }
                match found {
                    Found::Unmapped => return Err(Outcome::Unmapped),
                    Found::Busy => return Err(Outcome::Busy),
                    _ => {}
                }
                cache.store(place, Rule::NO_CFI);
                Ok(Some(Rule::NO_CFI))
            }
            Found::NoTable(file) => {
                (*walk).file = file;
                Err(Outcome::NoTable)
            }
        }
    }
}

#[inline(always)]
unsafe fn apply(walk: *mut Walk, rule: Rule) -> Result<(), Outcome> {
    // SAFETY: as in `one`.
    unsafe {
        let (sp, bp) = ((*walk).sp, (*walk).bp);
        let cfa = match rule.kind() {
            Kind::End => return Err(Outcome::Complete),
            Kind::NotExpressible => return Err(Outcome::NotExpressible),
            Kind::Signal => return interrupted(walk),
            Kind::NoCfi => bp.wrapping_add(16),
            Kind::Rsp => sp.wrapping_add(rule.offset() as u64),
            Kind::Rbp => bp.wrapping_add(rule.offset() as u64),
            Kind::DerefRbp => {
                let at = bp.wrapping_add(rule.offset() as u64);
                window::read(walk, at).ok_or(Outcome::BadRead)?
            }
            Kind::Plt => {
                let pushed = (*walk).pc & 15 >= rule.plt_threshold();
                sp.wrapping_add(8 + 8 * u64::from(pushed))
            }
        };
        // Where a program begins, rbp is 0 (System V ABI, "Initial Stack and Register State"), and code without CFI that
        // still has it has no caller: the loader's first lines.
        if rule.kind() == Kind::NoCfi && bp == 0 {
            return Err(Outcome::Complete);
        }
        if rule.kind() == Kind::NoCfi {
            (*walk).guessed = 1;
        }
        // A caller's frame lies above its callee's.
        if cfa <= sp {
            return Err(if rule.kind() == Kind::NoCfi { Outcome::NoCfi } else { Outcome::BadFrame });
        }
        let slot = match rule.kind() {
            Kind::NoCfi => 16,
            Kind::Plt => 0,
            Kind::DerefRbp => 0,
            _ => rule.slot(),
        };
        // The words that are needed now, and what follows them upwards, in one read.
        let lowest = cfa.wrapping_sub(if slot == 0 { 8 } else { slot });
        let offset = lowest.wrapping_sub((*walk).base);
        let top = cfa.wrapping_sub(8).wrapping_sub((*walk).base);
        if (offset >= (*walk).length || top >= (*walk).length) && !window::fill(walk, lowest) {
            return Err(Outcome::BadRead);
        }
        let pc = window::read(walk, cfa.wrapping_sub(8)).ok_or(Outcome::BadRead)?;
        if rule.kind() == Kind::DerefRbp {
            // Here the slot counts from the frame's own rbp.
            if rule.slot() != 0 {
                let at = bp.wrapping_add(8).wrapping_sub(rule.slot());
                (*walk).bp = window::read(walk, at).ok_or(Outcome::BadRead)?;
            }
        } else if slot != 0 {
            (*walk).bp = window::read(walk, cfa.wrapping_sub(slot)).ok_or(Outcome::BadRead)?;
        }
        (*walk).pc = pc;
        (*walk).sp = cfa;
        (*walk).after_call = 1;
        Ok(())
    }
}

/// From the frame that the kernel built for a signal handler to the code that the signal interrupted.
#[inline(always)]
unsafe fn interrupted(walk: *mut Walk) -> Result<(), Outcome> {
    // SAFETY: as in `one`.
    unsafe {
        let sp = (*walk).sp;
        let pc = window::read(walk, sp.wrapping_add(signal::RIP)).ok_or(Outcome::BadRead)?;
        let bp = window::read(walk, sp.wrapping_add(signal::RBP)).ok_or(Outcome::BadRead)?;
        (*walk).sp = window::read(walk, sp.wrapping_add(signal::RSP)).ok_or(Outcome::BadRead)?;
        (*walk).pc = pc;
        (*walk).bp = bp;
        // Not a call, but an instruction, was interrupted; and it may have run on another stack.
        (*walk).after_call = 0;
        Ok(())
    }
}
