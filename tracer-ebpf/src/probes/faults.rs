//! Page faults: memory becomes resident when it is touched, whoever has asked for it.
//!
//! The kernel counts a fault when it has been dealt with (`mm_account_fault`), so the page is there. Of faults by which
//! the kernel itself touches a process's memory (a `read` into a new buffer) the stack is that of the system call.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::pt_regs,
    helpers::generated::{bpf_find_vma, bpf_get_current_task, bpf_get_current_task_btf, bpf_task_pt_regs},
    macros::perf_event,
    programs::PerfEventContext,
};
use heaptide_common::{
    Counter, Settings,
    record::{Fault, Kind, flag, touched},
    sampling::member,
};

use crate::{
    calls,
    count::count,
    emit::{MAPPING_SHARD, Task, now, send},
    maps::{MAPPING_CALLS, TOUCHED, Touch, running},
    page, sampling,
    stack::Return,
    unwind::field,
};

/// From the kernel's `linux/mm.h`.
const VM_SHARED: u64 = 0x8;
const VM_GROWSDOWN: u64 = 0x100;
const VM_HUGETLB: u64 = 0x40_0000;

/// From the kernel's `uapi/linux/magic.h`.
const TMPFS_MAGIC: u64 = 0x0102_1994;

const PAGE: u64 = 4096;

/// A page fault of a thread that is watched, dealt with.
#[perf_event]
pub fn page_fault(ctx: PerfEventContext) -> u32 {
    faulted(&ctx);
    0
}

/// A mapping, as the kernel tells it.
#[repr(C)]
struct Place {
    settings: *const Settings,
    /// The address space.
    mm: u64,
    at: u64,
    touch: *mut Touch,
}

#[inline(always)]
fn faulted(ctx: &PerfEventContext) -> Option<()> {
    let settings = running()?;
    let task = Task::current();
    // Children inherit the events, also those that are not followed.
    if sampling::member(task.pid())? & member::UNTRACED != 0 {
        return None;
    }
    count(Counter::Faults);
    // SAFETY: the context is a perf event's, as the kernel lays it out for programs.
    let address = unsafe { (&raw const (*ctx.ctx).addr).read_volatile() };
    let mm = mm(settings);
    let touch = TOUCHED.get_ptr_mut(0)?;
    let mut place = Place { settings, mm, at: address, touch };
    // SAFETY: the entry is this CPU's own while the program runs; the callback has the type that the helper expects, and
    // `place` outlives the call.
    let (bytes, read_only) = unsafe {
        find(&mut place);
        page::at(&raw mut (*touch).page, settings, mm, address)
    };
    let hit = interrupted(ctx, settings, task);
    let stack = hit.stack(MAPPING_SHARD);
    let record = Fault {
        head: hit.head(Kind::Fault, read_only as u16 * flag::READ_ONLY),
        address,
        stack,
        // SAFETY: as above.
        memory: unsafe { (*touch).memory } as u32,
        bytes: bytes as u32,
    };
    send(MAPPING_SHARD, record, Counter::LostFault);
    Some(())
}

/// Finds the mapping. With interrupts off, as they can be here, the kernel gives one answer to `bpf_find_vma` for a fault, and
/// the walk of the stack needs it for code that is new to it: so what was found for the fault before is used again.
///
/// # Safety
/// `place.touch` points to memory that no one else uses.
#[inline(always)]
unsafe fn find(place: &mut Place) {
    let calls = MAPPING_CALLS.get_ptr_mut(0);
    // SAFETY: the caller vouches for the pointer; the map gives another to memory that lives as long as the program; the
    // callback has the type that the helper expects, and `place` outlives the call.
    unsafe {
        let calls = calls.map_or(0, |calls| calls.read_volatile());
        let touch = place.touch;
        let is_known = (*touch).mm == place.mm
            && (*touch).calls == calls
            && place.at >= (*touch).start
            && place.at < (*touch).end
            && place.mm != 0;
        if is_known {
            return;
        }
        (*touch).memory = u64::from(touched::UNKNOWN);
        (*touch).mm = 0;
        (*touch).calls = calls;
        bpf_find_vma(bpf_get_current_task_btf(), place.at, look as *mut c_void, core::ptr::from_mut(place).cast(), 0);
    }
}

