//! How large the page is that has an address, by the page tables of its process.
//!
//! The tables name each other by physical addresses. Where the kernel has those mapped it does not tell, but it can be found
//! out: the uppermost table's own address leads, through that table, to its physical address, and that agrees with only
//! one of the places that are possible. Formats: Intel's manual, volume 3, "4-level paging and 5-level paging".

use core::ffi::c_void;

use aya_ebpf::helpers::{bpf_probe_read_kernel, generated::bpf_loop};
use heaptide_common::Settings;

use crate::{maps::SETTINGS, unwind::field};

/// Bits of an entry; bit 1 says that what it leads to may be written to.
const PRESENT: u64 = 1;
const LEAF: u64 = 1 << 7;

/// The bits of an entry that are an address: up to 128 TiB; the bits above can say that memory is encrypted.
const ADDRESS: u64 = (1 << 47) - (1 << 12);

/// The direct map begins at a multiple of this, randomised or not (`arch/x86/mm/kaslr.c`).
const STEP: u64 = 1 << 30;

/// Places that are tried, with four levels and with five: as many GiB of physical memory as the uppermost table can lie
/// behind.
const PLACES: u32 = 2 * 4096;

/// The direct map was looked for, and not found.
const NOWHERE: u64 = 1;

/// The address's shift in the uppermost table with four levels, and with five.
const FOUR_LEVELS: u64 = 39;
const FIVE_LEVELS: u64 = 48;

/// The last bits of what is kept: the uppermost shift.
const SHIFT: u64 = 0x3f;

/// Bits of an address that each level takes, and those of the smallest page.
const LEVEL: u64 = 9;
const PAGE: u64 = 12;

/// The shift of the largest page.
const LARGEST: u64 = 30;

/// Most levels.
const LEVELS: u32 = 5;

/// A walk through the tables of an address space. In a map, so that the verifier forgets what it knew of the values from
/// one step to the next, and does not follow all that comes after once for each of them.
#[repr(C)]
pub struct Walk {
    /// The uppermost table.
    top: u64,
    /// The address.
    at: u64,
    /// Where physical memory is mapped.
    direct: u64,
    /// The table of the next step, and the address's shift in it.
    table: u64,
    shift: u64,
    /// What leads to the page; 0 when nothing does.
    entry: u64,
    /// Where physical memory is mapped, as far as was found out, with the uppermost shift in its last bits.
    found: u64,
}

/// A pointer for the kernel to hand on.
#[repr(C)]
struct Shared {
    walk: *mut Walk,
}

/// The bytes of the page that has the address `at` in the address space `mm`, and 1 when it may not be written to; 0 and 0
/// when it is not there, or nobody can tell.
///
/// # Safety
/// `walk` points to memory that no one else uses.
#[inline(always)]
pub unsafe fn at(walk: *mut Walk, settings: &'static Settings, mm: u64, at: u64) -> (u64, u64) {
    let mut shared = Shared { walk };
    // SAFETY: the caller vouches for the pointer; `field` checks the address.
    unsafe {
        (*walk).top = field(mm as *const u8, settings.growth_offsets.mm_pgd);
        find_direct_map(&mut shared, settings);
        let known = (*walk).found;
        if known <= NOWHERE {
            return (0, 0);
        }
        (*walk).at = at;
        (*walk).direct = known & !SHIFT;
        (*walk).shift = known & SHIFT;
        descend(&mut shared);
        let is_there = (*walk).entry & PRESENT;
        let is_read_only = is_there & !((*walk).entry >> 1);
        (is_there.wrapping_shl((*walk).shift as u32), is_read_only)
    }
}

/// Goes down to the page, from what stands in the walk.
///
/// # Safety
/// As [`at`].
#[inline(always)]
unsafe fn descend(shared: &mut Shared) {
    // SAFETY: the caller vouches for the pointer; the callback has the type that the helper expects, and `shared` outlives
    // the call.
    unsafe {
        (*shared.walk).table = (*shared.walk).top;
        (*shared.walk).entry = 0;
        bpf_loop(LEVELS, step as *mut c_void, core::ptr::from_mut(shared).cast(), 0);
    }
}

/// One table; 1 ends the walk.
///
/// # Safety
/// Called by the kernel with the address of [`Shared`].
unsafe extern "C" fn step(_index: u32, shared: *mut Shared) -> i64 {
    // SAFETY: the kernel hands on what `descend` gave it; the helper checks the address.
    unsafe {
        let walk = (*shared).walk;
        let shift = (*walk).shift;
        let index = (*walk).at.wrapping_shr(shift as u32) & 511;
        let place = (*walk).table.wrapping_add(index * 8);
        let entry: u64 = bpf_probe_read_kernel(place as *const u64).unwrap_or(0);
        if entry & PRESENT == 0 {
            return 1;
        }
        if shift == PAGE || shift <= LARGEST && entry & LEAF != 0 {
            (*walk).entry = entry;
            return 1;
        }
        (*walk).table = (*walk).direct.wrapping_add(entry & ADDRESS);
        (*walk).shift = shift.wrapping_sub(LEVEL);
    }
    0
}

/// Finds out where physical memory is mapped, once.
///
/// # Safety
/// As [`at`].
#[inline(always)]
unsafe fn find_direct_map(shared: &mut Shared, settings: &'static Settings) {
    // SAFETY: the caller vouches for the pointer; the settings live as long as the program, and the word is written as a
    // whole; the callback has the type that the helper expects, and `shared` outlives the call.
    unsafe {
        let walk = shared.walk;
        (*walk).found = (&raw const settings.direct_map).read_volatile();
        if (*walk).found != 0 {
            return;
        }
        (*walk).found = NOWHERE;
        (*walk).at = (*walk).top;
        bpf_loop(PLACES, try_place as *mut c_void, core::ptr::from_mut(shared).cast(), 0);
        if let Some(settings) = SETTINGS.get_ptr_mut(0) {
            (&raw mut (*settings).direct_map).write_volatile((*walk).found);
        }
    }
}

/// Tries one place; 1 when it is the one.
///
/// # Safety
/// Called by the kernel with the address of [`Shared`].
unsafe extern "C" fn try_place(index: u32, shared: *mut Shared) -> i64 {
    // SAFETY: the kernel hands on what `find_direct_map` gave it.
    unsafe {
        let walk = (*shared).walk;
        let mut shared = Shared { walk };
        (*walk).direct = ((*walk).top & !(STEP - 1)).wrapping_sub(u64::from(index / 2) * STEP);
        let top_shift = if index % 2 == 0 { FOUR_LEVELS } else { FIVE_LEVELS };
        (*walk).shift = top_shift;
        descend(&mut shared);
        let entry = (*walk).entry;
        let within = 1_u64.wrapping_shl((*walk).shift as u32) - 1;
        let physical = (entry & ADDRESS & !within) | ((*walk).top & within);
        if entry != 0 && physical == (*walk).top.wrapping_sub((*walk).direct) {
            (*walk).found = (*walk).direct | top_shift;
            return 1;
        }
    }
    0
}
