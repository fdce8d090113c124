//! The kernel's own way from frame to frame: by frame pointers, wherever they lead.

use core::ffi::c_void;

use aya_ebpf::{bindings::BPF_F_USER_STACK, helpers::generated::bpf_get_stack};
use heaptide_common::{record::FullStack, stack::MAX_FRAMES};

use super::{Walk, begin, take_frame};
use crate::verify::mask;

/// Takes as many frames as the kernel finds.
///
/// # Safety
/// `walk` and `record` point to memory that no one else uses; `context` is the program's context, of which `pc` is the caller's address.
#[inline(always)]
pub unsafe fn walk(walk: *mut Walk, record: *mut FullStack, context: &c_void, pc: u64, pid: u32) {
    const BYTES: u32 = MAX_FRAMES as u32 * 8;
    // SAFETY: the caller vouches for the pointers; the helper writes no more than the frames have room for.
    unsafe {
        begin(walk, pid);
        let context: *mut c_void = core::ptr::from_ref(context).cast_mut();
        let frames = (&raw mut (*record).frames).cast::<u64>();
        let bytes = bpf_get_stack(context, frames.cast(), BYTES, u64::from(BPF_F_USER_STACK));
        let count = if bytes < 0 { 0 } else { bytes as u64 / 8 };
        for index in 0..MAX_FRAMES as u64 {
            if index >= count {
                break;
            }
            let frame = frames.add(mask::<{ MAX_FRAMES as u64 - 1 }>(index) as usize).read();
            // The first is where the program is: about to return, or there already.
            (*walk).pc = if index == 0 { pc } else { frame };
            take_frame(walk, record);
        }
    }
}