/// Where the thread was in its own code.
#[inline(always)]
fn interrupted<'a>(ctx: &'a PerfEventContext, settings: &'static Settings, task: Task) -> Return<'a> {
    // SAFETY: the kernel gives the registers with which the thread has left its own code; the verifier knows their type.
    let (pc, sp, bp) = unsafe {
        let registers = bpf_task_pt_regs(bpf_get_current_task_btf()) as *const pt_regs;
        (
            (&raw const (*registers).rip).read_volatile(),
            (&raw const (*registers).rsp).read_volatile(),
            (&raw const (*registers).rbp).read_volatile(),
        )
    };
    // SAFETY: a reference, seen as one to something of which nothing is known.
    let context = unsafe { &*ctx.ctx.cast() };
    let space = calls::space(task, settings);
    Return { settings, task, context, pc, sp, bp, after_call: 0, space, time: now() }
}

/// The address space of the current process.
#[inline(always)]
fn mm(settings: &Settings) -> u64 {
    // SAFETY: the helpers check every address.
    unsafe { field(bpf_get_current_task() as *const u8, settings.offsets.task_mm) }
}

/// Called by the kernel with the mapping that holds the address.
unsafe extern "C" fn look(_task: *mut c_void, mapping: *mut c_void, place: *mut Place) -> i64 {
    // SAFETY: the kernel hands on what `faulted` gave it; the helpers check every other address.
    unsafe {
        let settings = (*place).settings;
        let flags: u64 = field(mapping.cast(), (*settings).growth_offsets.vma_flags);
        let file: u64 = field(mapping.cast(), (*settings).offsets.vma_file);
        let touch = (*place).touch;
        (*touch).mm = (*place).mm;
        (*touch).start = field(mapping.cast(), (*settings).offsets.vma_start);
        // `vm_end` follows `vm_start`.
        (*touch).end = field(mapping.cast(), (*settings).offsets.vma_start + 8);
        (*(*place).touch).memory = u64::from(if flags & VM_HUGETLB != 0 {
            touched::HUGE
        } else if file != 0 {
            of_file(settings, file, flags)
        } else if is_below_break(settings, (*place).mm, (*place).at) {
            touched::BREAK
        } else if flags & VM_GROWSDOWN != 0 {
            touched::STACK
        } else {
            touched::ANONYMOUS
        });
    }
    0
}

#[inline(always)]
unsafe fn of_file(settings: *const Settings, file: u64, flags: u64) -> u32 {
    if flags & VM_SHARED == 0 {
        return touched::PRIVATE_FILE;
    }
    // SAFETY: as in `look`.
    let magic: u64 = unsafe {
        let inode: u64 = field(file as *const u8, (*settings).offsets.file_inode);
        let super_block: u64 = field(inode as *const u8, (*settings).offsets.inode_super);
        field(super_block as *const u8, (*settings).growth_offsets.super_magic)
    };
    if magic == TMPFS_MAGIC { touched::SHARED } else { touched::FILE }
}

#[inline(always)]
unsafe fn is_below_break(settings: *const Settings, mm: u64, at: u64) -> bool {
    // SAFETY: as in `look`.
    let (start, end): (u64, u64) = unsafe {
        (
            field(mm as *const u8, (*settings).growth_offsets.mm_start_brk),
            field(mm as *const u8, (*settings).growth_offsets.mm_brk),
        )
    };
    at & !(PAGE - 1) >= start & !(PAGE - 1) && at < end.wrapping_add(PAGE - 1) & !(PAGE - 1)
}
