//! Rules of addresses seen before, of all processes, in one array of words.
//!
//! A word holds the rule (low 27 bits) and 37 bits of the address mixed with the process, whose other bits choose the
//! place: one load tells whether the word is the right one, and no reader can see half of it. A place holds one word; a
//! newer address takes it from an older one.

use heaptide_common::unwind::Rule;

use crate::{maps::RULES, verify::mask};

/// Words in the cache.
pub const WORDS: usize = 1 << 16;

const TAG_SHIFT: u32 = Rule::BITS;

/// The cache.
#[derive(Clone, Copy)]
pub struct Cache(*mut u64);

/// Where an address belongs, and what its word carries.
#[derive(Clone, Copy)]
pub struct Place {
    index: u64,
    tag: u64,
}

impl Place {
    /// Of the address `at` in the process with `salt`.
    #[inline(always)]
    pub fn of(at: u64, salt: u64) -> Self {
        // An odd multiplier makes another address of every address: index and tag together are as good as it.
        let mixed = (at ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { index: mask::<{ WORDS as u64 - 1 }>(mixed >> 48), tag: (mixed ^ mixed >> 31) << TAG_SHIFT >> TAG_SHIFT }
    }
}

impl Cache {
    #[inline(always)]
    pub fn get() -> Option<Self> {
        RULES.get_ptr_mut(0).map(|words| Self(words.cast()))
    }

    /// The word at `place`, less its tag: the rule's bits when they are those of the address, else more than any rule.
    #[inline(always)]
    pub fn load(self, place: Place) -> u64 {
        // SAFETY: the index is within the array.
        let word = unsafe { self.0.add(place.index as usize).read_volatile() };
        word ^ place.tag << TAG_SHIFT
    }

    /// Keeps a rule.
    #[inline(always)]
    pub fn store(self, place: Place, rule: Rule) {
        // SAFETY: the index is within the array.
        unsafe { self.0.add(place.index as usize).write_volatile(place.tag << TAG_SHIFT | u64::from(rule.bits())) };
    }
}
