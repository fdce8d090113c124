//! The stack of a hit, sent once.
//!
//! It is taken at the *return* of the allocation function: there the instruction pointer is the return address and all
//! registers are the caller's own, and only stacks of successful calls are paid for.

use core::ffi::c_void;

use aya_ebpf::bindings::pt_regs;
use heaptide_common::{
    Counter, Settings, StackMethod,
    record::{FullStack, Head, Kind, Stack, flag},
    stack::{Fingerprint, MAX_FRAMES},
    unwind::Outcome,
};

use crate::{
    atomic,
    calls::Thread,
    count::count,
    emit::{Task, now, send_stack},
    maps::{OUTCOMES, SCRATCH, SCRATCHES, SEEN, SEEN_SLOTS, Scratch, TOPS, TOPS_SLOTS},
    unwind,
    verify::mask,
};

/// No stack.
pub const NONE: u64 = 0;

/// The return of a function.
#[derive(Clone, Copy)]
pub struct Return<'a> {
    pub settings: &'static Settings,
    pub task: Task,
    /// The program's context, as the kernel knows it.
    pub context: &'a c_void,
    /// Where it returns to, or the instruction that was interrupted.
    pub pc: u64,
    /// The stack pointer after it.
    pub sp: u64,
    /// `rbp` then.
    pub bp: u64,
    /// 1 when `pc` is a return address.
    pub after_call: u64,
    /// The thread's address space: see [`Thread::space`].
    pub space: u64,
    /// When, in nanoseconds of the monotonic clock.
    pub time: u64,
}

impl<'a> Return<'a> {
    #[inline(always)]
    pub fn new(settings: &'static Settings, task: Task, registers: &'a pt_regs, thread: &Thread) -> Self {
        let (pc, sp) = (registers.rip, registers.rsp);
        // SAFETY: a reference, seen as one to something of which nothing is known.
        let context = unsafe { &*core::ptr::from_ref(registers).cast() };
        Self { settings, task, context, pc, sp, bp: registers.rbp, after_call: 1, space: thread.space, time: now() }
    }

    /// The head of a record of it.
    #[inline(always)]
    pub const fn head(&self, kind: Kind, flags: u16) -> Head {
        self.task.head_at(kind, flags, self.time)
    }

    /// Takes the stack and sees to it that ring `shard` or an earlier record has its frames; gives its id, or [`NONE`].
    #[inline(always)]
    pub fn stack(&self, shard: u32) -> u64 {
        if self.settings.stacks == StackMethod::None as u32 {
            return NONE;
        }
        let Some(scratch) = claim() else {
            count(Counter::StackBusy);
            return NONE;
        };
        // SAFETY: the buffer is ours.
        let id = unsafe {
            let (walk, record) = (&raw mut (*scratch).walk, &raw mut (*scratch).record);
            (*walk).pc = self.pc;
            (*walk).sp = self.sp;
            (*walk).bp = self.bp;
            (*walk).after_call = self.after_call;
            let epoch = (&raw const self.settings.epoch).read_volatile();
            // Multiplied, so that no address of one epoch is taken for another one of the next.
            (*walk).salt = (self.space ^ u64::from(epoch)).wrapping_mul(0xd6e8_feb8_6659_fd93);
            if self.settings.stacks == StackMethod::Cfi as u32 {
                let top = TOPS.get_ptr_mut(self.task.tid() & (TOPS_SLOTS as u32 - 1));
                (*walk).top = top.map_or(0, |top| top.read_volatile());
                unwind::walk(walk, record, self.task.pid());
                if (*walk).outcome == Outcome::Complete as u64
                    && let Some(top) = TOPS.get_ptr_mut(self.task.tid() & (TOPS_SLOTS as u32 - 1))
                {
                    top.write_volatile((*walk).sp);
                }
            } else {
                unwind::by_frame_pointers(walk, record, self.context, self.pc, self.task.pid());
            }
            self.send(walk, record, shard)
        };
        // SAFETY: as in `claim`; the buffer is ours until this store.
        unsafe { (&raw mut (*scratch).busy).write_volatile(0) };
        id
    }

    /// # Safety
    /// Both are the caller's own.
    #[inline(always)]
    unsafe fn send(&self, walk: *mut unwind::Walk, record: *mut FullStack, shard: u32) -> u64 {
        // SAFETY: the caller vouches for the pointers.
        let (taken, frames, outcome, guessed) = unsafe {
            (
                Fingerprint { id: (*walk).fingerprint, check: (*walk).check },
                (*walk).frames,
                (*walk).outcome,
                (*walk).guessed,
            )
        };
        let mut head = self.head(Kind::Stack, 0);
        let goes_on = outcome == Outcome::NoTable as u64 || outcome == Outcome::Busy as u64;
        // What is not whole yet is like no other stack.
        // SAFETY: the caller vouches for the pointers.
        let taken = if goes_on { taken.push(head.time).push(unsafe { (*walk).sp }) } else { taken };
        if let Some(slot) = OUTCOMES.get_ptr_mut(outcome as u32) {
            // SAFETY: the map gives an aligned pointer into memory that lives as long as the program.
            unsafe { atomic::fetch_add(slot, 1) };
        }
        // The same addresses mean something else when the first is no return address.
        let taken = if self.after_call == 0 { taken.push(0) } else { taken };
        let fingerprint = taken.finish();
        let index = mask::<{ SEEN_SLOTS as u64 - 1 }>(fingerprint.id);
        let Some(seen) = SEEN.get_ptr_mut(index as u32) else { return NONE };
        // Two CPUs that both find the stack unseen send it twice, which is harmless.
        // SAFETY: the map gives an aligned pointer into memory that lives as long as the program.
        if unsafe { seen.read_volatile() } == fingerprint.check {
            return fingerprint.id;
        }
        let too_deep = u16::from(outcome == Outcome::TooDeep as u64) * flag::TRUNCATED;
        let is_whole = outcome == Outcome::Complete as u64 || outcome == Outcome::Guessed as u64;
        let cut = u16::from(!is_whole) * flag::INCOMPLETE;
        head.flags =
            too_deep | cut | (guessed as u16 * flag::GUESSED) | ((1 - self.after_call as u16) * flag::INTERRUPTED);
        head.frames = frames as u32;
        // SAFETY: the caller vouches for the pointer.
        unsafe { (*record).stack = Stack { head, id: fingerprint.id } };
        let frames = mask::<{ 2 * MAX_FRAMES as u64 - 1 }>(frames);
        if frames <= MAX_FRAMES as u64 && send_stack(shard, record, frames as usize) {
            // Only what was sent counts as seen.
            // SAFETY: as above.
            unsafe { seen.write_volatile(fingerprint.check) };
            if goes_on {
                // SAFETY: as above.
                unsafe { unwind::send_remainder(shard, walk, head, fingerprint.id) };
            }
        } else {
            count(Counter::LostStack);
        }
        fingerprint.id
    }
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
