//! Allocation functions. A release is recorded at its entry, an allocation at its return: so an address that is used
//! again can never be seen freed after it was handed out again.

use core::arch::asm;

use aya_ebpf::{
    EbpfContext,
    bindings::pt_regs,
    helpers::{bpf_probe_read_user, generated::bpf_get_attach_cookie},
    macros::{uprobe, uretprobe},
    programs::{ProbeContext, RetProbeContext},
};
use heaptide_common::{
    Counter, Settings,
    record::{Allocation, Kind, Release, Resize, Sampled, flag},
    signature::Cookie,
    stack::shard_of,
};

use crate::{
    calls::{HeapCall, Returned, Thread},
    count::{add, count, count_call},
    emit::{Task, send},
    maps::recording_blocks,
    sampling,
    stack::Return,
};

/// Any function that allocates or resizes; the cookie says where its arguments are.
#[uprobe]
pub fn heap_call(ctx: ProbeContext) -> u32 {
    heap_called(&ctx, false);
    0
}

/// The return of any function that allocates or resizes.
#[uretprobe]
pub fn heap_return(ctx: RetProbeContext) -> u32 {
    // SAFETY: the context of a uretprobe is the registers of the task.
    let registers = unsafe { &*ctx.regs };
    heap_returned(registers, registers.rsp, registers.rip, false);
    0
}

/// Any function that allocates, and that an exception may leave. No return probe may be on such a function: it puts an
/// address of its own in the place of the return address, where the exception would find no way on, and end the program.
#[uprobe]
pub fn heap_call_throwing(ctx: ProbeContext) -> u32 {
    heap_called(&ctx, true);
    0
}

/// The instruction by which such a function returns.
#[uprobe]
pub fn heap_ret(ctx: ProbeContext) -> u32 {
    // SAFETY: the context of a uprobe is the registers of the task.
    let registers = unsafe { &*ctx.regs };
    // SAFETY: the helper checks the address.
    if let Ok(returns_to) = unsafe { bpf_probe_read_user(registers.rsp as *const u64) } {
        heap_returned(registers, registers.rsp + size_of::<u64>() as u64, returns_to, true);
    }
    0
}

/// Any function that frees a block; the cookie says where it is named.
#[uprobe]
pub fn heap_free(ctx: ProbeContext) -> u32 {
    heap_freed(&ctx);
    0
}

/// Any function of a user-named allocator that frees a block; the cookie says which argument names it. Its return is that
/// of an allocation function: what it frees and allocates until then is beneath it.
#[uprobe]
pub fn heap_release(ctx: ProbeContext) -> u32 {
    heap_released(&ctx);
    0
}

#[inline(always)]
fn heap_called(ctx: &ProbeContext, throws: bool) -> Option<()> {
    let settings = recording_blocks()?;
    // SAFETY: the context is the one that this program was given.
    let cookie = Cookie(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) });
    count_call(cookie);
    let task = Task::current();
    let thread = Thread::of(task, settings)?;
    thread.forget_unseen(settings);
    // SAFETY: the context of a uprobe is the registers of the task.
    let registers = unsafe { &*ctx.regs };
    let begins = if throws { thread.heap.begin_throwing(registers.rsp) } else { thread.heap.begin(registers.rsp) };
    if !begins {
        return None;
    }
    let arguments = Arguments(registers);
    let size = asked(cookie, arguments.get(cookie.size()));
    let count = if Cookie::named(cookie.count()) { asked(cookie, arguments.get(cookie.count())) } else { 1 };
    let size = product(size, count);
    let (old, out) = (arguments.named(cookie.old()), arguments.named(cookie.out()));
    thread.heap = HeapCall { place: thread.heap.place, cookie: cookie.0, size, old, out };
    thread.sample.resizing = 0;
    if old != 0 && sampling::tells(thread, old, settings) {
        thread.sample.resizing = 1;
        let record = Release { head: task.timeless_head(Kind::ResizeBegin, 0), address: old };
        send(shard_of(old, settings.shards), record, Counter::LostResize);
        sampling::unmark(thread, old, settings);
    }
    Some(())
}

