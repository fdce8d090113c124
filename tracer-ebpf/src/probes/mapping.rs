//! Mapping functions of the C library. What ends a mapping is recorded at the entry, what makes one at the return.

use aya_ebpf::{
    EbpfContext,
    helpers::generated::bpf_get_attach_cookie,
    macros::{uprobe, uretprobe},
    programs::{ProbeContext, RetProbeContext},
};
use heaptide_common::{
    Counter,
    record::{Break, Kind, Map, Remap, Unmap, UnmapEnd, flag},
    settings::running::EVERYTHING,
    signature::Cookie,
};

use crate::{
    atomic,
    calls::{MappingCall, Returned, Thread},
    count::{count, count_hit},
    emit::{MAPPING_SHARD, Task, send},
    maps::{ALLOCATORS, MAPPING_CALLS, running},
    stack::{self, Return},
    unwind,
};

/// From the kernel's `uapi/asm-generic/mman-common.h`.
const PROT_EXEC: u64 = 4;

/// From the same, and `MAP_STACK` of `uapi/asm-generic/mman.h`.
const MAP_ANONYMOUS: u64 = 0x20;
const MAP_STACK: u64 = 0x2_0000;

/// `mmap(address, length, protection, flags, fd, offset)`.
#[uprobe]
pub fn mmap_call(ctx: ProbeContext) -> u32 {
    // SAFETY: the context of a uprobe is the registers of the task.
    let registers = unsafe { &*ctx.regs };
    let bits = (registers.rdx & 0xffff_ffff) | registers.rcx << 32;
    call(&ctx, registers.rsi, bits);
    0
}

/// The return of `mmap`.
#[uretprobe]
pub fn mmap_return(ctx: RetProbeContext) -> u32 {
    if let Some((hit, call, address)) = returned(&ctx)
        && !failed(address)
    {
        if call.bits & PROT_EXEC != 0 {
            // Code may be where other code was.
            unwind::forget_rules();
        }
        let is_plain = (call.bits >> 32) & (MAP_ANONYMOUS | MAP_STACK) == MAP_ANONYMOUS;
        let beneath = call.beneath as u16 | is_by_allocator(&hit, is_plain);
        let stack = hit.stack(MAPPING_SHARD);
        let record = Map {
            head: hit.head(Kind::Map, beneath * flag::BENEATH),
            address,
            length: call.length,
            stack,
            protection: call.bits as u32,
            flags: (call.bits >> 32) as u32,
        };
        send(MAPPING_SHARD, record, Counter::LostMapping);
    }
    0
}

/// `munmap(address, length)`.
#[uprobe]
pub fn munmap_call(ctx: ProbeContext) -> u32 {
    // SAFETY: the context of a uprobe is the registers of the task.
    let registers = unsafe { &*ctx.regs };
    if let Some(task) = call(&ctx, registers.rsi, 0) {
        let head = task.timeless_head(Kind::UnmapBegin, 0);
        let record = Unmap { head, address: registers.rdi, length: registers.rsi };
        send(MAPPING_SHARD, record, Counter::LostMapping);
    }
    0
}

/// The return of `munmap`.
#[uretprobe]
pub fn munmap_return(ctx: RetProbeContext) -> u32 {
    if let Some((hit, _, status)) = returned(&ctx) {
        let flags = if status as u32 == 0 { flag::SUCCEEDED } else { 0 };
        send(MAPPING_SHARD, UnmapEnd { head: hit.head(Kind::UnmapEnd, flags) }, Counter::LostMapping);
    }
    0
}

/// `mremap(old address, old length, new length, flags, new address)`.
#[uprobe]
pub fn mremap_call(ctx: ProbeContext) -> u32 {
    // SAFETY: the context of a uprobe is the registers of the task.
    let registers = unsafe { &*ctx.regs };
    if let Some(task) = call(&ctx, registers.rdx, 0) {
        let head = task.timeless_head(Kind::RemapBegin, 0);
        let record = Unmap { head, address: registers.rdi, length: registers.rsi };
        send(MAPPING_SHARD, record, Counter::LostMapping);
    }
    0
}

/// The return of `mremap`.
#[uretprobe]
pub fn mremap_return(ctx: RetProbeContext) -> u32 {
    if let Some((hit, call, address)) = returned(&ctx) {
        let succeeded = !failed(address);
        let beneath = call.beneath as u16 | is_by_allocator(&hit, succeeded);
        let stack = if succeeded { hit.stack(MAPPING_SHARD) } else { stack::NONE };
        let flags = (beneath * flag::BENEATH) | (u16::from(succeeded) * flag::SUCCEEDED);
        let record = Remap { head: hit.head(Kind::RemapEnd, flags), address, length: call.length, stack };
        send(MAPPING_SHARD, record, Counter::LostMapping);
    }
    0
}

