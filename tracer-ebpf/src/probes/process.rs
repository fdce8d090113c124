//! The life of processes. These tracepoints fire for every process of the host, and look only at the traced ones.

use aya_ebpf::{helpers::bpf_probe_read_kernel, macros::btf_tracepoint, programs::BtfTracePointContext};
use aya_log_ebpf::debug;
use heaptide_common::{
    Counter,
    record::{Fork, Kind, flag},
    sampling::member,
};

use crate::{
    count::count,
    emit::{Task, broadcast},
    maps::{TRACED, running},
    sampling,
};

/// `sched_process_fork(parent, child)`, before the child runs.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn process_fork(ctx: BtfTracePointContext) -> i32 {
    forked(&ctx);
    0
}

/// `sched_process_exec(task, old pid, binary)`, when the new program is in place.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_exec(ctx: BtfTracePointContext) -> i32 {
    executed(&ctx);
    0
}

/// `sched_process_exit(task)`, for every thread.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn process_exit(ctx: BtfTracePointContext) -> i32 {
    exited(&ctx);
    0
}

#[inline(always)]
fn executed(ctx: &BtfTracePointContext) -> Option<()> {
    let settings = running()?;
    let task = Task::current();
    let member = sampling::member(task.pid())?;
    // The calls in flight went with the old program. The thread has taken the number of the process's first one.
    let number: i32 = ctx.arg(1);
    sampling::thread_ended(task, number as u32, settings);
    if number as u32 != task.tid() {
        sampling::thread_ended(task, task.tid(), settings);
    }
    if member & member::UNTRACED != 0 {
        let _ = TRACED.remove(task.pid());
        return None;
    }
    sampling::program(task.pid(), member);
    broadcast(settings.shards, task.head(Kind::Exec, 0), Counter::LostProcess);
    Some(())
}

#[inline(always)]
fn forked(ctx: &BtfTracePointContext) -> Option<()> {
    let settings = running()?;
    let task = Task::current();
    let member = sampling::member(task.pid())?;
    if member & member::UNTRACED != 0 {
        return None;
    }
    let (parent, child): (*const u8, *const u8) = (ctx.arg(0), ctx.arg(1));
    let child_pid: u32 = field(child, settings.offsets.task_tgid)?;
    if child_pid == task.pid() {
        return None; // a thread
    }
    let memory: (u64, u64) = (field(parent, settings.offsets.task_mm)?, field(child, settings.offsets.task_mm)?);
    let shares = memory.0 == memory.1;
    let flags = if shares { flag::SHARES_MEMORY } else { 0 };
    if !sampling::forked(member, child_pid, shares, settings) {
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
    sampling::thread_ended(task, task.tid(), settings);
    let member = sampling::member(task.pid())?;
    let signal: u64 = field(ctx.arg(0), settings.offsets.task_signal)?;
    let live: u32 = field(signal as *const u8, settings.offsets.signal_live)?;
    if live == 0 {
        // Told to nobody twice: a thread that ends at the same time may find the process gone as well.
        if TRACED.remove(task.pid()).is_err() {
            return None;
        }
        sampling::ended(member);
        if member & member::UNTRACED == 0 {
            broadcast(settings.shards, task.head(Kind::Exit, 0), Counter::LostProcess);
        }
    }
    Some(())
}

/// A field of a kernel structure, at the offset that the user side read from the kernel's own type information.
#[inline(always)]
fn field<T>(structure: *const u8, offset: u32) -> Option<T> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(structure.wrapping_add(offset as usize).cast()) }.ok()
}
