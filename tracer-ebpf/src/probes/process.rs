//! The life of processes. These tracepoints fire for every process of the host, and look only at the traced ones.

use aya_ebpf::{helpers::bpf_probe_read_kernel, macros::btf_tracepoint, programs::BtfTracePointContext};
use aya_log_ebpf::debug;
use heaptide_common::{
    Counter,
    record::{Fork, Kind, flag},
};

use crate::{
    count::count,
    emit::{Task, broadcast},
    maps::{THREADS, TRACED, running},
};

/// `sched_process_fork(parent, child)`, before the child runs.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn process_fork(ctx: BtfTracePointContext) -> i32 {
    forked(&ctx);
    0
}

/// `sched_process_exec(task, old pid, binary)`, when the new program is in place.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_exec(_ctx: BtfTracePointContext) -> i32 {
    if let Some(settings) = running() {
        let task = Task::current();
        if is_traced(task.pid()) {
            // The calls in flight went with the old program.
            let _ = THREADS.remove(task.tid());
            broadcast(settings.shards, task.head(Kind::Exec, 0), Counter::LostProcess);
        }
    }
    0
}

/// `sched_process_exit(task)`, for every thread.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn process_exit(ctx: BtfTracePointContext) -> i32 {
    exited(&ctx);
    0
}

#[inline(always)]
fn forked(ctx: &BtfTracePointContext) -> Option<()> {
    let settings = running()?;
    let task = Task::current();
    if !is_traced(task.pid()) {
        return None;
    }
    let (parent, child): (*const u8, *const u8) = (ctx.arg(0), ctx.arg(1));
    let child_pid: u32 = field(child, settings.task_tgid)?;
    if child_pid == task.pid() {
        return None; // a thread
    }
    let memory: (u64, u64) = (field(parent, settings.task_mm)?, field(child, settings.task_mm)?);
    let flags = if memory.0 == memory.1 { flag::SHARES_MEMORY } else { 0 };
    if settings.follow != 0 && TRACED.insert(child_pid, 1, 0).is_err() {
        count(Counter::LostProcess);
        debug!(ctx, "process {}: too many traced processes to follow it", child_pid);
        return None;
    }
    let record = Fork { head: task.head(Kind::Fork, flags), child: child_pid, unused: 0 };
    broadcast(settings.shards, record, Counter::LostProcess);
    Some(())
}

#[inline(always)]
fn exited(ctx: &BtfTracePointContext) -> Option<()> {
    let settings = running()?;
    let task = Task::current();
    let _ = THREADS.remove(task.tid());
    if !is_traced(task.pid()) {
        return None;
    }
    let signal: u64 = field(ctx.arg(0), settings.task_signal)?;
    let live: u32 = field(signal as *const u8, settings.signal_live)?;
    if live == 0 {
        let _ = TRACED.remove(task.pid());
        broadcast(settings.shards, task.head(Kind::Exit, 0), Counter::LostProcess);
    }
    Some(())
}

#[inline(always)]
fn is_traced(pid: u32) -> bool {
    // SAFETY: the value is not used, so it does not matter that the entry could be changed meanwhile.
    unsafe { TRACED.get(pid) }.is_some()
}

/// A field of a kernel structure, at the offset that the user side read from the kernel's own type information.
#[inline(always)]
fn field<T>(structure: *const u8, offset: u32) -> Option<T> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(structure.wrapping_add(offset as usize).cast()) }.ok()
}
