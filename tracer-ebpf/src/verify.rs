//! What the verifier must see to believe.

use core::arch::asm;

/// `value & MASK`, where the compiler may not leave the mask out: it drops one that it can prove to change nothing, by
/// reasoning that the verifier does not follow.
#[inline(always)]
pub fn mask<const MASK: u64>(value: u64) -> u64 {
    let mut value = value;
    // SAFETY: changes one register.
    unsafe {
        asm!(
            "{value} &= {mask}",
            value = inout(reg) value,
            mask = const MASK,
            options(pure, nomem, nostack)
        );
    }
    value
}
