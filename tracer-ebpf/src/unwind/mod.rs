//! From one frame to the next, by the tables that the user side makes of each file's call frame information.
//!
//! A walk goes in rounds. Each round first takes as many frames as it can from what is at hand ([`hot`]): the rules of
//! addresses seen before are in a cache, and the stack lies in a window that was read at once. What is not at hand ends
//! the round with one frame that is looked up and read for ([`step`]). So a stack seen before costs a few nanoseconds a
//! frame, and the verifier sees two short loops instead of a long one.

mod cache;
mod frame_pointers;
mod held;
mod hot;
mod remainder;
mod step;
mod table;
mod window;

use aya_ebpf::helpers::generated::bpf_loop;
use core::ffi::c_void;
use heaptide_common::{
    record::FullStack,
    stack::{Fingerprint, MAX_FRAMES},
    unwind::{File, Outcome},
};

use crate::maps::SETTINGS;
use cache::Cache;
pub use cache::WORDS as CACHE_WORDS;
pub use frame_pointers::walk as by_frame_pointers;
pub use remainder::send as send_remainder;
pub use table::{field, file_at};
use window::WINDOW_WORDS;

/// Rounds of a walk: as many frames as there can be, should each end its round.
const ROUNDS: u32 = MAX_FRAMES as u32 + 1;

/// Where a walk is. In a map, not on the stack of the program: so the verifier forgets what it knew of the values from
/// one turn of a loop to the next, and need not look at each turn.
#[repr(C)]
pub struct Walk {
    /// Frames taken.
    pub frames: u64,
    /// What tells the addresses of this process from those of others in the cache.
    pub salt: u64,
    /// What the frames taken so far come to.
    pub fingerprint: u64,
    /// The same, once more.
    pub check: u64,
    /// Both, without the last frame.
    pub before: [u64; 2],
    /// 1 when a step was a guess by the frame pointer, since the code has no call frame information.
    pub guessed: u64,
    /// An [`Outcome`]; 0 while the walk goes on.
    pub outcome: u64,
    /// Instruction pointer of the frame.
    pub pc: u64,
    /// Its stack pointer.
    pub sp: u64,
    /// Its `rbp`.
    pub bp: u64,
    /// 1 when `pc` is a return address: the call is before it.
    pub after_call: u64,
    /// The file without a table, when that is the outcome.
    pub file: File,
    /// Where the thread's stack was seen to begin, so that no more of it is read than there is; or 0.
    pub top: u64,
    /// First address of the window.
    pub base: u64,
    /// Bytes in the window.
    pub length: u64,
    /// A piece of the stack.
    pub window: [u64; WINDOW_WORDS],
}

/// What the rounds of a walk share. Its address is all that the kernel hands them.
#[repr(C)]
struct Shared {
    walk: *mut Walk,
    record: *mut FullStack,
}

/// Walks from the registers that stand in `walk`, and fills in the record's frames.
///
/// # Safety
/// Both point to memory that no one else uses.
#[inline(always)]
pub unsafe fn walk(walk: *mut Walk, record: *mut FullStack, pid: u32) {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        begin(walk, pid);
        take_frame(walk, record);
    }
    let mut shared = Shared { walk, record };
    // SAFETY: the callback has the type that the helper expects, and `shared` outlives the call.
    unsafe { bpf_loop(ROUNDS, round as *mut c_void, (&raw mut shared).cast(), 0) };
    // SAFETY: as above.
    unsafe {
        if (*walk).outcome == 0 {
            (*walk).outcome = Outcome::TooDeep as u64;
        } else if (*walk).outcome == Outcome::Complete as u64 && (*walk).guessed != 0 {
            (*walk).outcome = Outcome::Guessed as u64;
        }
    }
}

/// Forgets the walk before.
///
/// # Safety
/// As [`walk`].
#[inline(always)]
unsafe fn begin(walk: *mut Walk, pid: u32) {
    let start = Fingerprint::start(pid);
    // SAFETY: the caller vouches for the pointer.
    unsafe {
        (*walk).frames = 0;
        (*walk).outcome = 0;
        (*walk).guessed = 0;
        (*walk).file = File::default();
        (*walk).base = 0;
        (*walk).length = 0;
        (*walk).fingerprint = start.id;
        (*walk).check = start.check;
    }
}

/// Rules that are kept of addresses do not count any more.
#[inline(always)]
pub fn forget_rules() {
    let Some(settings) = SETTINGS.get_ptr_mut(0) else { return };
    // Two CPUs that do this at once may write the same number, which is another one than before all the same.
    // SAFETY: the map gives an aligned pointer into memory that lives as long as the program.
    unsafe {
        let epoch = &raw mut (*settings).epoch;
        epoch.write_volatile(epoch.read_volatile().wrapping_add(1));
    }
}

/// One round; 1 ends the walk.
///
/// # Safety
/// Called by the kernel with the address of [`Shared`].
unsafe extern "C" fn round(_index: u32, shared: *mut Shared) -> i64 {
    // SAFETY: the kernel hands on what `walk` gave it.
    let (walk, record) = unsafe { ((*shared).walk, (*shared).record) };
    let Some(cache) = Cache::get() else { return 1 };
    // SAFETY: as above.
    unsafe {
        if hot::frames(walk, record, cache) {
            step::one(walk, record, cache);
        }
        i64::from((*walk).outcome != 0)
    }
}

/// Forgets the frame that was taken last.
///
/// # Safety
/// As [`walk`].
#[inline(always)]
unsafe fn untake_frame(walk: *mut Walk) {
    // SAFETY: the caller vouches for the pointer.
    unsafe {
        (*walk).fingerprint = (*walk).before[0];
        (*walk).check = (*walk).before[1];
        (*walk).frames -= 1;
    }
}

/// Adds the frame's instruction pointer to what was taken.
///
/// # Safety
/// As [`walk`].
#[inline(always)]
unsafe fn take_frame(walk: *mut Walk, record: *mut FullStack) {
    // SAFETY: the caller vouches for the pointers; the index is masked.
    unsafe {
        let pc = (*walk).pc;
        let before = Fingerprint { id: (*walk).fingerprint, check: (*walk).check };
        (*walk).before = [before.id, before.check];
        let taken = before.push(pc);
        (*walk).fingerprint = taken.id;
        (*walk).check = taken.check;
        let index = crate::verify::mask::<{ MAX_FRAMES as u64 - 1 }>((*walk).frames);
        *(&raw mut (*record).frames).cast::<u64>().add(index as usize) = pc;
        (*walk).frames += 1;
    }
}
