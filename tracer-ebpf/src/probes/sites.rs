//! Allocation functions with sites in place of entry and return: one hit says what was asked for and what is given.
//!
//! A block is recorded some instructions before the function returns it. That keeps the order of records: until the return
//! nobody but the thread knows the address, so no release of it can come before; and a release of the block that was there
//! before was recorded at its entry, before the allocator had it back. What comes between the site and the return calls
//! nothing. A thread that ends there, or leaves it from a signal's handler, has lost the block: it is outstanding indeed.

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_probe_read_user, generated::bpf_get_attach_cookie},
    macros::uprobe,
    programs::ProbeContext,
};
use heaptide_common::{Counter, signature::Cookie};

use super::heap::{Arguments, Given, given, is_recorded};
use crate::{
    calls::{HeapCall, Thread},
    count::{count, count_call, count_hit},
    emit::Task,
    maps::recording_blocks,
};

/// Bytes of a return address.
const RETURN_ADDRESS: u64 = 8;

/// Where a call begins to call others.
#[uprobe]
pub fn heap_begin(ctx: ProbeContext) -> u32 {
    begin(&ctx);
    0
}

/// Where a call is about to return a block.
#[uprobe]
pub fn heap_done(ctx: ProbeContext) -> u32 {
    done(&ctx);
    0
}

#[inline(always)]
fn begin(ctx: &ProbeContext) -> Option<()> {
    let settings = recording_blocks()?;
    // SAFETY: the context is the one that this program was given.
    let cookie = Cookie(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) });
    count_hit(cookie);
    let thread = Thread::of(Task::current(), settings)?;
    // SAFETY: the context of a uprobe is the registers of the task.
    let registers = unsafe { &*ctx.regs };
    if thread.heap.begin_at_site(registers.rsp + cookie.depth()) {
        let size = Arguments(registers).get(cookie.size());
        thread.heap = HeapCall { place: thread.heap.place, cookie: cookie.0, size, old: 0, out: 0 };
    }
    Some(())
}

#[inline(always)]
fn done(ctx: &ProbeContext) -> Option<()> {
    let settings = recording_blocks()?;
    // SAFETY: the context is the one that this program was given.
    let cookie = Cookie(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) });
    // SAFETY: the context of a uprobe is the registers of the task.
    let registers = unsafe { &*ctx.regs };
    let gives = cookie.counts(registers.eflags);
    if !gives && !cookie.fails_else() {
        // The call goes another way, on which it passes another site, or does not return.
        count_hit(cookie);
        return None;
    }
    count_call(cookie);
    let task = Task::current();
    let sp = registers.rsp + cookie.depth();
    let thread = Thread::of(task, settings)?;
    let has_begun = thread.heap.end_at_site(sp);
    if !has_begun && thread.heap.holds(sp) {
        return None;
    }
    let arguments = Arguments(registers);
    let size = if Cookie::named(cookie.size()) {
        arguments.get(cookie.size())
    } else if has_begun {
        thread.heap.size
    } else {
        count(Counter::ReturnWithoutCall);
        return None;
    };
    let address = if gives { arguments.get(cookie.block()) } else { 0 };
    if address == 0 || !is_recorded(settings, thread, size) {
        return None;
    }
    let saved = cookie.saved();
    let Ok(pc) = word(sp) else {
        count(Counter::ResultUnreadable);
        return None;
    };
    let bp = if saved == 0 { registers.rbp } else { word(sp - saved).unwrap_or(registers.rbp) };
    given(settings, task, thread, registers, Given { address, size, sp: sp + RETURN_ADDRESS, pc, bp });
    Some(())
}

/// A word of the stack.
#[inline(always)]
fn word(address: u64) -> Result<u64, i32> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(address as *const u64) }
}