#[inline(always)]
fn heap_returned(registers: &pt_regs, sp: u64, pc: u64, throws: bool) -> Option<()> {
    let settings = recording_blocks()?;
    // A function that an exception may leave has its probe on the instruction by which it returns.
    if throws {
        count(Counter::Hits);
        count(Counter::HitsStepped);
    } else {
        count(Counter::HitsAtReturns);
    }
    let task = Task::current();
    let Some(thread) = Thread::known(task.tid()) else {
        count(Counter::ReturnWithoutCall);
        return None;
    };
    // Other functions may share the instruction.
    if throws && !thread.heap.place.returns_to(pc) {
        return None;
    }
    match thread.heap.place.end(sp) {
        Returned::Outermost => {}
        Returned::Nested => return None,
        Returned::Unseen => {
            count(Counter::ReturnWithoutCall);
            return None;
        }
    }
    let call = thread.heap;
    if Cookie(call.cookie).is_release() {
        return None;
    }
    let address = result(registers.rax, &call);
    if call.old != 0 {
        // The C library frees the block when it is resized to nothing, and says so by NULL as well.
        let succeeded = address != 0 || call.size == 0;
        thread.counts.releases += u64::from(succeeded);
        if thread.sample.resizing != 0 {
            if !succeeded {
                sampling::mark(thread.sample.family, call.old, settings);
            }
            let flags = if succeeded { flag::SUCCEEDED } else { 0 };
            let record = Resize { head: task.timeless_head(Kind::ResizeEnd, flags), address: call.old };
            send(shard_of(call.old, settings.shards), record, Counter::LostResize);
        }
    }
    if address == 0 {
        return None;
    }
    if is_recorded(settings, thread, call.size) {
        given(settings, task, thread, registers, Given { address, size: call.size, sp, pc, bp: registers.rbp });
    }
    Some(())
}

/// A block that a call gives.
pub(super) struct Given {
    pub(super) address: u64,
    pub(super) size: u64,
    /// The stack pointer after the return.
    pub(super) sp: u64,
    /// Where the call returns to.
    pub(super) pc: u64,
    /// The frame pointer after the return.
    pub(super) bp: u64,
}

/// Whether a block of this size that a call gives is recorded; counts it.
#[inline(always)]
pub(super) fn is_recorded(settings: &Settings, thread: &mut Thread, size: u64) -> bool {
    if size < settings.min_size || size > settings.max_size {
        count(Counter::RefusedSize);
        add(Counter::RefusedSizeBytes, size);
        return false;
    }
    sampling::chooses(thread, size, settings)
}

/// Records a block.
#[inline(always)]
pub(super) fn given(settings: &'static Settings, task: Task, thread: &Thread, registers: &pt_regs, given: Given) {
    let Given { address, size, sp, pc, bp } = given;
    let shard = shard_of(address, settings.shards);
    // Copied now: while the thread is still needed, the verifier follows the walk for each map that it can be in.
    // SAFETY: the fields are initialised and aligned.
    let (family, interval) = unsafe {
        ((&raw const thread.sample.family).read_volatile(), (&raw const thread.sample.interval).read_volatile())
    };
    let returned = Return { sp, pc, bp, ..Return::new(settings, task, registers, thread) };
    let stack = returned.stack(shard);
    let kind = if settings.samples == 0 { Kind::Allocation } else { Kind::Sampled };
    let allocation = Allocation { head: returned.head(kind, 0), address, size, stack };
    if settings.samples == 0 {
        send(shard, allocation, Counter::LostAllocation);
    } else {
        sampling::mark(family, address, settings);
        let (interval, pulse) = (interval as u32, settings.pulse);
        send(shard, Sampled { allocation, interval, pulse }, Counter::LostAllocation);
    }
}

#[inline(always)]
fn heap_freed(ctx: &ProbeContext) -> Option<()> {
    let settings = recording_blocks()?;
    // SAFETY: the context is the one that this program was given.
    let cookie = Cookie(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) });
    count_call(cookie);
    // SAFETY: the context of a uprobe is the registers of the task.
    let registers = unsafe { &*ctx.regs };
    let address = Arguments(registers).get(cookie.old());
    if address == 0 {
        return None;
    }
    let task = Task::current();
    let sp = registers.rsp + cookie.depth();
    let Some(thread) = Thread::known(task.tid()).or_else(|| Thread::begin_with_free(task, settings, sp)) else {
        // Without room for the thread, the release is told all the same, so nothing is lost; but it is not counted.
        if settings.samples != 0 {
            count(Counter::CallTableFull);
        }
        send_release(settings, task, 0, address);
        return None;
    };
    thread.forget_unseen(settings);
    // What an allocation function frees on its way is its own affair, unless it was handed out.
    let is_nested = thread.heap.holds(sp);
    if is_nested && !is_of_interest(thread, address) {
        return None;
    }
    thread.counts.releases += u64::from(!is_nested);
    tell_release(settings, task, thread, if is_nested { flag::NESTED } else { 0 }, address);
    Some(())
}