/// `sbrk(increment)` and `brk(end)`; the increment or the end is kept as the length.
#[uprobe]
pub fn break_call(ctx: ProbeContext) -> u32 {
    // SAFETY: the context of a uprobe is the registers of the task.
    let registers = unsafe { &*ctx.regs };
    call(&ctx, registers.rdi, 0);
    0
}

/// The return of `sbrk`, which gives the break before the call.
#[uretprobe]
pub fn sbrk_return(ctx: RetProbeContext) -> u32 {
    if let Some((hit, call, before)) = returned(&ctx)
        && !failed(before)
        && call.length != 0
    {
        send_break(&hit, &call, before, before.wrapping_add(call.length));
    }
    0
}

/// The return of `brk`, which gives a status.
#[uretprobe]
pub fn brk_return(ctx: RetProbeContext) -> u32 {
    if let Some((hit, call, status)) = returned(&ctx)
        && status as u32 == 0
    {
        send_break(&hit, &call, 0, call.length);
    }
    0
}

#[inline(always)]
fn send_break(hit: &Return<'_>, call: &MappingCall, before: u64, after: u64) {
    let beneath = call.beneath as u16 | is_by_allocator(hit, true);
    let stack = hit.stack(MAPPING_SHARD);
    let head = hit.head(Kind::Break, beneath * flag::BENEATH);
    send(MAPPING_SHARD, Break { head, before, after, stack }, Counter::LostMapping);
}

/// Keeps a call until its return; gives the task when the call is the outermost mapping call.
#[inline(always)]
fn call(ctx: &ProbeContext, length: u64, bits: u64) -> Option<Task> {
    let settings = running()?;
    // SAFETY: the context is the one that this program was given.
    count_hit(Cookie(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) }));
    // SAFETY: the context of a uprobe is the registers of the task.
    let registers = unsafe { &*ctx.regs };
    let task = Task::current();
    let thread = Thread::of(task, settings)?;
    if !thread.mapping.place.begin(registers.rsp) {
        return None;
    }
    thread.forget_unseen(settings);
    if settings.growth != 0
        && let Some(calls) = MAPPING_CALLS.get_ptr_mut(0)
    {
        // SAFETY: the map gives an aligned pointer to a u64 that lives as long as the program.
        unsafe { atomic::fetch_add(calls, 1) };
    }
    // Calls of allocators that were in flight when those were no longer wanted have never returned.
    let beneath = u64::from(
        settings.running == EVERYTHING && (thread.heap.holds(registers.rsp) || thread.first_free.holds(registers.rsp)),
    );
    thread.mapping = MappingCall { place: thread.mapping.place, length, bits, beneath };
    Some(task)
}

/// The outermost mapping call that has returned, and what it returned.
#[inline(always)]
fn returned(ctx: &RetProbeContext) -> Option<(Return<'_>, MappingCall, u64)> {
    let settings = running()?;
    count(Counter::HitsAtReturns);
    let task = Task::current();
    // SAFETY: the context of a uretprobe is the registers of the task.
    let registers = unsafe { &*ctx.regs };
    let Some(thread) = Thread::known(task.tid()) else {
        count(Counter::ReturnWithoutCall);
        return None;
    };
    match thread.mapping.place.end(registers.rsp) {
        Returned::Outermost => {
            let hit = Return::new(settings, task, registers, thread);
            // Copied now: while the thread is still needed, the verifier follows the walk for each map that it can be in.
            // SAFETY: the field is initialised and aligned.
            let call = unsafe { (&raw const thread.mapping).read_volatile() };
            Some((hit, call, registers.rax))
        }
        Returned::Nested => None,
        Returned::Unseen => {
            count(Counter::ReturnWithoutCall);
            None
        }
    }
}

/// 1 when only the growth of memory is recorded, `asks` is true, and a mapping function returns to the code of a library
/// that has an allocator: then the allocator has called it. (Where blocks are recorded, its own probes tell.)
#[inline(always)]
fn is_by_allocator(hit: &Return<'_>, asks: bool) -> u16 {
    if !asks || hit.settings.growth == 0 {
        return 0;
    }
    let file = unwind::file_at(hit.settings, hit.pc);
    // SAFETY: entries are never taken out while programs run.
    u16::from(unsafe { ALLOCATORS.get(file) }.is_some())
}

/// Whether a mapping function returned an error: `MAP_FAILED`, or a negative errno of the system call.
#[inline(always)]
const fn failed(returned: u64) -> bool {
    returned > -4096_i64 as u64
}
