//! Counting, so that nothing is dropped in silence.

use heaptide_common::{Counter, signature::Cookie};

use crate::{
    atomic,
    maps::{CALLS, COUNTERS},
};

/// Adds one.
#[inline(always)]
pub fn count(counter: Counter) {
    add(counter, 1);
}

/// Counts a hit of a probe on an instruction, and whether the kernel steps over that.
#[inline(always)]
pub fn count_hit(cookie: Cookie) {
    count(Counter::Hits);
    count_step(cookie);
}

#[inline(always)]
fn count_step(cookie: Cookie) {
    if cookie.is_stepped() {
        count(Counter::HitsStepped);
    }
}

/// Adds `amount`, and gives this CPU's count before.
#[inline(always)]
pub fn add(counter: Counter, amount: u64) -> u64 {
    let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) else { return 0 };
    // SAFETY: the map gives an aligned pointer to a u64 that lives as long as the program. Atomic, because a probe can be
    // preempted by a task on the same CPU that counts too.
    unsafe { atomic::fetch_add(slot, amount) }
}

/// Counts a call of an allocator's function, in the place of a [`Counter::Hits`].
#[inline(always)]
pub fn count_call(cookie: Cookie) {
    if let Some(slot) = CALLS.get_ptr_mut(cookie.tally()) {
        // SAFETY: as in `add`.
        unsafe { atomic::fetch_add(slot, 1) };
    }
    count_step(cookie);
}
