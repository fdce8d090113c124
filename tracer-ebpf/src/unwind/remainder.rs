//! What is needed to go on with a walk elsewhere: its registers, and a copy of the stack.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_RING_SIZE},
    helpers::generated::{bpf_probe_read_user, bpf_ringbuf_query},
};
use heaptide_common::record::{FullRemainder, HELD, Head, Kind, REMAINDER_BYTES};

use super::{Walk, held};
use crate::{emit::urgently, maps::RINGS, verify::mask};

const PAGE: u64 = 4096;

/// Puts it into ring `shard`, unless events may need the room. `head` and `id` are those of the stack.
///
/// # Safety
/// `walk` is the caller's own.
#[inline(always)]
pub unsafe fn send(shard: u32, walk: *const Walk, head: Head, id: u64) {
    let Some(ring) = RINGS.get(shard) else { return };
    let bytes: *mut c_void = core::ptr::from_ref(ring).cast_mut().cast();
    // SAFETY: the ring is one.
    let (waiting, size) = unsafe {
        (bpf_ringbuf_query(bytes, u64::from(BPF_RB_AVAIL_DATA)), bpf_ringbuf_query(bytes, u64::from(BPF_RB_RING_SIZE)))
    };
    if waiting > size >> 1 {
        return;
    }
    let Some(mut entry) = ring.reserve_untyped::<FullRemainder>(0) else { return };
    let record: *mut FullRemainder = entry.as_mut_ptr();
    // SAFETY: the caller vouches for the walk; the record is ours until it is submitted, and every field of it is written
    // but for memory that `length` leaves out.
    unsafe {
        let remainder = &raw mut (*record).remainder;
        (*remainder).head = Head { kind: Kind::Remainder as u16, ..head };
        (*remainder).id = id;
        (*remainder).outcome = (*walk).outcome;
        (*remainder).pc = (*walk).pc;
        (*remainder).sp = (*walk).sp;
        (*remainder).bp = (*walk).bp;
        (*remainder).after_call = (*walk).after_call;
        (*remainder).file = (*walk).file;
        (*remainder).base = (*walk).sp & !7;
        held::all((&raw mut (*remainder).held).cast());
        (*remainder).length = copy((&raw mut (*record).memory).cast(), (*remainder).base);
    }
    // What is mapped now tells how it goes on, and may soon be gone.
    entry.submit(urgently());
}

/// Copies the stack from `from` on, up to the first page that is not there; says how many bytes.
#[inline(always)]
unsafe fn copy(memory: *mut u8, from: u64) -> u64 {
    let mut length = 0;
    for _ in 0..REMAINDER_BYTES as u64 / PAGE {
        let at = from.wrapping_add(length);
        // Up to the end of the page: what follows may not be there.
        let piece = mask::<{ 2 * PAGE - 1 }>(PAGE - (at & (PAGE - 1)));
        let place = mask::<{ REMAINDER_BYTES as u64 - 1 }>(length);
        if piece > PAGE || place > REMAINDER_BYTES as u64 - PAGE {
            break;
        }
        // SAFETY: `place` and `piece` end within the memory; the helper checks the address.
        if unsafe { bpf_probe_read_user(memory.add(place as usize).cast(), piece as u32, at as *const c_void) } != 0 {
            break;
        }
        length += piece;
    }
    length
}

const _: () = assert!(REMAINDER_BYTES as u64 % PAGE == 0 && HELD > 0);
