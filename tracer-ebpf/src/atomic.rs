//! The three atomic instructions that the probes need. The target's `core` has no read-modify-write atomics, since the
//! first version of the instruction set lacked them; the third (kernel 5.12) has them.

use core::arch::asm;

/// Adds `amount` to the word at `address`, and gives what stood there before.
///
/// # Safety
/// `address` is valid for reads and writes, and aligned.
#[inline(always)]
pub unsafe fn fetch_add(address: *mut u64, amount: u64) -> u64 {
    let mut value = amount;
    // SAFETY: the caller vouches for the address.
    unsafe {
        asm!(
            "{value} = atomic_fetch_add((u64 *)({address} + 0), {value})",
            address = in(reg) address,
            value = inout(reg) value,
            options(nostack)
        );
    };
    value
}

/// Puts `new` into the word at `address`, and gives what stood there before.
///
/// # Safety
/// `address` is valid for reads and writes, and aligned.
#[inline(always)]
pub unsafe fn exchange(address: *mut u64, new: u64) -> u64 {
    let mut value = new;
    // SAFETY: the caller vouches for the address.
    unsafe {
        asm!(
            "{value} = xchg_64({address} + 0, {value})",
            address = in(reg) address,
            value = inout(reg) value,
            options(nostack)
        );
    };
    value
}

/// Puts `new` into the word at `address` when `old` stands there, and gives what stood there before.
///
/// # Safety
/// `address` is valid for reads and writes, and aligned.
#[inline(always)]
pub unsafe fn compare_exchange(address: *mut u64, old: u64, new: u64) -> u64 {
    let mut value = old;
    // SAFETY: the caller vouches for the address.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({address} + 0, r0, {new})",
            address = in(reg) address,
            new = in(reg) new,
            inout("r0") value,
            options(nostack)
        );
    };
    value
}
