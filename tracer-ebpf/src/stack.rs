//! The stack of a hit, sent once.
//!
//! It is taken at the *return* of the allocation function: there the instruction pointer is the return address and the
//! frame pointer is the caller's own, so the immediate caller is right in every program, and only stacks of successful
//! calls are paid for.

use aya_ebpf::{EbpfContext, bindings::BPF_F_USER_STACK, helpers::generated::bpf_get_stack};
use heaptide_common::{
    Counter,
    record::{Kind, Stack, flag},
    stack::{Fingerprint, MAX_FRAMES},
};

use crate::{
    atomic,
    count::count,
    emit::{Task, send_stack},
    maps::{SCRATCH, SCRATCHES, SEEN, SEEN_SLOTS, Scratch},
};

/// No stack.
pub const NONE: u64 = 0;

/// Takes the stack and sees to it that ring `shard` or an earlier record has its frames; gives its id, or [`NONE`].
#[inline(always)]
pub fn take<C: EbpfContext>(ctx: &C, task: Task, shard: u32) -> u64 {
    let Some(scratch) = claim() else {
        count(Counter::StackBusy);
        return NONE;
    };
    let id = build(ctx, task, shard, scratch);
    // SAFETY: as in `claim`; the buffer is ours until this store.
    unsafe { (&raw mut (*scratch).busy).write_volatile(0) };
    id
}

/// A scratch buffer of this CPU that no preempted probe is using.
#[inline(always)]
fn claim() -> Option<*mut Scratch> {
    for index in 0..SCRATCHES as u32 {
        let scratch = SCRATCH.get_ptr_mut(index)?;
        // SAFETY: the map gives an aligned pointer into memory that lives as long as the program.
        if unsafe { atomic::exchange(&raw mut (*scratch).busy, 1) } == 0 {
            return Some(scratch);
        }
    }
    None
}

#[inline(always)]
fn build<C: EbpfContext>(ctx: &C, task: Task, shard: u32, scratch: *mut Scratch) -> u64 {
    // SAFETY: the buffer is ours; the helper writes at most the given number of bytes into its frames.
    let bytes = unsafe {
        bpf_get_stack(
            ctx.as_ptr(),
            (&raw mut (*scratch).record.frames).cast(),
            (MAX_FRAMES * 8) as u32,
            u64::from(BPF_F_USER_STACK),
        )
    };
    if bytes <= 0 {
        count(Counter::StackUnreadable);
        return NONE;
    }
    let frames = (bytes as usize / 8).min(MAX_FRAMES);
    let mut fingerprint = Fingerprint::start(task.pid());
    for index in 0..MAX_FRAMES {
        if index >= frames {
            break;
        }
        // SAFETY: index < MAX_FRAMES, and the helper has written `frames` of them.
        fingerprint = fingerprint.push(unsafe { *(&raw const (*scratch).record.frames).cast::<u64>().add(index) });
    }
    let fingerprint = fingerprint.finish();
    let Some(seen) = SEEN.get_ptr_mut((fingerprint.id as usize & (SEEN_SLOTS - 1)) as u32) else { return NONE };
    // Two CPUs that both find the stack unseen send it twice, which is harmless.
    // SAFETY: the map gives an aligned pointer into memory that lives as long as the program.
    if unsafe { seen.read_volatile() } != fingerprint.check {
        let flags = if frames == MAX_FRAMES { flag::TRUNCATED } else { 0 };
        let mut head = task.head(Kind::Stack, flags);
        head.frames = frames as u32;
        // SAFETY: the buffer is ours.
        let record = unsafe { &raw mut (*scratch).record };
        // SAFETY: as above.
        unsafe { (*record).stack = Stack { head, id: fingerprint.id } };
        if send_stack(shard, record, frames) {
            // Only what was sent counts as seen.
            // SAFETY: as above.
            unsafe { seen.write_volatile(fingerprint.check) };
        } else {
            count(Counter::LostStack);
        }
    }
    fingerprint.id
}
