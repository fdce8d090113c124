//! A piece of the stack, read at once: one read of some kilobytes costs little more than one of a word.

use aya_ebpf::helpers::generated::bpf_probe_read_user;

use super::Walk;
use crate::verify::mask;

/// Words of a window.
pub const WINDOW_WORDS: usize = 1024;

const WINDOW_BYTES: u64 = WINDOW_WORDS as u64 * 8;
const PAGE: u64 = 4096;

/// Reads the stack from `address` on, as much as a window holds, up to the end of a page.
///
/// # Safety
/// `walk` is the caller's own.
#[inline(always)]
pub unsafe fn fill(walk: *mut Walk, address: u64) -> bool {
    let base = address & !7;
    // Past the end of a page there may be nothing. Two pages' worth is tried first, then what is sure to be there.
    let rest = PAGE - (base & (PAGE - 1));
    // SAFETY: the caller vouches for the pointer; the helper checks the address and writes no more than the window holds.
    unsafe {
        let window = (&raw mut (*walk).window).cast();
        let mut length = mask::<{ 2 * PAGE - 1 }>(rest + PAGE);
        if length > WINDOW_BYTES {
            length = WINDOW_BYTES;
        }
        // All that there is, when it is less: copying is most of a read.
        let rest_of_stack = mask::<{ !7 }>((*walk).top.wrapping_sub(base));
        if rest_of_stack < length {
            length = mask::<{ 2 * PAGE - 1 }>(rest_of_stack);
        }
        (*walk).base = base;
        if length != 0 && bpf_probe_read_user(window, length as u32, base as *const _) == 0 {
            (*walk).length = length;
            return true;
        }
        let length = mask::<{ 2 * PAGE - 1 }>(rest);
        if bpf_probe_read_user(window, length as u32, base as *const _) == 0 {
            (*walk).length = length;
            return true;
        }
        (*walk).length = 0;
        false
    }
}

/// The word at `offset` bytes into the window, which the caller has compared with its length.
///
/// # Safety
/// `walk` is the caller's own.
#[inline(always)]
pub unsafe fn word(walk: *mut Walk, offset: u64) -> u64 {
    let index = mask::<{ WINDOW_WORDS as u64 - 1 }>(offset >> 3);
    // SAFETY: the index is within the window.
    unsafe { (&raw const (*walk).window).cast::<u64>().add(index as usize).read() }
}

/// The word at `address`, out of the window, or the window filled anew from there.
///
/// # Safety
/// `walk` is the caller's own.
#[inline(always)]
pub unsafe fn read(walk: *mut Walk, address: u64) -> Option<u64> {
    // SAFETY: the caller vouches for the pointer.
    unsafe {
        let offset = address.wrapping_sub((*walk).base);
        if offset < (*walk).length && offset & 7 == 0 {
            return Some(word(walk, offset));
        }
        let mut value = 0_u64;
        let read = bpf_probe_read_user((&raw mut value).cast(), 8, address as *const _);
        (read == 0).then_some(value)
    }
}
