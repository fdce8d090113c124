//! How large the page is that has an address, by the page tables of its process.
//!
//! The tables name each other by physical addresses. Where the kernel has those mapped it does not tell, but it can be found
//! out: the uppermost table's own address leads, through that table, to its physical address, and that agrees with only
//! one of the places that are possible. Formats: Intel's manual, volume 3, "4-level paging and 5-level paging".

use core::ffi::c_void;

use aya_ebpf::{helpers::bpf_probe_read_kernel, helpers::generated::bpf_loop};
use heaptide_common::Settings;

use crate::{maps::SETTINGS, unwind::field};

const PRESENT: u64 = 1;
const WRITABLE: u64 = 2;
const LEAF: u64 = 1 << 7;

/// The bits of an entry that are an address: up to 128 TiB; the bits above can say that memory is encrypted.
const ADDRESS: u64 = (1 << 47) - (1 << 12);

/// The direct map begins at a multiple of this, randomised or not (`arch/x86/mm/kaslr.c`).
const STEP: u64 = 1 << 30;

/// Places that are tried: as many GiB of physical memory as the uppermost table can lie behind.
const PLACES: u32 = 4096;

/// The direct map was looked for, and not found.
const NOWHERE: u64 = 1;

/// The address's shift in the uppermost table with four levels, and with five.
const FOUR_LEVELS: u32 = 39;
const FIVE_LEVELS: u32 = 48;

/// The last bits of what is kept: the uppermost shift.
const SHIFT: u64 = 0x3f;

/// A page.
#[derive(Clone, Copy)]
pub struct Page {
    /// Its bytes; 0 when it is not known, or not there.
    pub bytes: u64,
    /// Whether it may be written to now.
    pub writable: bool,
}

const UNKNOWN: Page = Page { bytes: 0, writable: false };

/// The page that has the address `at` in the address space `mm`.
#[inline(always)]
pub fn at(settings: &'static Settings, mm: u64, at: u64) -> Page {
    // SAFETY: `field` checks the address.
    let top: u64 = unsafe { field(mm as *const u8, settings.mm_pgd) };
    let known = direct_map(settings, top);
    if known <= NOWHERE {
        return UNKNOWN;
    }
    let (entry, shift) = walk(top, known & !SHIFT, (known & SHIFT) as u32, at);
    if entry == 0 {
        return UNKNOWN;
    }
    Page { bytes: 1 << shift, writable: entry & WRITABLE != 0 }
}

/// The entry that leads to the memory at `at`, and the shift of its size; 0 when there is none.
#[inline(always)]
fn walk(top: u64, direct: u64, top_shift: u32, at: u64) -> (u64, u32) {
    let mut table = top;
    for shift in [FIVE_LEVELS, FOUR_LEVELS, 30, 21, 12] {
        if shift > top_shift {
            continue;
        }
        let place = table.wrapping_add((at >> shift & 511) * 8);
        // SAFETY: the helper checks the address.
        let entry = unsafe { bpf_probe_read_kernel(place as *const u64) }.unwrap_or(0);
        if entry & PRESENT == 0 {
            return (0, 0);
        }
        if shift == 12 || shift <= 30 && entry & LEAF != 0 {
            return (entry, shift);
        }
        table = direct.wrapping_add(entry & ADDRESS);
    }
    (0, 0)
}

/// Where physical memory is mapped, with the uppermost shift in its last bits; [`NOWHERE`] when that cannot be found.
#[inline(always)]
fn direct_map(settings: &'static Settings, top: u64) -> u64 {
    // SAFETY: the reference is to memory that lives as long as the program; the word is written as a whole.
    let known = unsafe { (&raw const settings.direct_map).read_volatile() };
    if known != 0 {
        return known;
    }
    let mut search = Search { top, found: NOWHERE };
    // SAFETY: the callback has the type that the helper expects, and `search` outlives the call.
    unsafe { bpf_loop(PLACES, try_place as *mut c_void, (&raw mut search).cast(), 0) };
    if let Some(settings) = SETTINGS.get_ptr_mut(0) {
        // SAFETY: the map gives an aligned pointer into memory that lives as long as the program.
        unsafe { (&raw mut (*settings).direct_map).write_volatile(search.found) };
    }
    search.found
}

#[repr(C)]
struct Search {
    top: u64,
    found: u64,
}

/// Tries one place; 1 when it is the one.
///
/// # Safety
/// Called by the kernel with the address of [`Search`].
unsafe extern "C" fn try_place(index: u32, search: *mut Search) -> i64 {
    // SAFETY: the kernel hands on what `direct_map` gave it.
    unsafe {
        let top = (*search).top;
        let direct = (top & !(STEP - 1)).wrapping_sub(u64::from(index) * STEP);
        for top_shift in [FOUR_LEVELS, FIVE_LEVELS] {
            let (entry, shift) = walk(top, direct, top_shift, top);
            let within = (1_u64 << shift) - 1;
            if entry != 0 && (entry & ADDRESS & !within) | (top & within) == top.wrapping_sub(direct) {
                (*search).found = direct | u64::from(top_shift);
                return 1;
            }
        }
    }
    0
}
