//! Frames whose rule is in the cache and whose words are in the window: no call, one way out.

use heaptide_common::{
    record::FullStack,
    stack::MAX_FRAMES,
    unwind::{Kind, Rule},
};

use super::{
    Walk,
    cache::{Cache, Place},
    take_frame, window,
};

/// Frames of a round at most. The verifier looks at each turn until nothing new comes; fewer turns, less to look at.
const TURNS: u32 = 32;

/// Takes frames until one is not at hand, which is true then, or for as long as a round lasts.
///
/// # Safety
/// As [`super::walk`].
#[inline(always)]
pub unsafe fn frames(walk: *mut Walk, record: *mut FullStack, cache: Cache) -> bool {
    // SAFETY: the caller vouches for the pointers; every index is masked.
    unsafe {
        let (mut pc, mut sp, mut bp) = ((*walk).pc, (*walk).sp, (*walk).bp);
        let (base, length, salt) = ((*walk).base, (*walk).length, (*walk).salt);
        for _ in 0..TURNS {
            let place = Place::of(pc - (*walk).after_call, salt);
            let bits = cache.load(place);
            let rule = Rule::from_bits(bits as u32);
            let from = if bits & 7 == Kind::Rsp as u64 { sp } else { bp };
            let cfa = from.wrapping_add(rule.offset() as u64);
            let slot = rule.slot();
            let returns = cfa.wrapping_sub(8).wrapping_sub(base);
            // Where rbp is not saved, the word that is read instead is not used.
            let saved = if slot == 0 { returns } else { cfa.wrapping_sub(slot).wrapping_sub(base) };
            // Both are masked into the window, and used only when they were in it.
            let (caller, kept) = (window::word(walk, returns), window::word(walk, saved));
            // One test for all that can be wrong: the verifier follows each branch that leaves the loop.
            let wrong = bits >> Rule::BITS
                | u64::from(!rule.is_plain())
                | u64::from(returns >= length)
                | u64::from(saved >= length)
                | (returns | saved) & 7
                | u64::from(cfa <= sp)
                | u64::from((*walk).frames >= MAX_FRAMES as u64)
                // The end of the stack: `step` says so.
                | u64::from(caller == 0);
            if wrong != 0 {
                return true;
            }
            pc = caller;
            sp = cfa;
            bp = if slot == 0 { bp } else { kept };
            (*walk).pc = pc;
            (*walk).sp = sp;
            (*walk).bp = bp;
            (*walk).after_call = 1;
            take_frame(walk, record);
        }
    }
    false
}