#[inline(always)]
fn heap_released(ctx: &ProbeContext) -> Option<()> {
    let settings = recording_blocks()?;
    // SAFETY: the context is the one that this program was given.
    let cookie = Cookie(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) });
    count_call(cookie);
    let task = Task::current();
    // SAFETY: the context of a uprobe is the registers of the task.
    let registers = unsafe { &*ctx.regs };
    let address = Arguments(registers).named(cookie.old());
    let Some(thread) = Thread::of(task, settings) else {
        // Without room for the thread, what the allocator frees beneath is recorded too; the release itself is not lost.
        if address != 0 {
            send_release(settings, task, flag::NAMED, address);
        }
        return None;
    };
    thread.forget_unseen(settings);
    let mut flags = flag::NAMED;
    if thread.heap.begin(registers.rsp) {
        thread.heap = HeapCall { place: thread.heap.place, cookie: cookie.0, size: 0, old: address, out: 0 };
    } else if is_of_interest(thread, address) {
        flags |= flag::NESTED;
    } else {
        return None;
    }
    if address != 0 {
        thread.counts.releases += 1;
        tell_release(settings, task, thread, flags, address);
    }
    Some(())
}

/// Whether a release from within the thread's call may be of a block that was handed out. What an allocation function of
/// the C library frees on its way is its own affair. A function of a user-named allocator can do more than its name says:
/// a collector frees other blocks in it, and a pool's end has the program's own functions called.
#[inline(always)]
const fn is_of_interest(thread: &Thread, address: u64) -> bool {
    thread.heap.is_named() && thread.heap.old != address
}

/// Tells of a release, unless the block is one that was not recorded.
#[inline(always)]
fn tell_release(settings: &Settings, task: Task, thread: &Thread, flags: u16, address: u64) {
    if sampling::tells(thread, address, settings) {
        send_release(settings, task, flags, address);
        sampling::unmark(thread, address, settings);
    }
}

#[inline(always)]
fn send_release(settings: &Settings, task: Task, flags: u16, address: u64) {
    let record = Release { head: task.timeless_head(Kind::Release, flags), address };
    send(shard_of(address, settings.shards), record, Counter::LostRelease);
}

/// What an argument asks for: of an `int`, the upper half of the register means nothing.
#[inline(always)]
const fn asked(cookie: Cookie, argument: u64) -> u64 {
    let int = argument as i32;
    if !cookie.is_int() {
        argument
    } else if int < 0 {
        0
    } else {
        int as u64
    }
}

/// The block that a call gave, or 0 when it failed.
#[inline(always)]
fn result(returned: u64, call: &HeapCall) -> u64 {
    if !Cookie::named(Cookie(call.cookie).out()) {
        return returned;
    }
    // The status is an int: the upper half of the register means nothing.
    if returned as u32 != 0 {
        return 0;
    }
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(call.out as *const u64) }.unwrap_or_else(|_| {
        count(Counter::ResultUnreadable);
        0
    })
}

/// More bytes than an address space of x86-64 has: a call that asks for more fails.
const ADDRESS_SPACE: u64 = 1 << 57;

/// The product of two factors; one that is larger than any address space (or overflows) is the largest size of all.
#[inline(always)]
const fn product(size: u64, count: u64) -> u64 {
    // Not `checked_mul`, whose 128-bit product the target does not have.
    if count != 0 && size > ADDRESS_SPACE / count { u64::MAX } else { size.wrapping_mul(count) }
}

/// The registers of a call, where its arguments are.
pub(super) struct Arguments<'a>(pub(super) &'a pt_regs);

impl Arguments<'_> {
    /// The register with a number of x86-64's instructions. Each is read by an instruction of its own: the verifier refuses
    /// an offset into the registers that is computed, and the compiler would make one of them.
    #[inline(always)]
    pub(super) fn get(&self, number: u64) -> u64 {
        macro_rules! read {
            ($register:ident) => {{
                let value: u64;
                // SAFETY: a field of the registers is read.
                unsafe {
                    asm!(
                        "{value} = *(u64 *)({registers} + {offset})",
                        value = out(reg) value,
                        registers = in(reg) core::ptr::from_ref(self.0),
                        offset = const core::mem::offset_of!(pt_regs, $register),
                        options(nostack, readonly, pure),
                    );
                }
                value
            }};
        }
        match number {
            // The first four arguments of a call at its begin.
            7 => read!(rdi),
            6 => read!(rsi),
            2 => read!(rdx),
            1 => read!(rcx),
            8 => read!(r8),
            9 => read!(r9),
            0 => read!(rax),
            3 => read!(rbx),
            5 => read!(rbp),
            10 => read!(r10),
            11 => read!(r11),
            12 => read!(r12),
            13 => read!(r13),
            14 => read!(r14),
            _ => read!(r15),
        }
    }

    /// The register that a cookie's field names, or 0 when it names none.
    #[inline(always)]
    fn named(&self, number: u64) -> u64 {
        if Cookie::named(number) { self.get(number) } else { 0 }
    }
}
