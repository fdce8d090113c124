//! Counting, so that nothing is dropped in silence.

use heaptide_common::Counter;

use crate::{atomic, maps::COUNTERS};

/// Adds one.
#[inline(always)]
pub fn count(counter: Counter) {
    add(counter, 1);
}

/// Adds `amount`, and gives this CPU's count before.
#[inline(always)]
pub fn add(counter: Counter, amount: u64) -> u64 {
    let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) else { return 0 };
    // SAFETY: the map gives an aligned pointer to a u64 that lives as long as the program. Atomic, because a probe can be
    // preempted by a task on the same CPU that counts too.
    unsafe { atomic::fetch_add(slot, amount) }
}
